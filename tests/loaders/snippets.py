"""The Python of a page of the documents, as a reader would run it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).parents[2] / "docs"
_PYTHON = re.compile(r"^```py\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE_OR_PYTHON = re.compile(
    r"^#+ (?P<title>[^\n]+)$|^```(py|python)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


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


def run_sections(page: str, titles: Sequence[str]) -> dict[str, Any]:
    """Runs the blocks before a page's first section, and those of some sections.

    Args:
        page: its path below `docs`.
        titles: the headings right above the blocks.

    Returns:
        The names that they define.
    """
    names: dict[str, Any] = {}
    text = (_DOCS / page).read_text()
    title = first = text.partition("\n")[0].removeprefix("# ")
    found = set()
    for match in _TITLE_OR_PYTHON.finditer(text):
        title = match["title"] or title
        if match["code"] and title in (first, *titles):
            exec(compile(match["code"], page, "exec"), names)
            found.add(title)
    assert found == {first, *titles}
    return names
