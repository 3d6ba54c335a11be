"""Evaluations by the command: values of the reference, the same report however it runs, and what is
said of wrong use and bad rows."""

import contextlib
import csv
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from pycocotools import coco, cocoeval

import open_images
from open_images.evaluating import one_evaluation
from tests.builds import latest_version, run_build
from tests.evaluation.commands import Done, run_evaluate
from transforms.evaluation.coco_metric import FIGURES

_DATA = Path(__file__).with_name("oid500")
_BOXES = _DATA / "validation-annotations-bbox.csv.gz"
_LABELS = _DATA / "validation-annotations-human-imagelabels-boxable.csv.gz"
_PREDICTIONS = _DATA / "predictions.csv.gz"
_ALL = ("--protocol", "oid_v2,challenge,mmdet", "--iou", "0.5,0.75", "--explain")
_HEADER = "ImageID,LabelName,Score,XMin,XMax,YMin,YMax"


def _of_oid500(output: Path, *arguments: object) -> Done:
    truth = ("--ground_truth", _BOXES, "--ground_truth", _LABELS)
    return run_evaluate(*truth, "--predictions", _PREDICTIONS, "--output", output, *arguments)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the 500 pictures by all protocols."""
    output = tmp_path_factory.mktemp("evaluation") / "report"
    done = _of_oid500(output, *_ALL)
    assert done.code == 0, done.stderr
    return output


def test_values_are_those_of_the_reference(report: Path):
    metrics = json.loads((report / "report.json").read_text())["metrics"]
    # Computed by the Object Detection API's evaluator, and for mmdet by MMEval's rules.
    expected = {"OpenImagesV2_Precision/mAP@0.5IOU": 0.5821445547379372, "mAP@0.5IOU": 0.7314298261}
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, abs=1e-9)
    assert len(metrics) == 6


def test_steps_lead_from_one_protocol_to_the_next(report: Path):
    content = json.loads((report / "report.json").read_text())
    steps = content["steps"]
    means = {
        each["protocol"]: each["mean_average_precision"]
        for each in content["protocols"]
        if each["iou"] == 0.5
    }
    assert steps[0]["mean_average_precision"] == means["oid_v2"]
    assert steps[-1]["mean_average_precision"] == means["mmdet"]
    difference = means["mmdet"] - means["oid_v2"]
    assert sum(each["change"] for each in steps[1:]) == pytest.approx(difference)
    texts = [each["text"] for each in steps]
    assert [text.rpartition(": ")[2] for text in texts if ": " in text] == ["challenge", "mmdet"]


def test_classes_add_up(report: Path):
    rows = list(csv.DictReader((report / "per_class.csv").open()))
    content = json.loads((report / "report.json").read_text())
    for each in content["protocols"]:
        own = [
            row
            for row in rows
            if (row["protocol"], float(row["iou"])) == (each["protocol"], each["iou"])
        ]
        known = [float(row["average_precision"]) for row in own if row["average_precision"]]
        assert np.mean(known) == pytest.approx(each["mean_average_precision"], abs=1e-12)
        assert sum(int(row["true_positive"]) for row in own) == each["verdicts"]["true_positive"]
        if each["protocol"] != "mmdet":  # which counts a detection several times
            assert sum(each["verdicts"].values()) == 45_133


def test_matches_tell_each_detection_and_each_missed_box(report: Path):
    content = json.loads((report / "report.json").read_text())
    files = sorted((report / "matches").glob("challenge-*.parquet"))
    matches = pa.concat_tables(pq.read_table(file) for file in files)
    counts = {
        row["values"]: row["counts"]
        for row in matches["verdict"].combine_chunks().cast(pa.string()).value_counts().to_pylist()
    }
    missed = counts.pop("missed")
    (challenge,) = [
        each
        for each in content["protocols"]
        if (each["protocol"], each["iou"]) == ("challenge", 0.5)
    ]
    assert counts == {name: count for name, count in challenge["verdicts"].items() if count}
    found = counts["true_positive"] + counts["found_group"]
    assert found + missed == challenge["ground_truth"]
    hits = matches.filter(pc.equal(matches["verdict"].cast(pa.string()), "true_positive"))
    assert pc.min(hits["overlap"]).as_py() >= 0.5


def test_the_report_is_the_same_however_it_runs(report: Path, tmp_path: Path):
    for number, flags in enumerate((("--num_workers", "2"), ("--exchange", "engine"))):
        other = tmp_path / str(number)
        assert _of_oid500(other, *_ALL, *flags).code == 0
        names = {path.relative_to(report) for path in report.rglob("*") if path.is_file()}
        assert names == {path.relative_to(other) for path in other.rglob("*") if path.is_file()}
        for name in names:
            assert (report / name).read_bytes() == (other / name).read_bytes(), name


def test_the_order_of_rows_between_images_and_files_changes_nothing(report: Path, tmp_path: Path):
    table = pacsv.read_csv(_PREDICTIONS)
    order = pc.sort_indices(table, [("ImageID", "descending")])
    halves = tmp_path / "predictions"
    halves.mkdir()
    shuffled = table.take(order)
    for name, part in (("b.csv", shuffled.slice(0, 20_000)), ("a.csv", shuffled.slice(20_000))):
        pacsv.write_csv(part, halves / name)
    truth = ("--ground_truth", _BOXES, "--ground_truth", _LABELS)
    output = tmp_path / "report"
    done = run_evaluate(*truth, "--predictions", halves, "--output", output)
    assert done.code == 0, done.stderr
    name = "OpenImagesDetectionChallenge_Precision/mAP@0.5IOU"
    ours = json.loads((output / "report.json").read_text())["metrics"][name]
    assert ours == json.loads((report / "report.json").read_text())["metrics"][name]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthesized corpus, its version, and detections: jittered boxes of the ground truth."""
    folder = tmp_path_factory.mktemp("corpus")
    synthesize = (sys.executable, "-m", "pipelines.synthesize", "--images", "60")
    subprocess.run([*synthesize, "--output", str(folder / "oid")], check=True, capture_output=True)
    annotations = folder / "oid" / "annotations"
    version = folder / "dataset"
    build = run_build(
        *("--annotations", annotations, "--images", folder / "oid" / "images"),
        *("--format", "parquet,coco"),
        *("--output", version),
    )
    assert build.returncode == 0, build.stderr
    rng = np.random.default_rng(7)
    with (folder / "detections.csv").open("w") as file:
        print(_HEADER, file=file)
        for table in sorted(annotations.rglob("*-annotations-bbox.csv")):
            for row in csv.DictReader(table.open()):
                for _ in range(2):
                    box = [float(row[name]) for name in ("XMin", "XMax", "YMin", "YMax")]
                    moved = [f"{each + rng.normal(0, 0.03):.6f}" for each in box]
                    score = f"{rng.random():.6f}"
                    print(row["ImageID"], row["LabelName"], score, *moved, sep=",", file=file)
    return folder


