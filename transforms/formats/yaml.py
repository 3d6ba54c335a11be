"""Values as YAML, such that any text stays what it is.

Texts are in double quotes, where YAML reads as JSON does, but for some characters. A word that YAML
has no other meaning for stands alone.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

#: What may be in JSON as it is, and not in YAML: other line breaks, controls, and no characters.
_SPECIAL = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_WORD = re.compile(r"[a-z][a-z0-9_-]+")
_MEANING = frozenset(("yes", "no", "on", "off", "true", "false", "null"))


class Verbatim(str):
    """A value that is YAML already, in one line."""


def dump(value: Mapping | Sequence, depth: int = 0) -> str:
    r"""Returns a mapping or a sequence as YAML, in blocks.

    >>> dump({"split": "train", "names": ["a: b", "no"]})
    'split: train\nnames:\n- "a: b"\n- "no"\n'
    """
    pad = "  " * depth
    if isinstance(value, Mapping):
        return "".join(f"{pad}{_key(key)}:{_member(each, depth)}" for key, each in value.items())
    return "".join(f"{pad}- {_item(each, depth)}" for each in value)


def flow(texts: Sequence[str]) -> str:
    """Returns a sequence of texts as YAML, in one line."""
    return f"[{', '.join(map(quote, texts))}]"


def quote(text: str) -> str:
    r"""Returns a text in double quotes.

    >>> quote('a "b"\u2028')
    '"a \\"b\\"\\u2028"'
    """
    quoted = json.dumps(text, ensure_ascii=False)
    return _SPECIAL.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _key(key: str) -> str:
    return key if _WORD.fullmatch(key) else quote(key)


def _member(value: Any, depth: int) -> str:
    """Returns what follows the colon of a mapping's key."""
    if _is_scalar(value):
        return f" {_scalar(value)}\n"
    return f"\n{dump(value, depth + isinstance(value, Mapping))}"


def _item(value: Any, depth: int) -> str:
    """Returns what follows the dash of a sequence."""
    if _is_scalar(value):
        return f"{_scalar(value)}\n"
    return dump(value, depth + 1).lstrip(" ")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _scalar(value: str | float) -> str:
    if isinstance(value, Verbatim) or not isinstance(value, str):
        return str(value)
    return value if _WORD.fullmatch(value) and value not in _MEANING else quote(value)
