"""The rows of each table, thousands at a time, as functions of the seed and their positions."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from open_images.synthesis import bulk_pools as pools
from open_images.synthesis.batches import Batch, bits
from open_images.synthesis.bulk_boxes import boxes, masks, person_boxes, relationships
from open_images.synthesis.columns import (
    choose,
    coordinate_fields,
    decimals,
    fields,
    hex8,
    join,
    md5_base64,
    pick,
)
from open_images.synthesis.identity import draw
from open_images.synthesis.photos import HOST, LICENSE


def images(batch: Batch) -> pa.Array:
    """Rows of the image table."""
    v3 = batch.release == "v3"
    chance, more = batch.draw("photo"), batch.draw("photo/more")
    author = bits(chance, 0, 32) % np.uint64(1000)
    site = join("synthetic-", decimals(author, 3))
    number = join("3", decimals(bits(chance, 32, 32), 5), decimals(bits(more, 32, 32), 4))
    farm = decimals(bits(more, 0, 6), 1)
    folder = decimals(bits(more, 6, 20), 4)
    host = f".{HOST}/"
    url = join("https://farm", farm, host, folder, "/", number, "_", hex8(more))
    thumbnail = choose(bits(more, 0, 12) >= 100, join(url, "_z.jpg"))
    mark = '"' if v3 else ""
    return join(
        batch.image_ids(),
        f",{batch.split},",
        url,
        "_o.jpg,https://www.flickr.example/photos/",
        site,
        "/",
        number,
        f",{LICENSE},{mark}https://www.flickr.example/people/",
        site,
        f"/{mark}",
        pick(pools.author_fields(v3), author),
        pick(pools.title_fields(v3), bits(more, 12, 12)),
        ",",
        pick(pa.array([str(i) for i in range(1, 51)]), bits(chance, 40, 20) % np.uint64(50)),
        decimals(bits(chance, 8, 30), 5),
        ",",
        md5_base64(chance, more),
        ",",
        thumbnail,
        "\n" if v3 else pick(pools.rotation_ends(), bits(more, 24, 6)),
    )


def narratives(batch: Batch) -> pa.Array:
    """Lines of narratives."""
    which = bits(batch.draw("narrative"), 0, 6)
    pieces = pools.narrative_pieces(batch.split, batch.narrative_bytes)
    before, between, after = (pick(piece, which) for piece in pieces)
    ids = batch.image_ids()
    return join(before, ids, between, ids, after)


def points(batch: Batch) -> pa.Array:
    """Rows of point labels."""
    chance = batch.draw("point")
    style = coordinate_fields("six")
    return join(
        batch.image_ids(),
        pick(style, bits(chance, 0, 16)),
        pick(style, bits(chance, 16, 16)),
        pick(pools.label_fields(), pools.popularity(len(pools.label_mids()))[bits(chance, 32, 18)]),
        pick(pools.point_ends(), bits(chance, 50, 6) % np.uint64(len(pools.point_ends()))),
    )


def human_labels(batch: Batch) -> pa.Array:
    """Rows of verified image labels."""
    chance, label = _labels(batch, "human")
    sources = fields(["verification"] * 3 + ["crowdsource-verification"])
    return join(
        batch.image_ids(),
        pick(sources, bits(chance, 0, 2)),
        label,
        pick(pools.human_ends(), bits(chance, 2, 4)),
    )


def machine_labels(batch: Batch) -> pa.Array:
    """Rows of the classifier's image labels."""
    chance, label = _labels(batch, "machine")
    ends = pick(pools.machine_ends(), bits(chance, 2, 4))
    return join(batch.image_ids(), ",machine", label, ends)


def _labels(batch: Batch, stream: str) -> tuple[np.ndarray, pa.Array]:
    """Chances for each row, and labels that follow Zipf's law but rarely recur in an image."""
    chance = batch.draw(stream)
    # Each of an image's rows draws from a stretch of the distribution that is its own.
    turn = bits(draw(batch.seed, stream + "/turn", batch.rows.image), 0, 16).astype(np.int64)
    stretch = (batch.rows.layer + turn) % batch.layers
    place = ((stretch << 18) + bits(chance, 8, 18).astype(np.int64)) // batch.layers
    return chance, pick(pools.label_fields(), pools.popularity(len(pools.label_mids()))[place])


MAKERS: dict[str, Callable[[Batch], pa.Array]] = {
    maker.__name__: maker
    for maker in (
        images,
        boxes,
        person_boxes,
        masks,
        relationships,
        narratives,
        points,
        human_labels,
        machine_labels,
    )
}
