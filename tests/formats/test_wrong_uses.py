"""Wrong uses of each output format: one line that names the flag, and a remedy that works."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from open_images.building.plan import make_plan
from pipelines.cli import build_flags
from tests.builds import run_build

ID = "000000000000000a"
FILES = {
    "boxes/train-boxes.csv": "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n"
    f"{ID},xclick,/m/01,1,0,1,0,1\n",
    "masks/train-masks.csv": "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,"
    f"PredictedIoU,Clicks\n{ID}_m01_a.png,{ID},/m/01,a,0,1,0,1,1,\n",
    "labels/train-labels.csv": f"ImageID,Source,LabelName,Confidence\n{ID},verification,/m/01,1\n",
    "narratives/train-narratives.jsonl": f'{{"image_id": "{ID}", "caption": "A cat."}}\n',
    "points/train-points.csv": "ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,"
    f"UnsureVotes,TextLabel\n{ID},0.5,0.5,/m/01,yes,cc,1,0,0,\n",
    "classes/classes.csv": "/m/01,Cat\n",
    "gap.json": '{"Cat": 2}',
    "unknown.txt": "Unicorn\n",
    "map.txt": "Cat\n",
}
NEW = (
    *("coco", "yolo", "webdataset", "mds", "object_detection_api", "tfds_v4", "openimages"),
    "huggingface",
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of each kind, a picture and a mask."""
    folder = tmp_path_factory.mktemp("inputs")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for name in (f"images/{ID}.jpg", f"pngs/{ID}_m01_a.png"):
        (folder / name).parent.mkdir()
        Image.new("L", (8, 8)).save(folder / name)
    return folder


@pytest.fixture
def use(inputs: Path, tmp_path: Path) -> Callable[[str], list[str]]:
    """Makes flags of a line of them; annotations and pictures are added where it names none."""

    def use(line: str) -> list[str]:
        words = line.format(d=inputs).split()
        if "--annotations" not in words:
            for name in ("boxes", "labels", "classes"):
                words += ["--annotations", f"{inputs}/{name}"]
        if "--images" not in words:
            words += ["--images", f"{inputs}/images"]
        return [*words, "--output", str(tmp_path / "out")]

    return use


LABELS, BOXES, MASKS, POINTS = (
    f"--annotations {{d}}/{name}" for name in ("labels", "boxes", "masks", "points")
)
PNGS, WEBP, DROP = "--masks {d}/pngs", "--image_encoding webp", "--yolo_drop group_of"