def test_a_version_is_the_same_ground_truth_as_its_files(corpus: Path, tmp_path: Path):
    detections = ("--predictions", corpus / "detections.csv", "--protocol", "oid_v2,challenge")
    reports = []
    for name, truth in (("files", corpus / "oid" / "annotations"), ("version", corpus / "dataset")):
        output = tmp_path / name
        done = run_evaluate("--ground_truth", truth, *detections, "--output", output)
        assert done.code == 0, done.stderr
        reports.append(json.loads((output / "report.json").read_text()))
    assert reports[0]["protocols"] == reports[1]["protocols"]
    assert reports[0]["protocols"][0]["verdicts"]["true_positive"] > 100


def test_a_version_that_is_expanded_is_not_expanded_again(corpus: Path, tmp_path: Path):
    build = run_build(
        *("--annotations", corpus / "oid" / "annotations", "--images", "none"),
        *("--format", "parquet", "--expand_hierarchy", "--output", tmp_path / "expanded"),
    )
    assert build.returncode == 0, build.stderr
    reports = []
    for name in (corpus / "dataset", tmp_path / "expanded"):
        output = tmp_path / f"{name.name}-report"
        given = ("--ground_truth", name, "--predictions", corpus / "detections.csv")
        done = run_evaluate(*given, "--output", output)
        assert done.code == 0, done.stderr
        reports.append(json.loads((output / "report.json").read_text())["protocols"])
    assert "built with --expand_hierarchy: not expanded again" in done.stderr
    assert reports[0] == reports[1]


