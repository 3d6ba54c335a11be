"""How numbers and CSV fields are written, which differs from file to file."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

import numpy as np

Row = tuple[str, ...]


def six(value: float) -> str:
    """Six decimals, as the train boxes: `0.012500`."""
    return f"{value:.6f}"


def single(value: float) -> str:
    """The shortest text of a 32-bit float, as validation and test: `0.9642005`, `1`, `0`."""
    return "0" if value == 0 else "1" if value == 1 else str(np.float32(value))


def double(value: float) -> str:
    """All digits of a 64-bit float beside a short one: `0.9642004999999999`."""
    return repr(float(np.nextafter(round(value, 7), 0.0))) if 0 < value < 1 else six(value)


def short(value: float) -> str:
    """Six significant digits: `0.049375`, as masks and relationships have them."""
    return f"{value:.6g}"


def csv_bytes(rows: Iterable[Row], always_quoted: Sequence[int] = ()) -> bytes:
    """Rows as CSV with line feeds.

    Args:
      rows: fields as text.
      always_quoted: indices of the columns that are in quotes even where they need not be.

    Returns:
      UTF-8.
    """
    out = StringIO()
    if not always_quoted:
        csv.writer(out, lineterminator="\n").writerows(rows)
        return out.getvalue().encode()
    for row in rows:
        out.write(",".join(_field(text, i in always_quoted) for i, text in enumerate(row)) + "\n")
    return out.getvalue().encode()


def _field(text: str, quoted: bool) -> str:
    if quoted or any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
