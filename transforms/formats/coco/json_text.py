"""JSON texts of whole columns, made by Arrow's kernels rather than of a Python object a value."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Units of `fixed_point` in one.
SCALE = 10_000
_FRACTIONS = pa.array([".0", *(f".{n:04d}".rstrip("0") for n in range(1, SCALE))])
_CONTROL = r"[\x00-\x1f]"
_CONTROL_CODES = range(0x20)


def join(*texts: pa.StringArray | str) -> pa.StringArray:
    """Joins texts element by element; null where one of them is."""
    return pc.binary_join_element_wise(*texts, "")


def numbers(values: np.ndarray | pa.Array) -> pa.StringArray:
    """Returns numbers, or float32 as short as they can be told, as JSON; null where they are."""
    return pa.array(values).cast(pa.string())


def fixed_point(units: np.ndarray) -> pa.StringArray:
    """Returns numbers with up to four decimals.

    Args:
        units: (n,) int64, the numbers in ten-thousandths; none is negative.
    """
    whole, rest = np.divmod(units, SCALE)
    return join(numbers(whole), _FRACTIONS.take(pa.array(rest)))


def strings(values: pa.Array) -> pa.StringArray:
    """Returns texts, plain or as a dictionary, in quotes and escaped; null where they are."""
    if pa.types.is_dictionary(values.type):
        return strings(values.dictionary).take(values.indices)
    texts = pc.replace_substring(pc.replace_substring(values, "\\", "\\\\"), '"', '\\"')
    if pc.any(pc.match_substring_regex(texts, _CONTROL)).as_py():
        for code in _CONTROL_CODES:
            texts = pc.replace_substring(texts, chr(code), f"\\u{code:04x}")
    return join('"', texts, '"')


def lists(values: pa.StringArray, rows: np.ndarray, length: int) -> pa.StringArray:
    """Returns JSON arrays.

    Args:
        values: (n,) JSON values.
        rows: (n,) int64, ascending: which array has each.
        length: how many arrays.
    """
    offsets = np.searchsorted(rows, np.arange(length + 1)).astype(np.int32)
    return join("[", pc.binary_join(pa.ListArray.from_arrays(offsets, values), ","), "]")


def members(values: Mapping[str, pa.StringArray]) -> pa.StringArray:
    """Returns the members of JSON objects, without the braces.

    Args:
        values: (n,) JSON values by name, at least one; an object lacks those that are null.
    """
    texts = [pc.fill_null(join(f',"{name}":', each), "") for name, each in values.items()]
    return pc.utf8_slice_codeunits(join(*texts), 1)


def objects(values: Mapping[str, pa.StringArray]) -> pa.StringArray:
    """Returns JSON objects; see `members`."""
    return join("{", members(values), "}")


def concatenate(texts: pa.StringArray, separator: str = "") -> pa.Buffer:
    """Returns the texts end to end, with a separator between them."""
    together = pa.ListArray.from_arrays(pa.array([0, len(texts)], pa.int32()), texts)
    return pc.binary_join(together, separator)[0].as_buffer()