def _write_records(folder: Path, table: pa.Table, numbers: dict[str, int]) -> None:
    """Writes the detections as the Object Detection API does, in two files; one image has none."""
    import tensorflow as tf

    def floats(values: list[float]) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    images: dict[str, list[dict]] = {"00000000000000ff": []}
    for row in table.to_pylist():
        images.setdefault(row["ImageID"], []).append(row)
    records = []
    for image_id, rows in images.items():
        features = {
            f"image/detection/bbox/{name.lower()}": floats([row[name] for row in rows])
            for name in ("XMin", "XMax", "YMin", "YMax")
        }
        features["image/detection/score"] = floats([row["Score"] for row in rows])
        labels = [numbers[row["LabelName"]] for row in rows]
        features["image/detection/label"] = tf.train.Feature(
            int64_list=tf.train.Int64List(value=labels)
        )
        features["image/source_id"] = tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[image_id.encode()])
        )
        records.append(tf.train.Example(features=tf.train.Features(feature=features)))
    for number in range(2):
        with tf.io.TFRecordWriter(str(folder / f"records-{number:05}-of-00002")) as writer:
            for record in records[number::2]:
                writer.write(record.SerializeToString())


def _as_tables(corpus: Path, folder: Path) -> dict[str, tuple[Path, ...]]:
    """Writes the detections in other layouts."""
    table = pacsv.read_csv(corpus / "detections.csv")
    version = latest_version(corpus / "dataset")
    examples = version.table.select(["image_id", "width", "height"])
    sizes = {row["image_id"]: (row["width"], row["height"]) for row in examples.to_pylist()}
    classes = json.loads((version.folder / "classes.json").read_text())
    numbers = {each["label"]: each["index"] for each in classes}
    names = {each["label"]: each["name"].upper() for each in classes if each["name"]}
    ids = {}
    for path in (version.folder / "coco" / "annotations").glob("instances_*.json"):
        for image in json.loads(path.read_text())["images"]:
            ids[Path(image["file_name"]).stem] = image["id"]
    results, pixels = [], []
    for row in table.to_pylist():
        width, height = sizes[row["ImageID"]]
        left, right = row["XMin"] * width, row["XMax"] * width
        top, bottom = row["YMin"] * height, row["YMax"] * height
        label = row["LabelName"]
        box = [left, top, right - left, bottom - top]
        results.append(
            {
                "image_id": row["ImageID"],
                "category_id": numbers[label],
                "bbox": box,
                "score": row["Score"],
            }
        )
        pixels.append(
            {
                "image": row["ImageID"],
                "category": names.get(label, label),
                "confidence": row["Score"],
                "x1": left,
                "x2": right,
                "y1": top,
                "y2": bottom,
            }
        )
    by_number = [each | {"image_id": ids[each["image_id"]]} for each in results]
    half = len(by_number) // 2
    strings: dict[str, list[str]] = {image: [] for image in sizes}
    for row in table.to_pylist():
        values = [row[name] for name in ("LabelName", "Score", "XMin", "YMin", "XMax", "YMax")]
        strings[row["ImageID"]] += map(str, values)
    lines = [f"{image},{' '.join(words)}" for image, words in strings.items()]
    (folder / "kaggle.csv").write_text("\n".join(["ImageId,PredictionString", *lines]) + "\n")
    (folder / "ids.json").write_text(json.dumps(results))
    (folder / "numbers.json").write_text(json.dumps(by_number[:half], indent=2))
    (folder / "more.json").write_text(json.dumps(by_number[half:], separators=(",", ":")))
    pq.write_table(table, folder / "parts.parquet", row_group_size=100)
    pq.write_table(pa.Table.from_pylist(pixels), folder / "pixels.parquet")
    with pa.ipc.new_file(folder / "parts.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=50)
    _write_records(folder, table, numbers)
    groups = (
        ["kaggle.csv"],
        ["records-00000-of-00002", "records-00001-of-00002"],
        ["ids.json"],
        ["numbers.json", "more.json"],
        ["parts.parquet"],
        ["pixels.parquet"],
        ["parts.arrow"],
    )
    return {names[0]: tuple(folder / name for name in names) for names in groups}


def test_predictions_in_any_layout_have_the_same_result(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    chunk_bytes = one_evaluation._CHUNK_BYTES
    truth = ("--ground_truth", corpus / "dataset")
    layouts = {"csv": (corpus / "detections.csv",), **_as_tables(corpus, tmp_path)}
    reports = {}
    for name, paths in layouts.items():
        given = [each for path in paths for each in ("--predictions", path)]
        output = tmp_path / f"{name}-report"
        many_ranges = 4096 if name.endswith(".json") else chunk_bytes
        monkeypatch.setattr(one_evaluation, "_CHUNK_BYTES", many_ranges)
        done = run_evaluate(*truth, *given, "--output", output)
        assert done.code == 0, done.stderr
        reports[name] = json.loads((output / "report.json").read_text())
    expected = reports.pop("csv")
    for name, report in reports.items():
        if name.startswith("records"):  # whose numbers are float32
            means = [each["mean_average_precision"] for each in report["protocols"]]
            wanted = [each["mean_average_precision"] for each in expected["protocols"]]
            assert means == pytest.approx(wanted, abs=1e-3)
        else:
            assert report["protocols"] == expected["protocols"], name
        rows = sum(each["rows"] for each in report["sources"] if each["kind"] != "version")
        assert rows == sum(each["rows"] for each in expected["sources"]), name


@pytest.mark.parametrize("has_sizes", [True, False])
def test_coco_equals_its_own_library(corpus: Path, tmp_path: Path, has_sizes: bool):
    """By pycocotools, on the version's own COCO files; small and large need sizes of pictures."""
    results = json.loads(_as_tables(corpus, tmp_path)["numbers.json"][0].read_text())
    results += json.loads((tmp_path / "more.json").read_text())
    documents = [
        json.loads(path.read_text())
        for path in sorted((latest_version(corpus / "dataset").folder / "coco").rglob("inst*.json"))
    ]
    truth = coco.COCO()
    annotations = [each for document in documents for each in document["annotations"]]
    truth.dataset = {
        "images": [each for document in documents for each in document["images"]],
        "annotations": [
            each | {"id": number, "area": each["bbox"][2] * each["bbox"][3]}
            for number, each in enumerate(annotations, 1)
        ],
        "categories": documents[0]["categories"],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(results), "bbox")
        # Others have no part in the means, and take it long.
        evaluation.params.catIds = sorted({each["category_id"] for each in annotations})
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    given = corpus / "dataset" if has_sizes else corpus / "oid" / "annotations"
    done = run_evaluate(
        *("--ground_truth", given, "--predictions", corpus / "detections.csv"),
        *("--protocol", "coco", "--output", tmp_path / "report"),
    )
    assert done.code == 0, done.stderr
    metrics = json.loads((tmp_path / "report" / "report.json").read_text())["metrics"]
    for (name, needs_sizes), value in zip(FIGURES.items(), evaluation.stats, strict=True):
        found = metrics[f"DetectionBoxes_{name}"]
        if needs_sizes and not has_sizes:
            assert found is None
        else:
            assert found == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"image_id": 1, "category_id": 1}]', "lack bbox, score"),
        ('[{"image_id": 1, "category_id": 1, "bbox": 3, "score": 1}]', "bbox is no list"),
        ('[{"image_id": 1, "category_id": ', "it is cut"),
        ('[{"image_id": 1, "category_id": ]', "no COCO results"),
        ("[", "it is cut"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}', "it is cut"),
        ("[null]", "they are an array of objects"),
        ('["a"]', "they are an array of objects"),
        (
            '[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": "high"}]',
            "no COCO results",
        ),
    ],
)
def test_what_is_no_coco_results_is_one_line(corpus: Path, tmp_path: Path, text: str, words: str):
    (tmp_path / "results.json").write_text(text)
    given = ("--ground_truth", corpus / "dataset", "--predictions", tmp_path / "results.json")
    done = run_evaluate(*given, "--output", tmp_path / "report")
    assert done.code == 1
    assert words in done.error
    assert "results.json, byte 0" in done.error
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_label_map_numbers_classes(corpus: Path, tmp_path: Path):
    """Predictions whose classes are numbers of a label map, in an order of its own."""
    table = pacsv.read_csv(corpus / "detections.csv")
    labels = sorted(set(table["LabelName"].to_pylist()), reverse=True)
    items = (f'item {{ name: "{mid}" id: {at} }}' for at, mid in enumerate(labels, 1))
    (tmp_path / "map.pbtxt").write_text("\n".join(items))
    numbers = pc.index_in(table["LabelName"], pa.array(labels))
    place = table.column_names.index("LabelName")
    numbered = table.set_column(place, "class_id", pc.add(numbers, 1))
    pq.write_table(numbered, tmp_path / "numbered.parquet")
    metrics = []
    for name, more in (
        (corpus / "detections.csv", ()),
        (tmp_path / "numbered.parquet", ("--label_map", tmp_path / "map.pbtxt")),
    ):
        output = tmp_path / "report"
        given = ("--ground_truth", corpus / "dataset", "--predictions", name, *more)
        done = run_evaluate(*given, "--output", output)
        assert done.code == 0, done.stderr
        metrics.append(json.loads((output / "report.json").read_text())["metrics"])
    assert metrics[0] == metrics[1]


