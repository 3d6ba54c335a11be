"""Values of flags, checked and converted: from a command line's text, or as Python passes them.

A converter takes either and raises `UsageError`, whose message is part of a line, without the
flag's name.
"""

import dataclasses
import difflib
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from runners import launch
from transforms.errors import UsageError
from transforms.storage.endpoints import is_endpoint

#: How alike two names are, of 1, where one may have been meant by the other.
_LIKENESS = 0.7
#: Letters that a word shares with the one name that it may mean.
_START = 3
#: Our names for those of FiftyOne, OIDv4_ToolKit and readers of formats that are like none of ours.
_NAMES_ELSEWHERE = {
    "detections": "boxes",
    "segmentations": "masks",
    "classifications": "image_labels",
    "max_samples": "max_images",
    "limit": "max_per_class",
    "type_csv": "splits",
    "hf": "huggingface",
    "datasets": "huggingface",
    "wds": "webdataset",
    "tar": "webdataset",
    "streaming": "mds",
    "mosaicml": "mds",
    "ultralytics": "yolo",
    "roboflow": "coco",
    "open_images_v4": "tfds_v4",
}
#: Digits of a number that Python still parses, and a size that no disk has.
_MOST_DIGITS, _MOST_BYTES = 1000, 1 << 60
_DAY_SECONDS = 86400

Converter = Callable[[Any], Any]
_P = ParamSpec("_P")
_Flags = TypeVar("_Flags")
_Result = TypeVar("_Result")


def flag(
    convert: Converter | tuple[str, ...],
    default: Any = dataclasses.MISSING,
    *,
    group: str = "",
    recorded: bool = True,
    **options: str,
) -> Any:
    """Returns a dataclass field that is also a flag of a command line.

    Args:
        convert: converts a text, or a value that Python passes, to the field's value; or the names
            that it may have.
        default: without one the flag is required.
        group: the heading in `--help` that the flag is listed under.
        recorded: whether the manifest records the value.
        options: `help`, and `metavar`, as argparse calls them.
    """
    if isinstance(convert, tuple):
        options["metavar"] = f"{{{','.join(convert)}}}"
        convert = one_of(convert)
    metadata = {"convert": convert, "group": group, "recorded": recorded, "options": options}
    return dataclasses.field(default=default, metadata=metadata)


def keywords_of(
    flags: Callable[_P, _Flags],
) -> Callable[[Callable[[_Flags], _Result]], Callable[_P, _Result]]:
    """Returns a decorator: a function of a dataclass of flags takes their fields as keywords."""

    signature = inspect.signature(flags)

    def decorate(function: Callable[[_Flags], _Result]) -> Callable[_P, _Result]:
        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _Result:
            name = function.__name__
            for word in kwargs.keys() - signature.parameters.keys():
                hint = did_you_mean(word, list(signature.parameters))
                raise TypeError(f"{name}(): got an unexpected keyword argument {word!r}{hint}")
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{name}(): {error}") from None
            return function(flags(*args, **kwargs))

        described: Any = call
        described.__signature__ = signature
        lines = [
            f"    {field.name}: {field.metadata['options']['help']}"
            for field in dataclasses.fields(flags)  # pyrefly: ignore
        ]
        described.__doc__ = f"{inspect.getdoc(function)}\n\nKeywords:\n" + "\n".join(lines)
        return call

    return decorate


def optional(flags: type, name: str, default: Any) -> Any:
    """Returns a field of other `flags` with a default, so that it needn't be given."""
    field = next(field for field in dataclasses.fields(flags) if field.name == name)
    return dataclasses.field(default=default, metadata=field.metadata)


def convert_fields(flags: Any) -> None:
    """Converts the fields of a frozen dataclass of flags in place, but for defaults.

    Raises:
        UsageError: A value is wrong; the message names the flag.
    """
    for field in dataclasses.fields(flags):
        value = getattr(flags, field.name)
        if value is None and field.default is None:
            continue
        if value is None:
            raise UsageError(
                f"argument --{field.name}: None is no value: leave it out, or give one"
            )
        if value == field.default:
            continue
        try:
            object.__setattr__(flags, field.name, field.metadata["convert"](value))
        except UsageError as error:
            raise UsageError(f"argument --{field.name}: {error}") from None


def path(value: str | os.PathLike[str]) -> str:
    """Converts to a path or URI."""
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"{value!r} is no path")
    return os.fspath(value)


def local_path(value: str | os.PathLike[str]) -> Path:
    """Converts to a path on this machine."""
    return Path(path(value))


