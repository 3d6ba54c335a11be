"""What a check has found."""

from functools import partial
from typing import NamedTuple


class Finding(NamedTuple):
    """A line for the user.

    Attributes:
        mark: `ok`, `note` (no fault, but worth knowing), `fix` (the text says what to do) or `skip`
            (the text says why).
        text: begins with what was looked at.
    """

    mark: str
    text: str

    @property
    def subject(self) -> str:
        """The beginning of the text, which names what was looked at."""
        return self.text.partition(":")[0]


ok, note, fix, skip = (partial(Finding, mark) for mark in ("ok", "note", "fix", "skip"))
