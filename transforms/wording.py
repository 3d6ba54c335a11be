"""Texts for people: counted, without control characters, and cut to a length."""

from collections.abc import Mapping
from typing import Any

from transforms.redaction import redact

#: Characters of a failure's detail, of a warning, and of other texts from inputs.
DETAIL_LENGTH = 500
#: Characters of a line, which may hold a path (4,096 of them at most) and a detail.
LINE_LENGTH = 5000

#: Characters that are kept for what stands in the place of what was cut.
_CUT_LENGTH = 40


def counted(number: int, noun: str) -> str:
    """Returns how many of something.

    >>> counted(1, "image"), counted(2000, "image")
    ('1 image', '2,000 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def bytes_of(number: float) -> str:
    """Returns a number of bytes for people.

    >>> bytes_of(1670796438)
    '1.6 GiB'
    """
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while number >= 1024 and len(units) > 1:
        number /= 1024
        del units[0]
    return f"{number:.0f} B" if units[0] == "B" else f"{number:.1f} {units[0]}"


def clean(text: str, length: int = DETAIL_LENGTH) -> str:
    r"""Returns a text as one line that is safe to print and to store.

    Line breaks, other control characters, those that turn the direction of writing, and bytes that
    aren't UTF-8 are spelled out. Of a text that is too long, start and end are kept, for its end
    may hold the remedy. A text that was cleaned stays as it is.

    Args:
        text: any text, such as a file's name or a server's answer.
        length: the most characters to return.

    >>> clean("a title\x1b[31m\n")
    'a title\\x1b[31m\\n'
    >>> clean("x" * 10_000, 100)
    'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (10,000 characters in all) …xxxxxxxxxxxxxxxxxxxx'
    """
    if len(text) <= length:
        if text.isprintable():
            return text
        spelled = _spell_out(text)
        if len(spelled) <= length:
            return spelled
    end = (length - _CUT_LENGTH) // 3
    start = length - _CUT_LENGTH - end
    head, tail = _spell_out(text[:start])[:start], _spell_out(text[-end:])[-end:]
    return f"{head}… ({len(text):,} characters in all) …{tail}"


def printable(text: str) -> str:
    """Returns a text as a line to print or to log: cleaned, and without the secrets of URLs."""
    return clean(redact(text), LINE_LENGTH)


def clean_lines(text: str) -> str:
    """Returns a text of several lines, each of them cleaned."""
    return "\n".join(clean(line, LINE_LENGTH) for line in text.split("\n"))


def clean_values(value: Any) -> Any:
    """Returns a document, as JSON has them, with all of its texts cleaned."""
    if isinstance(value, str):
        return clean(value, LINE_LENGTH)
    if isinstance(value, Mapping):
        return {clean_values(key): clean_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean_values(each) for each in value]
    return value


def _spell_out(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def exceeds(some: int, total: int, limit: float) -> bool:
    """Returns whether a share of a total is above a limit; nothing is above 1.

    >>> exceeds(29, 100, 0.29), exceeds(30, 100, 0.29)
    (False, True)
    """
    return total > 0 and some / total > limit and limit < 1


def share_above(some: int, total: int, limit: float) -> str:
    """Returns a share that `exceeds` a limit, with the digits that show so, and that it isn't all.

    >>> share_above(1, 3, 0.01), share_above(10001, 1000000, 0.01), share_above(99999, 100000, 0.5)
    ('33.33%', '1.0001%', '99.999%')
    """
    texts = [f"{some / total:.{digits}%}" for digits in range(2, 18)]
    for text in texts:
        shown = float(text[:-1]) / 100
        if shown > limit and (shown < 1) == (some < total):
            return text
    return texts[-1]