def paths(value: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Paths or URIs; one needn't be in a list. A command line repeats the flag for each."""
    if isinstance(value, str | os.PathLike):
        return (path(value),)
    return tuple(map(path, value))


def texts(value: Iterable[str]) -> tuple[str, ...]:
    """Texts, as they are."""
    if isinstance(value, str):
        raise UsageError(f"{value!r} is one text: give a list of them")
    return tuple(value)


def path_or_texts(value: str | os.PathLike[str] | Iterable[str]) -> str | tuple[str, ...]:
    """A path or URI; or from Python a list of texts."""
    return path(value) if isinstance(value, str | os.PathLike) else tuple(map(str, value))


def name(value: str) -> str:
    """A text with something in it."""
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{value!r} is no name")
    return value.strip()


def repeated(value: str | Iterable[str]) -> tuple[str, ...]:
    """Texts; one needn't be in a list."""
    return (value,) if isinstance(value, str) else tuple(map(str, value))


def callback(value: Callable[..., None]) -> Callable[..., None]:
    """Checks that a value is a function."""
    if not callable(value):
        raise UsageError(f"{value!r} can't be called")
    return value


def switch(value: bool) -> bool:
    """Checks that a value is True or False."""
    if not isinstance(value, bool):
        raise UsageError(f"{value!r} is neither True nor False")
    return value


def one_of(allowed: Sequence[str]) -> Converter:
    """Converts to one of these names."""

    def convert(value: str) -> str:
        if value not in allowed:
            text = f"invalid choice: {value!r} (choose from {', '.join(allowed)})"
            raise UsageError(text + did_you_mean(str(value), allowed))
        return value

    return convert


@dataclasses.dataclass(frozen=True)
class Choices:
    """Converts to some of these names, each once; a text has them comma separated.

    A command line may repeat the flag.

    Args:
        allowed: the names.
        aliases: other names for them.
    """

    allowed: Sequence[str]
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __call__(self, value: str | Iterable[str]) -> tuple[str, ...]:
        """Returns the names in a text, or in each of some texts."""
        text = value if isinstance(value, str) else ",".join(map(str, value))
        given = [name.strip() for name in text.split(",") if name.strip()]
        names = tuple(dict.fromkeys(self.aliases.get(name, name) for name in given))
        wrong = [name for name in names if name not in self.allowed]
        if wrong or not names:
            raise UsageError(none_of(wrong[0] if wrong else text, self.allowed))
        return names


def count(value: str | int) -> int:
    """Converts to a number from 1."""
    text = str(value)
    if not text.isdecimal() or natural(text) < 1:
        raise UsageError(f"{text!r} is not a positive number")
    return int(text)


def natural(value: str | int) -> int:
    """Converts to a number from 0."""
    text = str(value)
    if not text.isdecimal():
        raise UsageError(f"{text!r} is not a number")
    if len(text) > _MOST_DIGITS:
        raise UsageError(f"a number of {len(text):,} digits is too large")
    return int(text)


def natural_or_all(value: str | int) -> int | None:
    """Converts to a number from 0, or None for `all`."""
    if value == "all":
        return None
    if not str(value).isdecimal():
        raise UsageError(f"{value!r} is neither a number nor 'all'")
    return natural(value)


def up_to(most: int) -> Converter:
    """Converts to a number from 1 to `most`."""

    def convert(value: str | int) -> int:
        text = str(value)
        if not text.isdecimal() or not 1 <= natural(text) <= most:
            raise UsageError(f"{text!r} is not a number from 1 to {most}")
        return int(text)

    return convert


def cores() -> int:
    """Returns the number of processes that work at once by default."""
    return os.cpu_count() or 1


def processes(value: str | int) -> int:
    """Converts to a number of processes that this machine can bear."""
    number = count(value)
    if number > launch.MOST_PROCESSES:
        raise UsageError(launch.too_many(number, launch.MOST_PROCESSES))
    return number


def seconds(value: str | float) -> float:
    """Converts to a time from above 0 to a day."""
    number = _to_float(value, 0)
    if not 0 < number <= _DAY_SECONDS:
        raise UsageError(f"{str(value)!r} is not a positive number of seconds")
    return number


def fraction(value: str | float) -> float:
    """Converts to a number from 0 to 1."""
    number = _to_float(value, -1)
    if not 0 <= number <= 1:
        raise UsageError(f"{str(value)!r} is not a fraction between 0 and 1")
    return number


def positive_fraction(value: str | float) -> float:
    """A number above 0, to 1."""
    if not (number := fraction(value)):
        raise UsageError("0 leaves nothing: give more than 0, and at most 1")
    return number


def _to_float(value: str | float, otherwise: float) -> float:
    try:
        return float(value)
    except (ValueError, TypeError):
        return otherwise


def url(value: str) -> str:
    """Converts to an address of a server that is asked by HTTP."""
    if not is_endpoint(value):
        raise UsageError(f"{value!r} is no URL that starts with http:// or https://")
    return value


def size(value: str | int) -> int:
    """Converts to a number of bytes such as 268435456, 256MiB or 64k."""
    text = str(value)
    units = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    number = text.lower().removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:] in ("k", "m", "g") else ""
    try:
        total = int(float(number.removesuffix(unit)) * units[unit])
    except ValueError:
        raise UsageError(f"{text!r} is not a size: try 256MiB") from None
    except OverflowError:
        total = _MOST_BYTES + 1
    if total > _MOST_BYTES:
        raise UsageError("a size of more than an exbibyte is too large")
    if total < 1:
        raise UsageError(f"{text!r} must be positive")
    return total


def release(value: str) -> str:
    """Converts to a name of the dataset's version for readers."""
    if not value.isidentifier():
        raise UsageError(f"{value!r}: letters, digits and _ only, such as v7")
    return value


def none_of(word: str, allowed: Sequence[str]) -> str:
    """Returns the error message for a value that isn't allowed."""
    return f"{word!r} is none of {', '.join(allowed)}{did_you_mean(word, allowed)}"


def did_you_mean(word: str, allowed: Sequence[str]) -> str:
    """Returns the end of an error message that suggests the most similar name, or an empty text."""
    found = most_alike(word, allowed)
    return f": did you mean {found}?" if found else ""


def most_alike(word: str, names: Sequence[str]) -> str | None:
    """Returns the name that is most like a word or has its meaning elsewhere, if any does."""
    plain = {_plain(each): each for each in names}
    for ours in (_plain(word), _NAMES_ELSEWHERE.get(_plain(word))):
        if ours in plain:
            return plain[ours]
    close = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=_LIKENESS)
    same_start = [name for name in plain if name[:_START] == _plain(word)[:_START]]
    if not close and len(same_start) == 1:
        close = same_start
    return plain[close[0]] if close else None


def _plain(word: str) -> str:
    return word.lower().lstrip("-").replace("-", "_")
