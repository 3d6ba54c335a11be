"""Kinds of annotation: one object has all that is particular to one kind.

Steps find kinds in `registry` and ask them; no step has a list of kinds.
"""

import abc
import dataclasses
import functools

import pyarrow as pa

from transforms.dataset import codes
from transforms.dataset.classes import decode_labels
from transforms.dataset.elements import Source, in_one_piece
from transforms.kinds.parsing.ending import CutRecord, find_cut
from transforms.kinds.parsing.head import SourceError
from transforms.kinds.parsing.json_lines import JsonLinesParser
from transforms.kinds.parsing.parse_csv import CsvParser
from transforms.kinds.parsing.parsed import ParsedBlock
from transforms.kinds.parsing.records import Layout
from transforms.kinds.parsing.table import TableSchema


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Kind(TableSchema, abc.ABC):
    """A kind of annotation table; attributes of its text are in `TableSchema`.

    Attributes:
        name: as in `--annotations KIND=PATH`.
        column: the column of an example that holds its rows, as a list.
        element: the type of an element of `column`, where it isn't `row`: what a row becomes with
            data from elsewhere.
        other_columns: other columns of an example whose values come from its rows.
        identity: fields of `row` by which possible repeats are found, numbers if they are enough;
            see `examples.repeats`.
        labels: fields of `row` that are labels, which get an index in `classes.json`.
        coded: fields of `row` that many rows share, and so travel as codes; see `dataset.codes`.
        few_values: leaves of `column` with few distinct values, which Parquet has dictionaries of.
        seconds_a_byte: how long reading takes, compared with image labels.
        spilled_a_byte: bytes of rows in the exchange for a byte of an uncompressed table, about.
    """

    name: str
    column: str
    element: pa.StructType | None = None
    other_columns: tuple[str, ...] = ()
    identity: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    coded: tuple[str, ...] = ()
    few_values: tuple[str, ...] = ()
    seconds_a_byte: float = 1.8
    spilled_a_byte: float = 0.7

    def matches_json(self, path: str, head: bytes) -> bool:
        """Returns whether a JSON file is of this kind, by its first bytes.

        Raises:
            SourceError: It looks like one, and can't be read.
        """
        return False

    @abc.abstractmethod
    def check_json(self, path: str, head: bytes) -> None:
        """Checks by its first bytes a JSON file that the user names as of this kind.

        Raises:
            SourceError: It can't be read.
        """

    def layout(self, source: Source) -> Layout | None:
        """Tells where the records of a file begin; None where each line is one."""
        return None

    def find_cut(self, source: Source, tail: bytes) -> CutRecord | None:
        """Returns the last record of a file if it is cut and `parse` can't see that, else None."""
        return None

    @abc.abstractmethod
    def parse(self, source: Source, data: bytes) -> ParsedBlock:
        """Parses whole records."""

    def parse_coded(self, source: Source, data: bytes, encoded_labels: bytes) -> ParsedBlock:
        """Parses whole records, with texts as `codes.encode` makes them.

        Args:
            source: the file.
            data: the records.
            encoded_labels: the labels that class files name, as of `encode_labels`.
        """
        parsed = self.parse(source, data)
        value = in_one_piece(parsed.table["value"])
        value = codes.encode(value, self.coded, self.labels, decode_labels(encoded_labels))
        return dataclasses.replace(parsed, table=parsed.table.set_column(1, "value", value))


class CsvKind(Kind):
    """A kind whose files are CSV, or TSV, with a header."""

    def check_json(self, path: str, head: bytes) -> None:
        raise SourceError(f"{path} is JSON, and {self.name} are a table: give it without KIND=")

    def layout(self, source: Source) -> Layout | None:
        return self._parser(source).layout if self.free_texts else None

    def find_cut(self, source: Source, tail: bytes) -> CutRecord | None:
        parser = self._parser(source)
        return find_cut(tail, parser.names, self, parser.layout)

    def parse(self, source: Source, data: bytes) -> ParsedBlock:
        return self._parser(source).parse(data)

    def _parser(self, source: Source) -> CsvParser:
        return CsvParser(source.columns, self, source.delimiter)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class JsonLinesKind(Kind):
    """A kind whose files are JSON Lines.

    Attributes:
        noun: what failures call a row.
        passed_over: fields of text that published objects have and rows don't.
    """

    noun: str
    passed_over: tuple[str, ...] = ()

    def describe_unread(self, name: str) -> str:
        return f"{name} is not of the format's type"

    def parse(self, source: Source, data: bytes) -> ParsedBlock:
        return self._parser.parse(data)

    @functools.cached_property
    def _parser(self) -> JsonLinesParser:
        return JsonLinesParser(self, self.noun, self.passed_over)
