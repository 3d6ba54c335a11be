"""Fields and rows of CSV as text."""

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from transforms.dataset.texts import join


def csv_bytes(rows: Iterable[Sequence[str]], always_quoted: Sequence[int] = ()) -> bytes:
    """Returns rows as CSV with line feeds, in UTF-8.

    Args:
        rows: fields as text.
        always_quoted: indices of the columns that are in quotes even where they need not be.
    """
    lines = (
        ",".join(csv_field(text, i in always_quoted) for i, text in enumerate(row)) for row in rows
    )
    return "".join(f"{line}\n" for line in lines).encode()


def csv_field(text: str, always_quoted: bool) -> str:
    """Returns a field of CSV, in quotes where it must be or `always_quoted` says so."""
    if always_quoted or any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def quoted(texts: pa.StringArray) -> pa.StringArray:
    """Returns fields of CSV, in quotes where they must be; no text is copied if none must."""
    must_be = pc.match_substring_regex(texts, r'[,"\r\n]')
    if not pc.any(must_be).as_py():
        return texts
    return pc.if_else(must_be, join('"', pc.replace_substring(texts, '"', '""'), '"'), texts)
