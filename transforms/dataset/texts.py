"""Columns of texts, put together by Arrow's kernels."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def join(*parts: pa.Array | str) -> pa.Array:
    """Joins columns and constant texts, element by element; null where one of them is."""
    constants = (pa.scalar(part) if isinstance(part, str) else part for part in parts)
    return pc.binary_join_element_wise(*constants, "")


def end_to_end(texts: pa.StringArray) -> pa.Buffer:
    """Returns texts, none of them null, one after the other: that is how Arrow holds them."""
    if not len(texts):
        return pa.py_buffer(b"")
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[[texts.offset, texts.offset + len(texts)]]
    start, end = bounds.tolist()
    return data.slice(start, end - start)