_RECORD = {
    f"image/detection/{name}": [0.5]
    for name in ("score", "bbox/xmin", "bbox/xmax", "bbox/ymin", "bbox/ymax")
} | {"image/detection/class/text": b"/m/01g317"}


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"image/source_id": b"00000000000000ff", "image/detection/score": [0.5]}, "has no image"),
        ({}, "an example has no image/source_id"),
        ({"image/source_id": [0.5], **_RECORD}, "image/source_id is of float, and not of bytes"),
        (
            {"image/source_id": b"00000000000000ff", **_RECORD, "image/detection/score": [0.5, 1]},
            "different numbers of",
        ),
    ],
)
def test_examples_without_detections_are_refused(
    corpus: Path, tmp_path: Path, features: dict, words: str
):
    import tensorflow as tf

    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, bytes)
        else tf.train.Feature(float_list=tf.train.FloatList(value=value))
        for name, value in features.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    with tf.io.TFRecordWriter(str(tmp_path / "detections.tfrecord")) as writer:
        writer.write(example.SerializeToString())
    given = ("--ground_truth", corpus / "dataset", "--predictions", tmp_path)
    done = run_evaluate(*given, "--output", tmp_path / "report")
    assert done.code == 1
    assert words in done.error
    assert "detections.tfrecord: " in done.error


