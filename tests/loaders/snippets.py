"""The Python of a page of the documents, as a reader would run it."""

import re
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).parents[2] / "docs"
_PYTHON = re.compile(r"^```py\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_snippets(page: str, version: Path) -> dict[str, Any]:
    """Runs all blocks of a page, in order; returns the names that they define.

    Args:
        page: its path below `docs`.
        version: the folder that blocks call `V`.
    """
    names: dict[str, Any] = {"V": version}
    for block in _PYTHON.findall((_DOCS / page).read_text()):
        exec(compile(block, page, "exec"), names)
    return names
