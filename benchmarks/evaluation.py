"""Measures an evaluation of detections, and the evaluators of others on some of the images.

Ground truth is drawn at the proportions of the validation split: 41,620 images with 7.07 boxes
each, 6% of them around groups, and three verified negatives; 100 detections an image, a third of
them near a box. An evaluation reads it all from CSV, by one worker and by two, and by two with
COCO's metric, and writes its report. A peer runs in the first of `--environments` that
has its library, on the first `--sample` images, which it has in memory when its time begins: that
is scaled up to all images.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv

from benchmarks.environments import add_environments, find_environment
from benchmarks.measure import CommandError, Measurement
from benchmarks.once import run_once
from benchmarks.programs import Program
from benchmarks.report import (
    add_places,
    elapsed,
    limit_cores,
    machine,
    make_parser,
    median,
    mib,
    positive,
    publish,
    say,
    table,
    work_folder,
)
from open_images.synthesis import vocabulary
from transforms.dataset.keys import image_ids, mix
from transforms.kinds.hierarchy import HIERARCHY
from transforms.wording import counted

_WORKERS = 2
_BOXES_AN_IMAGE, _GROUP_SHARE, _NEGATIVES = 7.07, 0.06, 3
_DETECTIONS, _NEAR = 100, 0.33
_ROWS_AT_ONCE = 2_000  # images


class Peer(NamedTuple):
    """An evaluator of others: `evaluation_peers` with this name.

    Attributes:
        title: for the table.
        packages: that it imports.
        protocol: of ours, that it is compared with.
    """

    title: str
    packages: Sequence[str]
    protocol: str


PEERS = {
    "reference": Peer("Object Detection API, `challenge`", ["object_detection"], "challenge"),
    "mmeval": Peer("MMEval's OIDMeanAP", ["mmeval"], "challenge"),
    "faster_coco_eval": Peer("faster-coco-eval, COCO's metric", ["faster_coco_eval"], "coco"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Returns:
        The exit code: 0 done, 1 a program failed, 2 wrong use.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    flags = _parser().parse_args(given)
    limit_cores(_WORKERS)
    about = machine(("apache-beam", "pyarrow", "numpy"), _WORKERS)
    try:
        with work_folder(flags.work) as work:
            corpus = make_corpus(work, flags.images)
            ours = {
                each: [_run(_evaluation(*each), corpus, work) for _ in range(flags.repeats)]
                for each in (("challenge", 1), ("challenge", _WORKERS), ("coco", _WORKERS))
            }
            peers = _run_peers(flags, corpus)
    except (CommandError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    rows = [
        (
            f"`{protocol}`, {counted(workers, 'worker')}",
            elapsed(runs),
            mib(median(runs).peak_bytes),
            "",
        )
        for (protocol, workers), runs in ours.items()
    ]
    for name, (seconds, images) in peers.items():
        scaled = seconds * flags.images / images
        best = median(ours[PEERS[name].protocol, _WORKERS]).seconds
        title, shown = PEERS[name].title, f"{scaled:,.0f} ({images:,} images)"
        rows.append((title, shown, "", f"{scaled / best:.1f}"))
    heading = ("", "seconds", "peak MiB", "times ours by two")
    body = (
        f"{about}\n\n{flags.images:,} images, {_DETECTIONS} detections each; medians of "
        f"{flags.repeats}. Of peers, without reading: some images, scaled up.\n\n"
    )
    publish(
        flags.results, "Evaluation", "benchmarks.evaluation", given, body + table(heading, rows)
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("benchmarks.evaluation", __doc__)
    add = parser.add_argument
    add("--images", type=positive, default=41_620, metavar="N", help="default: 41620")
    add("--sample", type=positive, default=400, metavar="N", help="for peers; default: 400")
    add("--repeats", type=positive, default=3, metavar="N", help="default: 3")
    add_environments(parser, sorted({name for peer in PEERS.values() for name in peer.packages}))
    add_places(parser)
    return parser


def _evaluation(protocol: str, workers: int) -> Program:
    return Program(
        f"evaluate by {protocol}, {workers} workers",
        (
            *(sys.executable, "-m", "pipelines.evaluate", "--num_workers", str(workers)),
            *("--ground_truth", "{annotations}/truth", "--output", "{output}"),
            *("--predictions", "{annotations}/detections.csv", "--protocol", protocol),
        ),
        examples="",
    )


def _run(program: Program, corpus: Path, work: Path) -> Measurement:
    say(f"  {program.title}")
    with run_once(program, corpus, work) as (measured, _):
        return measured


def _run_peers(flags: argparse.Namespace, corpus: Path) -> dict[str, tuple[float, int]]:
    """Returns the seconds of each peer that an environment has, and for how many images."""
    found = {}
    for name, peer in PEERS.items():
        python = find_environment(flags.environments, peer.packages)
        if python is None:
            say(f"{peer.title}: no environment has {', '.join(peer.packages)}")
            continue
        say(f"  {peer.title}")
        program = Path(__file__).with_name("evaluation_peers.py")
        command = [python, str(program), name, str(corpus), str(flags.sample)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[name] = float(done.stdout.split()[-1]), flags.sample
    return found


def make_corpus(work: Path, images: int) -> Path:
    """Returns the folder of ground truth and detections, drawn unless it is there."""
    folder = work / f"evaluation-{images}"
    if (folder / "detections.csv").exists():
        return folder
    say(f"{images:,} images with detections are drawn")
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    classes = _classes()
    # A few classes are frequent, as in Open Images.
    shares = 1 / np.arange(1, len(classes) + 1) ** 1.1
    shares /= shares.sum()
    parts: dict[str, list[pa.Table]] = {"boxes": [], "labels": [], "detections": []}
    for start in range(0, images, _ROWS_AT_ONCE):
        numbers = np.arange(start, min(start + _ROWS_AT_ONCE, images), dtype=np.uint64)
        for name, rows in _draw(rng, numbers, classes, shares).items():
            parts[name].append(rows)
    names = {
        "boxes": "truth/validation-annotations-bbox.csv",
        "labels": "truth/validation-annotations-human-imagelabels-boxable.csv",
        "detections": "detections.csv",
    }
    for name, path in names.items():
        options = csv.WriteOptions(quoting_style="none")
        csv.write_csv(pa.concat_tables(parts[name]), folder / path, options)
    return folder


def _classes() -> list[str]:
    """Returns the MIDs of classes of the hierarchy, the same each time."""
    path = Path(vocabulary.__file__).with_name("bbox_labels_600_hierarchy.json")
    entries, _ = HIERARCHY.read(path.read_bytes(), path.name)
    return sorted(entry.label for entry in entries if entry.parents)[:500]


def _draw(
    rng: np.random.Generator, numbers: np.ndarray, classes: Sequence[str], shares: np.ndarray
) -> dict[str, pa.Table]:
    """Draws boxes, labels and detections of some images."""
    ids = image_ids(mix(numbers))
    count = rng.poisson(_BOXES_AN_IMAGE, len(numbers))
    owner = np.repeat(np.arange(len(numbers)), count)
    own_classes = rng.choice(len(classes), len(owner), p=shares)
    boxes = _boxes(rng, len(owner))
    names = pa.array(classes)

    def columns(owners: np.ndarray, labels: np.ndarray, middle: dict) -> dict:
        return {
            "ImageID": ids.take(pa.array(owners)),
            "LabelName": names.take(pa.array(labels)),
            **middle,
        }

    corners = dict(zip(("XMin", "XMax", "YMin", "YMax"), boxes.T, strict=True))
    flags = {
        "IsOccluded": np.zeros(len(owner), np.int8),
        "IsTruncated": np.zeros(len(owner), np.int8),
        "IsGroupOf": (rng.random(len(owner)) < _GROUP_SHARE).astype(np.int8),
        "IsDepiction": np.zeros(len(owner), np.int8),
        "IsInside": np.zeros(len(owner), np.int8),
    }
    ones = np.ones(len(owner), np.int8)
    truth = columns(owner, own_classes, {"Confidence": ones, **corners, **flags})
    negatives = np.repeat(np.arange(len(numbers)), _NEGATIVES)
    pairs = np.unique(np.stack([owner, own_classes], axis=1), axis=0)
    labelled = np.concatenate([pairs[:, 0], negatives])
    label_classes = np.concatenate([pairs[:, 1], rng.integers(0, len(classes), len(negatives))])
    confidence = np.repeat([1, 0], [len(pairs), len(negatives)]).astype(np.int8)
    labels = columns(labelled, label_classes, {"Confidence": confidence})
    detected = np.repeat(np.arange(len(numbers)), _DETECTIONS)
    first = np.cumsum(count) - count
    chosen = first[detected] + (rng.random(len(detected)) * count[detected]).astype(np.int64)
    is_near = (rng.random(len(detected)) < _NEAR) & (count[detected] > 0)
    found = _boxes(rng, len(detected))
    at = chosen[is_near]
    found[is_near] = np.clip(boxes[at] + rng.normal(0, 0.02, (len(at), 4)), 0, 1)
    found_classes = rng.choice(len(classes), len(detected), p=shares)
    found_classes[is_near] = own_classes[at]
    middle = {"Score": rng.random(len(detected)).round(6)}
    middle |= dict(zip(("XMin", "XMax", "YMin", "YMax"), found.round(6).T, strict=True))
    return {
        "boxes": pa.table(truth),
        "labels": pa.table(labels),
        "detections": pa.table(columns(detected, found_classes, middle)),
    }


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draws boxes, (count, 4): xmin, xmax, ymin, ymax with six digits."""
    sides = np.sort(rng.random((count, 2, 2)), axis=2).round(6)
    return sides.reshape(count, 4)


if __name__ == "__main__":
    sys.exit(main())
