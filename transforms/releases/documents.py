"""JSON documents as they are published, and as dataclasses."""

import dataclasses
import functools
import json
import types
import typing
from typing import Annotated, Any, NoReturn

from transforms.wording import clean_values


def to_json(value: object) -> bytes:
    """Returns a document as it is published, without control characters in its texts."""
    return (json.dumps(clean_values(value), indent=1, ensure_ascii=False) + "\n").encode()


class FormError(Exception):
    """A document isn't of its form; the message says where, by keys with dots between them."""


def parse(hint: Any, value: Any, where: str = "") -> Any:
    """Converts a JSON value to a type, and checks it.

    Args:
        hint: a dataclass, or the type of a field of one: `str`, `int`, `Any`, `tuple[X, ...]`,
            `dict[str, X]`, `X | None`, or `Annotated[X, test]` with a test that values must pass.
        value: as parsed from JSON. Members that a dataclass doesn't have are ignored.
        where: the keys that lead to it.

    Raises:
        FormError: It isn't of this type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        parsed = parse(arguments[0], value, where)
        return parsed if arguments[1](value) else _refuse(where)
    if types.NoneType in arguments:
        return None if value is None else parse(arguments[0], value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(parse(arguments[0], each, f"{where}.{i}") for i, each in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: parse(arguments[1], each, f"{where}.{key}") for key, each in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return hint(
            **{
                name: parse(member, value.get(name), f"{where}.{name}")
                for name, member, required in _members(hint)
                if required or name in value
            }
        )
    return value if hint is Any or type(value) is hint else _refuse(where)


@functools.cache
def _members(cls: type) -> list[tuple[str, Any, bool]]:
    """Returns the name and type of each field of a dataclass, and whether it has no default."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return [
        (field.name, hints[field.name], field.default is field.default_factory)  # both are MISSING
        for field in dataclasses.fields(cls)
    ]


def _refuse(where: str) -> NoReturn:
    raise FormError(where.removeprefix(".") or "all of it")