#: By what is wrong: flags, what the line must hold, and the flags by its remedy.
MISTAKES = {
    # COCO
    "coco: no pictures": ("--format coco --images none", "by --images", "--format coco"),
    "coco: labels alone": (
        f"--format coco {LABELS}",
        "holds boxes, masks and captions: name files of these by --annotations",
        f"--format coco {LABELS} {BOXES}",
    ),
    "coco: points alone": (
        f"--format coco {POINTS}",
        "name files of these by --annotations",
        f"--format coco {POINTS} --annotations {{d}}/narratives",
    ),
    "coco: boxes that aren't selected": (
        "--format coco --label_types image_labels",
        "name files of these by --annotations; --label_types selects image_labels alone",
        "--format coco --label_types image_labels,boxes",
    ),
    "coco: an unknown layout": (
        "--format coco --coco_layout Roboflow",
        "did you mean roboflow?",
        "--format coco --coco_layout roboflow",
    ),
    "coco: its layout without it": (
        "--format parquet --coco_layout roboflow",
        "--coco_layout is for --format coco: add it (--format parquet,coco), or drop --coco_layout",
        "--format parquet,coco --coco_layout roboflow",
    ),
    # YOLO
    "yolo: no pictures": ("--format yolo --images none", "by --images", "--format yolo"),
    "yolo: no boxes": (
        f"--format yolo {LABELS}",
        "its labels are boxes: name a file of them by --annotations",
        f"--format yolo {LABELS} {BOXES}",
    ),
    "yolo: boxes that aren't selected": (
        "--format yolo --label_types image_labels",
        "name a file of them by --annotations; --label_types selects image_labels alone",
        "--format yolo --label_types image_labels,boxes",
    ),
    "yolo: segment without masks": (
        "--format yolo --yolo_task segment",
        "name their table by --annotations and their PNGs by --masks",
        f"--format yolo --yolo_task segment {MASKS} {PNGS}",
    ),
    "yolo: segment without PNGs": (
        f"--format yolo --yolo_task segment {MASKS}",
        "their PNGs by --masks",
        f"--format yolo --yolo_task segment {MASKS} {PNGS}",
    ),
    "yolo: segment without the table": (
        f"--format yolo --yolo_task segment {PNGS}",
        "name their table by --annotations",
        f"--format yolo --yolo_task segment {MASKS} {PNGS}",
    ),
    "yolo: masks that are dropped by flags": (
        f"--format yolo --yolo_task segment {MASKS} {BOXES} {PNGS} {DROP}",
        "--where_images 'boxes.is_group_of != 1'",
        f"--format yolo --yolo_task segment {MASKS} {BOXES} {PNGS} "
        "--where_images boxes.is_group_of!=1",
    ),
    "yolo: an unknown task": (
        "--format yolo --yolo_task segmentation",
        "did you mean segment?",
        f"--format yolo --yolo_task segment {MASKS} {PNGS}",
    ),
    "yolo: an unknown flag of boxes": (
        "--format yolo --yolo_drop is_group_of",
        "did you mean group_of?",
        f"--format yolo {DROP}",
    ),
    "yolo: its task without it": (
        f"--format parquet --yolo_task segment {MASKS} {PNGS}",
        "--yolo_task is for --format yolo: add it (--format parquet,yolo), or drop --yolo_task",
        f"--format parquet,yolo --yolo_task segment {MASKS} {PNGS}",
    ),
    "yolo: what it drops without it": (
        f"--format parquet,coco {DROP}",
        "--yolo_drop is for --format yolo: add it (--format parquet,coco,yolo), or drop",
        "--format parquet,coco",
    ),
    # Hugging Face
    "huggingface: objects without boxes": (
        f"--format huggingface --objects {LABELS}",
        "--objects are boxes: name a table of these by --annotations, or leave it out",
        f"--format huggingface --objects {LABELS} {BOXES}",
    ),
    "huggingface: objects without pictures": (
        "--format huggingface --objects --images none",
        "name these by --images, or leave it out",
        "--format huggingface --images none",
    ),
    "huggingface: objects without it": (
        "--format parquet --objects",
        "--objects is for --format huggingface: add it (--format parquet,huggingface), or drop",
        "--format parquet,huggingface --objects",
    ),
    # Formats of TensorFlow
    "object_detection_api: no pictures": (
        "--format object_detection_api --images none",
        "by --images",
        "--format object_detection_api",
    ),
    "object_detection_api: WebP": (
        f"--format object_detection_api {WEBP}",
        "leave object_detection_api out (--format parquet), or use jpeg",
        f"--format parquet {WEBP}",
    ),
    "object_detection_api: nothing that it holds": (
        f"--format object_detection_api {POINTS}",
        "name files of these by --annotations",
        f"--format object_detection_api {POINTS} {LABELS}",
    ),
    "tfds_v4: WebP, beside another": (
        f"--format tfds_v4,yolo {WEBP}",
        "TensorFlow can't decode it: leave tfds_v4 out (--format yolo), or use jpeg",
        f"--format yolo {WEBP}",
    ),
    "tfds_v4: nothing that it holds": (
        f"--format tfds_v4 {POINTS}",
        "name files of these by --annotations",
        f"--format tfds_v4 {POINTS} {BOXES}",
    ),
    "the default: WebP": (
        WEBP,
        "leave tfrecord out (--format parquet), or use jpeg",
        f"--format parquet {WEBP}",
    ),
    "several: WebP": (
        f"--format tfrecord,mds,openimages {WEBP}",
        "leave tfrecord, openimages out (--format mds), or use jpeg",
        f"--format mds {WEBP}",
    ),
    "openimages: WebP": (
        f"--format openimages {WEBP}",
        "readers of Open Images look for JPEG: leave openimages out",
        "--format openimages --image_encoding jpeg",
    ),
    # Names that people know formats by.
    "webdataset: its short name": (
        "--format wds",
        "did you mean webdataset?",
        "--format webdataset",
    ),
    "webdataset: its files": ("--format tar", "did you mean webdataset?", "--format webdataset"),
    "huggingface: its short name": (
        "--format hf",
        "did you mean huggingface?",
        "--format huggingface",
    ),
    "huggingface: its library": (
        "--format datasets",
        "did you mean huggingface?",
        "--format huggingface",
    ),
    "mds: its package": ("--format streaming", "did you mean mds?", "--format mds"),
    "mds: who makes it": ("--format mosaicml", "did you mean mds?", "--format mds"),
    "yolo: who reads it": ("--format ultralytics", "did you mean yolo?", "--format yolo"),
    "yolo: a version of it": ("--format yolov8", "did you mean yolo?", "--format yolo"),
    "coco: a layout of it": ("--format roboflow", "did you mean coco?", "--format coco"),
    "tfds_v4: its dataset": (
        "--format open_images_v4",
        "did you mean tfds_v4?",
        "--format tfds_v4",
    ),
    "object_detection_api: cut short": (
        "--format object_detection",
        "did you mean object_detection_api?",
        "--format object_detection_api",
    ),
    "openimages: with a dash": (
        "--format open-images",
        "did you mean openimages?",
        "--format openimages",
    ),
    "two of them, told apart by a semicolon": (
        "--format coco;yolo",
        "'coco;yolo' is none of",
        "--format coco,yolo",
    ),
    "two of them, told apart by a space": ("--format coco yolo", "yolo", "--format coco,yolo"),
}