@pytest.mark.parametrize(
    "column",
    [
        {"label": [[1]]},
        {"label": [b"\xff\xfe"]},
        {"label": pa.array([2**63 + 5], pa.uint64())},
        {"image_id": [[1]]},
        {"image_id": [b"\xff" * 16]},
    ],
)
def test_columns_of_other_types_are_one_line(corpus: Path, tmp_path: Path, column: dict):
    row = {name: [0.5] for name in ("score", "xmin", "xmax", "ymin", "ymax")}
    row |= {"image_id": ["0" * 16], "label": ["/m/0"]} | column
    pq.write_table(pa.table(row), tmp_path / "table.parquet")
    given = ("--ground_truth", corpus / "dataset", "--predictions", tmp_path / "table.parquet")
    done = run_evaluate(*given, "--output", tmp_path / "report")
    assert done.code == 1
    assert "table.parquet can't be read" in done.error
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_column_that_is_there_twice_is_the_first(corpus: Path, tmp_path: Path):
    table = pacsv.read_csv(corpus / "detections.csv")
    twice = table.append_column("LabelName", pa.array(["x"] * len(table)))
    with pa.ipc.new_file(tmp_path / "twice.arrow", twice.schema) as writer:
        writer.write_table(twice)
    given = ("--ground_truth", corpus / "dataset", "--predictions", tmp_path / "twice.arrow")
    done = run_evaluate(*given, "--output", tmp_path / "report")
    assert done.code == 0, done.stderr


