"""The corpus with pictures: scenes drawn, annotated and written in a release's layout.

Its quirks, all of them as the published files have them: rows in no order; flags of -1; clicks of
-1 where the source isn't xclick; authors and titles with quotes, commas, line breaks, many scripts
and emoji; rotations of all kinds, empty and `nan`; empty thumbnails; confidences `1`, `1.0` and
`0.7` in one file; box ids that look like numbers; masks without PredictedIoU and of another size
than the picture; traces outside [0, 1]; images without annotations; attributes that repeat their
box; float text with many digits; texts with commas in the points; and the line ends of `layout`.
"""

import functools
import json
import random
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from open_images.synthesis import annotations, layout
from open_images.synthesis.archives import Archives
from open_images.synthesis.identity import image_id, split_ranges
from open_images.synthesis.narrate import narrative_line
from open_images.synthesis.photos import photo_row, rotation_of
from open_images.synthesis.regions import grouped
from open_images.synthesis.render import jpeg, render, turn
from open_images.synthesis.scenes import compose
from open_images.synthesis.voices import speak
from transforms.kinds import published
from transforms.kinds.csv_text import csv_bytes
from transforms.system.processes import in_order

_EMPTY_EVERY = 20  # one image in so many is an empty landscape without any annotations
_MASK_SHARE = 0.8
_NARRATED_EVERY = 3
_QUOTED_IN_V3 = (5, 6, 7)  # AuthorProfileURL, Author, Title


@dataclass
class Annotated:
    """A picture with its rows.

    Attributes:
      jpeg: the encoded picture.
      rows: of each table, complete lines in bytes.
      masks: (MaskPath, PNG).
      voices: (voice_recording, OGG).
    """

    image_id: str
    split: str
    jpeg: bytes
    rows: dict[str, list[bytes]]
    masks: list[tuple[str, bytes]]
    voices: list[tuple[str, bytes]]


def annotated_image(seed: int, release: str, with_voices: bool, job: tuple[int, str]) -> Annotated:
    """Draws and annotates one image.

    Args:
      seed: the corpus's seed.
      release: `v7` or `v3`.
      with_voices: whether narratives are spoken, too.
      job: number of the image in the corpus, and its split.

    Returns:
      The picture and its rows; a function of the arguments alone.
    """
    index, split = job
    rng = np.random.default_rng([seed, index])
    number = image_id(seed, index)
    empty = index % _EMPTY_EVERY == 7
    picture = render(compose(rng, empty), rng)
    rotation = rotation_of(index)
    if release == "v7" and rotation not in ("", "nan"):
        picture = turn(picture, round(float(rotation)))
    photo = photo_row(number, split, index, release, rng)
    quoted = _QUOTED_IN_V3 if release == "v3" else ()
    result = Annotated(number, split, jpeg(picture.pixels), {}, [], [])
    result.rows["images"] = [csv_bytes([photo], quoted)]
    if empty:
        return result

    regions = grouped(picture.regions)
    columns = published.header_of(release, "boxes", split).count(",") + 1
    boxes = [annotations.box_of(region, release, split, rng) for region in regions]
    names = annotations.names_in(picture, regions)
    tables = {
        "boxes": [annotations.box_row(number, box, columns, rng) for box in boxes],
        "human_labels": annotations.human_rows(number, names, rng),
        "machine_labels": annotations.machine_rows(number, names, rng),
    }
    if release == "v7":
        masked = [
            annotations.mask_of(number, box, rng)
            for box in boxes
            if not box.region.is_group and rng.random() < _MASK_SHARE
        ]
        result.masks = [(row[0], png) for row, png in masked]
        people = (annotations.person_row(number, region, rng) for region in regions)
        tables["masks"] = [row for row, _ in masked]
        tables["person_boxes"] = [row for row in people if row]
        tables["relationships"] = annotations.relationship_rows(
            number, boxes, picture.scene.relations
        )
        tables["points"] = annotations.point_rows(number, picture, regions, rng)
        if index % _NARRATED_EVERY == 0:
            line = narrative_line(number, split, picture, regions, rng)
            result.rows["narratives"] = [line.encode()]
            if with_voices:
                narrative = json.loads(line)
                sound = speak(narrative["timed_caption"], index)
                result.voices = [(narrative["voice_recording"], sound)]
    for table, rows in tables.items():
        result.rows[table] = [csv_bytes([row]) for row in rows]
    return result


def write_corpus(
    output: Path,
    pixels: str,
    images: int,
    release: str,
    seed: int,
    workers: int,
    with_voices: bool = False,
) -> None:
    """Writes a corpus with pictures.

    Args:
      output: an empty folder.
      pixels: `folder`, `tar` or `zip`.
      images: how many.
      release: `v7` or `v3`.
      seed: decides on everything.
      workers: processes; they don't change the bytes.
      with_voices: whether recordings of narratives are written, in the form of the pictures.
    """
    rows: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    with (
        closing(Archives(output / "images", pixels)) as pictures,
        closing(Archives(output / "masks", "zip")) as masks,
        closing(Archives(output / "voices", pixels)) as voices,
    ):
        jobs = [(index, split) for split, span in split_ranges(images).items() for index in span]
        drawn = in_order(
            functools.partial(annotated_image, seed, release, with_voices), jobs, workers
        )
        for image in tqdm(drawn, total=images, unit="image", disable=None):
            pictures.add(image.split, f"{image.split}/{image.image_id}.jpg", image.jpeg)
            for name, data in image.masks:
                masks.add(f"{image.split}-masks-{name[0]}", name, data)
            for name, data in image.voices:
                voices.add(f"voices-{image.split}", name, data)
            for table, lines in image.rows.items():
                rows[table, image.split] += lines
    for split in split_ranges(images):
        for table in layout.tables_of(release):
            lines = rows[table, split]
            random.Random(f"{seed}/{table}/{split}").shuffle(lines)
            names = layout.files_of(release, table, split)
            header = published.header_of(release, table, split)
            for part, name in enumerate(names):
                with closing(layout.TableFile(output / "annotations", name, header)) as file:
                    file.append(b"".join(lines[part :: len(names)]))