#: Wrong uses that all formats share, likewise; `F` is the format.
SHARED = {
    "in capitals": ("--format {F!u}", "did you mean {F}?", "--format {F}"),
    "a size without a side": (
        "--format {F} --resize shortest",
        "--resize and --image_size go together: give both, or neither",
        "--format {F} --resize shortest --image_size 8",
    ),
    "a side without a size": (
        "--format {F} --image_size 8",
        "--resize and --image_size go together: give both, or neither",
        "--format {F}",
    ),
    "shards by number and size": (
        "--format {F} --num_shards 2 --shard_size 64MiB",
        "argument --num_shards: not allowed with argument --shard_size",
        "--format {F} --num_shards 2",
    ),
    "no shards": ("--format {F} --num_shards 0", "--num_shards", "--format {F} --num_shards 1"),
    "shards of no size": (
        "--format {F} --shard_size 64MP",
        "'64MP'",
        "--format {F} --shard_size 64MiB",
    ),
    "numbers with a gap": (
        "--format {F} --label_map {d}/gap.json",
        "number classes from 1 (0 is none) without gaps",
        "--format {F} --label_map {d}/map.txt",
    ),
    "a number for no class": (
        "--format {F} --label_map {d}/unknown.txt",
        "Unicorn",
        "--format {F} --label_map {d}/map.txt",
    ),
    "maps of no masks": (
        "--format {F} --mask_maps semantic",
        "name them by --masks",
        f"--format {{F}} --mask_maps semantic {MASKS} {BOXES} {PNGS}",
    ),
    "an encoding that isn't": (
        "--format {F} --image_encoding jpg",
        "did you mean jpeg?",
        "--format {F} --image_encoding jpeg",
    ),
}
ALL = MISTAKES | {
    f"{form}: {name}": tuple(
        text.replace("{F!u}", form.upper()).replace("{F}", form) for text in mistake
    )
    for form in NEW
    for name, mistake in SHARED.items()
}


@pytest.mark.parametrize("name", ALL)
def test_a_wrong_use_is_one_line_with_a_remedy_that_works(name: str, use: Callable, tmp_path: Path):
    line, wanted, remedy = ALL[name]
    built = run_build(*use(line))
    assert (built.returncode, built.stdout) == (2, "")
    (told,) = built.stderr.splitlines()
    assert wanted in told
    assert not (tmp_path / "out" / "versions").exists()
    flags, _ = build_flags.parse(use(remedy))
    make_plan(flags)


def test_a_format_that_is_named_twice_is_written_once(use: Callable):
    flags, _ = build_flags.parse(use("--format coco,parquet,coco"))
    assert make_plan(flags).formats == ("coco", "parquet")


def test_lists_of_a_repeated_flag_are_joined(use: Callable):
    flags, _ = build_flags.parse(use("--format coco --splits val --format parquet,coco"))
    assert flags.splits == ("validation",)
    assert make_plan(flags).formats == ("coco", "parquet")