def test_inputs_in_the_output_are_not_removed(corpus: Path, tmp_path: Path):
    predictions = tmp_path / "report" / "matches" / "detections.parquet"
    predictions.parent.mkdir(parents=True)
    pq.write_table(pacsv.read_csv(corpus / "detections.csv"), predictions)
    given = ("--ground_truth", corpus / "dataset", "--predictions", predictions)
    done = run_evaluate(*given, "--output", tmp_path / "report")
    assert done.code == 2
    assert "is in it, and would be removed" in done.error
    assert predictions.exists()


def test_pixels_need_the_sizes_of_pictures(corpus: Path, tmp_path: Path):
    predictions = _as_tables(corpus, tmp_path)["pixels.parquet"][0]
    given = ("--ground_truth", corpus / "oid" / "annotations", "--predictions", predictions)
    done = run_evaluate(*given, "--output", tmp_path / "report")
    assert done.code == 2
    assert "in pixels" in done.error
    assert "a version that was built with pictures" in done.error


def test_the_library_returns_what_the_report_has(corpus: Path, tmp_path: Path):
    evaluation = open_images.evaluate(
        ground_truth=corpus / "dataset",
        predictions=corpus / "detections.csv",
        output=tmp_path / "report",
        num_workers=1,
    )
    (result,) = evaluation.results
    content = json.loads((tmp_path / "report" / "report.json").read_text())
    assert content["metrics"] == {result.metric: result.mean_average_precision}


def test_rows_that_cannot_be_evaluated_are_counted_and_listed(corpus: Path, tmp_path: Path):
    detections = tmp_path / "detections.csv"
    lines = (corpus / "detections.csv").read_text().splitlines()
    image = lines[1].split(",")[0]
    lines[3:3] = [
        f"{image},/m/0bt9lr,high,0,1,0,1",
        f"{image},/m/0bt9lr,nan,0,1,0,1",
        f"{image},/m/0000zz,0.5,0,1,0,1",
        "ffffffffffffffff,/m/0bt9lr,0.5,0,1,0,1",
        f"{image},/m/0bt9lr,0.5,0,1",
        f"{image},/m/0bt9lr,1.5,0,1,0,1",
    ]
    detections.write_text("\n".join(lines) + "\n")
    arguments = ("--ground_truth", corpus / "dataset", "--predictions", detections)
    output = tmp_path / "report"
    done = run_evaluate(*arguments, "--output", output, "--max_bad_rate", "0.1")
    assert done.code == 0, done.stderr
    (source,) = [
        each
        for each in json.loads((output / "report.json").read_text())["sources"]
        if each["kind"] == "detections"
    ]
    counts = [source[name] for name in ("bad_rows", "other_images", "other_classes")]
    assert counts == [3, 1, 1]
    bad = list(csv.DictReader((output / "bad_rows.csv").open()))
    assert [int(row["line"]) for row in bad] == [4, 5, 8, 9]
    assert bad[-1]["detail"] == "Score is not from 0 to 1: kept"
    refused = run_evaluate(*arguments, "--output", output, "--max_bad_rate", "0")
    assert refused.code == 1
    assert "rows are bad" in refused.error
    assert "--max_bad_rate" in refused.error
    assert not (output / "report.json").exists()


