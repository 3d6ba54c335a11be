"""Kinds of value that flags of several programs take."""

import argparse
from collections.abc import Callable, Sequence


def choices(allowed: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Parses some of `allowed`, comma separated, each once."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        wrong = [name for name in names if name not in allowed]
        if wrong or not names:
            word = wrong[0] if wrong else text
            raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(allowed)}")
        return names

    return parse


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a fraction between 0 and 1")
    return value
