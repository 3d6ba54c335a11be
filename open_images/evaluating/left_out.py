"""The list of rows of predictions that are left out, with their lines where files have some."""

from collections.abc import Iterator, Mapping, Sequence

from open_images.evaluating.documents import encode_csv
from transforms.dataset.elements import Source
from transforms.evaluation.bucket import LeftOutRow
from transforms.evaluation.kinds.registry import EVALUATED
from transforms.storage.archives import open_inflated
from transforms.storage.stores import ObjectOptions

_BLOCK_BYTES = 1 << 20
_DETAILS = {
    True: "the ground truth doesn't have this image",
    False: "the ground truth doesn't have this class",
}


def encode_left_out(
    listed: Mapping[int, Sequence[LeftOutRow]], sources: Sequence[Source], options: ObjectOptions
) -> bytes:
    """Returns the content of `left_out.csv`.

    Args:
        listed: rows by the index of their source.
        sources: files, by index.
        options: how object stores are reached.
    """
    table = []
    for index, rows in listed.items():
        source = sources[index]
        lines = _first_lines(source, {row.image_id for row in rows}, options)
        for row in rows:
            line = lines.get(row.image_id, "")
            detail = _DETAILS[row.lacks_image]
            table.append([source.shown_name, line, row.image_id, row.label, detail])
    return encode_csv(["source", "line", "image_id", "label", "detail"], table)


def _first_lines(source: Source, wanted: set[str], options: ObjectOptions) -> dict[str, int]:
    """Returns the first lines of a CSV file where images are named; none of another file."""
    kind = EVALUATED.get(source.kind)
    if kind is None:
        return {}
    place = source.columns.index(kind.image_id)
    separator, found = source.delimiter.encode(), {}
    waiting = {image_id.encode() for image_id in wanted}
    for number, line in enumerate(_lines(source, options), 1):
        words = line.split(separator, place + 1)
        word = words[place].strip(b' "\r\n').lower() if len(words) > place else b""
        if word in waiting:
            found[word.decode()] = number
            waiting.remove(word)
            if not waiting:
                break
    return found


def _lines(source: Source, options: ObjectOptions) -> Iterator[bytes]:
    with open_inflated(source.path, options=options) as file:
        rest = b""
        while block := file.read(_BLOCK_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            yield from lines
    yield rest
