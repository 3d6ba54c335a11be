"""What a check has found, in a line."""

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
        """What was looked at."""
        return self.text.partition(":")[0]


def ok(text: str) -> Finding:
    """All is well with it."""
    return Finding("ok", text)


def note(text: str) -> Finding:
    """Something that is worth knowing, and may be intended."""
    return Finding("note", text)


def fix(text: str) -> Finding:
    """Something is to be done."""
    return Finding("fix", text)


def skip(text: str) -> Finding:
    """It wasn't looked at."""
    return Finding("skip", text)
