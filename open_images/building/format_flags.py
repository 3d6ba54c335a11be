"""The flags of single output formats; `FormatSettings` has the same names and defaults."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class FormatFlags:
    """How single formats are written."""