def test_a_copy_of_predictions_is_read_once(corpus: Path, tmp_path: Path):
    copies = tmp_path / "predictions"
    copies.mkdir()
    for name in ("a.csv", "a (1).csv"):
        (copies / name).write_bytes((corpus / "detections.csv").read_bytes())
    given = ("--ground_truth", corpus / "dataset", "--predictions", copies)
    done = run_evaluate(*given, "--output", tmp_path / "report")
    assert done.code == 0, done.stderr
    assert "a (1).csv: not used: the same content" in done.stderr


def test_no_predictions_find_nothing(corpus: Path, tmp_path: Path):
    for name, text in (("none.csv", f"{_HEADER}\n"), ("none.json", "[]")):
        (tmp_path / name).write_text(text)
        given = ("--ground_truth", corpus / "dataset", "--predictions", tmp_path / name)
        output = tmp_path / f"{name}-report"
        done = run_evaluate(*given, "--output", output)
        assert done.code == 0, done.stderr
        (result,) = json.loads((output / "report.json").read_text())["protocols"]
        assert result["mean_average_precision"] == 0
        assert sum(result["verdicts"].values()) == 0


def test_a_mistake_leaves_an_earlier_report(corpus: Path, tmp_path: Path):
    output = tmp_path / "report"
    given = ("--ground_truth", corpus / "dataset", "--output", output)
    assert run_evaluate(*given, "--predictions", corpus / "detections.csv").code == 0
    before = (output / "report.json").read_bytes()
    assert run_evaluate(*given, "--predictions", "/nowhere.csv").code == 2
    assert (output / "report.json").read_bytes() == before


