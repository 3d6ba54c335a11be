"""Encodes outputs of steps as JSON values, and decodes them: for the journal of a build.

JSON names no code that could run. What is read becomes one of the classes below and nothing else.
"""

import base64
from collections.abc import Iterable
from typing import Any

from transforms.checksum import Checksum
from transforms.dataset.elements import (
    BucketCount,
    BuiltPart,
    ByteRange,
    Failed,
    Origin,
    SourceCount,
)
from transforms.exchange.spills import Spill

#: The records that steps emit, in alphabetical order; one that is new is added here.
RECORDS = (BucketCount, BuiltPart, ByteRange, Checksum, Failed, Origin, SourceCount, Spill)
_RECORDS = {record.__name__: record for record in RECORDS}
_PLAIN = (str, int, float, bool, type(None))


def encode(elements: Iterable[Any]) -> list[Any]:
    """Returns outputs of a step as values that `json` can write.

    Raises:
        TypeError: One of them isn't made of `RECORDS`, tuples, frozensets of strings, bytes and
            plain values.
    """
    return [_to_json(element) for element in elements]


def decode(values: Any) -> list[Any]:
    """Returns what was given to `encode`.

    Raises:
        ValueError: The values aren't what `encode` returns.
    """
    try:
        return [_from_json(value) for value in values]
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"no elements of a build: {error}") from None


def _to_json(value: Any) -> Any:
    """Tuples become lists; an object has one key, which names a class; the rest stays as it is."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple:
        return [*map(_to_json, value)]
    if kind in RECORDS:
        return {kind.__name__: [*map(_to_json, value)]}
    if kind is bytes:
        return {"bytes": base64.b64encode(value).decode()}
    if kind is frozenset:
        return {"frozenset": sorted(value)}
    from apache_beam.pvalue import TaggedOutput  # a second, for programs that read no journal

    if kind is TaggedOutput:
        return {"TaggedOutput": [value.tag, _to_json(value.value)]}
    raise TypeError(f"{kind.__module__}.{kind.__qualname__} can't be written down: {value!r:.200}")


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_from_json, value))
    if not isinstance(value, dict):
        return value
    ((name, content),) = value.items()
    match name:
        case "bytes":
            return base64.b64decode(content, validate=True)
        case "frozenset":
            return frozenset(content)
        case "TaggedOutput":
            from apache_beam.pvalue import TaggedOutput

            tag, output = content
            return TaggedOutput(tag, _from_json(output))
    return _RECORDS[name](*map(_from_json, content))