def test_bad_strings_of_predictions_are_listed_by_line(corpus: Path, tmp_path: Path):
    image = (corpus / "detections.csv").read_text().splitlines()[1].split(",")[0]
    texts = ["/m/0bt9lr 0.5 0 0 1 1", "/m/0bt9lr 0.5 0 0 1", "/m/0bt9lr high 0 0 1 1", "", "a b"]
    predictions = tmp_path / "strings.csv"
    rows = [f"{image},{text}" for text in texts]
    predictions.write_text("\n".join(["ImageId,PredictionString", *rows]) + "\n")
    given = ("--ground_truth", corpus / "dataset", "--predictions", predictions)
    done = run_evaluate(*given, "--output", tmp_path / "report", "--max_bad_rate", "1")
    assert done.code == 0, done.stderr
    bad = list(csv.DictReader((tmp_path / "report" / "bad_rows.csv").open()))
    assert [int(row["line"]) for row in bad] == [3, 4, 6]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--protocol", "challange"), "did you mean challenge?"),
        (("--iou", "1.5"), "--iou"),
        (("--iou", "0"), "--iou"),
        (("--iou", "half"), "--iou"),
        (("--explain",), "name two"),
        (("--splits", "vall"), "--splits"),
        (("--max_bad_rate", "2"), "--max_bad_rate"),
        (("--num_workers", "0"), "--num_workers"),
        (("--no_such_flag",), "--no_such_flag"),
        (("--predictions", "/nowhere.csv"), "no such file"),
        (("--predictions", "{empty}"), "empty"),
        (("--predictions", "{folder}"), "no table"),
        (("--predictions", "{boxes}"), "name it by --ground_truth"),
        (("--predictions", "{labels}"), "lacks XMin"),
        (("--ground_truth", "/nowhere"), "no such file"),
        (("--ground_truth", "{predictions}"), "name it by --predictions"),
        (("--ground_truth", "{labels}"), "no file of boxes"),
        (("--output", "{file}"), "no folder"),
        (("--output", "{other}"), "holds"),
        (("--output", "{mine}"), "plots/mine.txt"),
        (("--predictions", "{semicolons}"), "save it with commas"),
        (("--predictions", "{object}"), "it is JSON, and no array"),
        (("--output", "/proc/report"), "can't be written"),
        (("--self_check",), "it has no --predictions"),
        (("--bootstrap", "-1"), "--bootstrap"),
        (("--bootstrap", "many"), "--bootstrap"),
        (("--compare", "{folder}"), "no report is there"),
        (("--label_map", "/nowhere.pbtxt"), "--label_map: /nowhere.pbtxt: no such file"),
        (("--label_map", "{file}"), "--label_map"),
        (("--protocol", "challenge_segmentation"), "it measures masks"),
        (("--protocol", "relationships"), "it measures relationships"),
        (("--protocol", "oid_v2,coco", "--explain", ""), "measures something else"),
        (("--ground_truth", "{folder}"), "--ground_truth"),
        (("--predictions", "{zipped}"), "can't be gzipped"),
        (("--predictions", "{picture}"), "picture.csv"),
        (("--predictions", "{columns}"), "has no column score"),
        (("--predictions", "{texts}"), "xmin isn't a column of numbers"),
        (("--predictions", "{cut}"), "cut or damaged"),
        (("--predictions", "{returns}"), "lines that end by a line feed"),
        (("--ground_truth", "/nowhere/else"), "--ground_truth /nowhere/else: no such file"),
    ],
)
def test_wrong_uses_are_one_line(arguments: tuple, words: str, corpus: Path, tmp_path: Path):
    places = {
        "empty": tmp_path / "empty.csv",
        "folder": tmp_path / "folder",
        "boxes": next((corpus / "oid" / "annotations").rglob("validation-annotations-bbox.csv")),
        "labels": next((corpus / "oid" / "annotations").rglob("*human-imagelabels*.csv")),
        "predictions": corpus / "detections.csv",
        "file": tmp_path / "file",
        "other": tmp_path / "other",
    }
    places |= {
        name: tmp_path / f"{name}.csv"
        for name in (
            "zipped",
            "picture",
            "columns",
            "texts",
            "cut",
            "returns",
            "semicolons",
            "object",
        )
    }
    places["zipped"].write_bytes(gzip.compress(b"[{}]"))
    places["picture"].write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00")
    row = {"image_id": ["0" * 16], "label": ["/m/0"]}
    pq.write_table(pa.table(row), places["columns"])
    row |= {name: ["x"] for name in ("score", "xmin", "xmax", "ymin", "ymax")}
    pq.write_table(pa.table(row), places["texts"])
    places["mine"] = tmp_path / "mine"
    (places["mine"] / "plots").mkdir(parents=True)
    (places["mine"] / "plots" / "mine.txt").touch()
    places["semicolons"].write_text(_HEADER.replace(",", ";") + "\n")
    places["object"].write_text('{"annotations": []}')
    places["returns"].write_bytes(f"{_HEADER}\r{'0' * 16},/m/0,0.5,0,1,0,1\r".encode())
    places["cut"].write_bytes(places["texts"].read_bytes()[:100])
    places["empty"].touch()
    places["folder"].mkdir()
    places["file"].write_text("x")
    places["other"].mkdir()
    (places["other"] / "thesis.tex").write_text("x")
    given = {
        "--ground_truth": corpus / "dataset",
        "--predictions": corpus / "detections.csv",
        "--output": tmp_path / "report",
    }
    words_of = [str(each).format(**places) for each in arguments]
    given |= dict(zip(words_of[::2], words_of[1::2], strict=False)) if len(words_of) > 1 else {}
    texts = [str(each) for pair in given.items() for each in pair if each != ""]
    done = run_evaluate(*texts, *(words_of if len(words_of) == 1 else ()))
    assert done.code == 2
    assert words in done.error
    assert len(done.stderr.strip().splitlines()) <= 2
    assert (places["other"] / "thesis.tex").exists()
