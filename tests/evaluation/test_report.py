"""Reports: reasons, slices, intervals, comparisons, rows that are left out, and the page."""

import csv
import gzip
import html.parser
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.evaluation.cases import LABELS, PARENTS, Case, to_arrays
from tests.evaluation.commands import Done, run_evaluate
from tests.evaluation.oracle import Box, Detection, Truth
from transforms.evaluation.bootstrap import counts_of
from transforms.evaluation.class_tree import ClassTree
from transforms.evaluation.matching import match_boxes
from transforms.evaluation.protocols import PROTOCOLS
from transforms.evaluation.reasons import Reason, find_reasons

_DATA = Path(__file__).with_name("oid500")
_TREE = ClassTree.of(LABELS, PARENTS)
_WHOLE, _HALF = (0.0, 1.0, 0.0, 1.0), (0.0, 0.5, 0.0, 1.0)
_QUARTER, _CORNER = (0.0, 0.25, 0.0, 1.0), (0.9, 1.0, 0.9, 1.0)


def _of_oid500(
    output: Path, *arguments: object, predictions: Path = _DATA / "predictions.csv.gz"
) -> Done:
    truth = [
        argument
        for path in sorted(_DATA.glob("validation-*.csv.gz"))
        for argument in ("--ground_truth", path)
    ]
    given = (*truth, "--predictions", predictions)
    return run_evaluate(*given, "--output", output, *arguments)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("report") / "report"
    done = _of_oid500(output, "--protocol", "challenge,oid_v2", "--bootstrap", "30")
    assert done.code == 0, done.stderr
    return output


def _read(report: Path) -> dict:
    return json.loads((report / "report.json").read_text())


def _matches(report: Path, protocol: str) -> list[dict]:
    paths = sorted((report / "matches").glob(f"{protocol}-*.parquet"))
    return pa.concat_tables(pq.read_table(path) for path in paths).to_pylist()


@pytest.mark.parametrize(
    ("label", "box", "truths", "reason", "confused_with"),
    [
        ("a", _WHOLE, [("a", _WHOLE)], Reason.DUPLICATE, None),
        ("c", _WHOLE, [("a", _WHOLE)], Reason.SIMILAR_CLASS, "a"),  # a is above c
        ("a", _WHOLE, [("c", _WHOLE)], Reason.SIMILAR_CLASS, "c"),
        ("c", _WHOLE, [("d", _WHOLE)], Reason.SIMILAR_CLASS, "d"),  # a is above both
        ("c", _WHOLE, [("b", _WHOLE)], Reason.OTHER_CLASS, "b"),  # the root alone is
        ("a", _QUARTER, [("a", _WHOLE)], Reason.LOCALISATION, None),
        ("a", _QUARTER, [("b", _WHOLE)], Reason.BACKGROUND, None),
        ("a", _CORNER, [("a", _HALF)], Reason.BACKGROUND, None),
        ("a", _CORNER, [], Reason.BACKGROUND, None),
    ],
)
def test_reasons(
    label: str, box: Box, truths: list[tuple[str, Box]], reason: Reason, confused_with: str | None
):
    """A second detection of the same place comes first, so that objects of its class are taken."""
    given = [Truth("0", each, where, False) for each, where in truths]
    detections = [Detection("0", label, box, score) for score in (0.9, 0.5)]
    case, labels = to_arrays(Case(given, [], detections), _TREE)
    matches = match_boxes(case, labels, _TREE, PROTOCOLS["oid_v2"].rules, 0.5)
    reasons = find_reasons(case, matches, _TREE, 0.5)
    assert Reason(reasons.reasons[1]) == reason
    found = reasons.classes[1]
    assert (LABELS[found] if found >= 0 else None) == confused_with


def test_reasons_add_up(report: Path):
    for each in _read(report)["protocols"]:
        matches = _matches(report, each["protocol"])
        wrong = [row for row in matches if row["verdict"] == "false_positive"]
        assert Counter(row["reason"] for row in wrong) == each["reasons"]
        assert sum(each["reasons"].values()) == each["verdicts"]["false_positive"]
        others = [row for row in matches if row["verdict"] != "false_positive"]
        assert {row["reason"] for row in others} == {None}
        with (report / "confusions.csv").open() as file:
            confused = Counter()
            for row in csv.DictReader(file):
                if row["protocol"] == each["protocol"]:
                    cell = row["label"], row["confused_with"] or None, row["reason"]
                    confused[cell] += int(row["count"])
        assert confused == Counter(
            (row["label"], row["confused_with"], row["reason"]) for row in wrong
        )


def test_slices_are_parts_of_the_whole(report: Path):
    for each in _read(report)["protocols"]:
        by_kind: dict[str, list[dict]] = {}
        for one in each["slices"]:
            by_kind.setdefault(one["kind"], []).append(one)
        found = each["verdicts"]["true_positive"] + each["verdicts"]["found_group"]
        for kind, some in by_kind.items():
            assert sum(one["truths"] for one in some) == each["ground_truth"], kind
            recalled = sum(one["truths"] * (one["recall"] or 0) for one in some)
            assert recalled == pytest.approx(found), kind
        # All boxes of this file are from one source: its slice is the whole.
        (source,) = [one for one in by_kind["source"] if one["truths"]]
        assert source["mean_average_precision"] == pytest.approx(each["mean_average_precision"])


def test_slices_equal_what_is_measured_of_the_matches(report: Path):
    """Average precision of small objects, naively: others and what found them are left out."""
    ranked: dict[str, list[tuple[float, bool]]] = {}
    truths: Counter[str] = Counter()
    for row in _matches(report, "oid_v2"):
        is_small = (row["xmax"] - row["xmin"]) * (row["ymax"] - row["ymin"]) < 0.01
        if row["true_xmin"] is not None:
            sides = row["true_xmax"] - row["true_xmin"], row["true_ymax"] - row["true_ymin"]
            is_truth_small = sides[0] * sides[1] < 0.01
        if row["verdict"] in ("true_positive", "missed"):
            truths[row["label"]] += is_truth_small
        if row["verdict"] == "true_positive" and is_truth_small:
            ranked.setdefault(row["label"], []).append((row["score"], True))
        if row["verdict"] == "false_positive" and is_small:
            ranked.setdefault(row["label"], []).append((row["score"], False))
    precisions = []
    for label, count in (+truths).items():
        hits, best, points = 0, 0.0, []
        for place, (_, is_hit) in enumerate(sorted(ranked.get(label, []), reverse=True), 1):
            hits += is_hit
            if is_hit:
                points.append(hits / place)
        for at in range(len(points)):
            best += max(points[at:])
        precisions.append(best / count)
    (oid_v2,) = [each for each in _read(report)["protocols"] if each["protocol"] == "oid_v2"]
    (small,) = [each for each in oid_v2["slices"] if each["value"] == "small"]
    assert small["classes"] == len(precisions)
    assert small["mean_average_precision"] == pytest.approx(np.mean(precisions), abs=2e-3)


def test_replicates_count_images_as_poisson_numbers():
    keys = np.arange(1, 200_001, dtype=np.uint64) << np.uint64(40)
    counts = counts_of(keys, 3)
    assert counts.mean() == pytest.approx(1, abs=0.01)
    assert counts.var() == pytest.approx(1, abs=0.02)
    assert (counts == 0).mean() == pytest.approx(np.exp(-1), abs=0.005)
    assert abs(np.corrcoef(counts, counts_of(keys, 4))[0, 1]) < 0.01
    np.testing.assert_array_equal(counts[::7], counts_of(keys[::7], 3))


def test_intervals_hold_the_mean(report: Path):
    for each in _read(report)["protocols"]:
        low, high = each["interval"]
        assert low < each["mean_average_precision"] < high
        assert len(each["replicates"]) == 30


def test_a_report_is_compared_with_an_earlier_one(report: Path, tmp_path: Path):
    worse = tmp_path / "worse.csv"
    content = gzip.decompress((_DATA / "predictions.csv.gz").read_bytes())
    header, *rows = content.decode().splitlines()
    place = header.split(",").index("LabelName")
    changed = [row for row in rows if row.split(",")[place] != "/m/01g317" or row[-1] in "02468"]
    worse.write_text("\n".join([header, *changed]) + "\n")
    arguments = ("--protocol", "challenge", "--bootstrap", "30", "--compare", report)
    output = tmp_path / "report"
    done = _of_oid500(output, *arguments, predictions=worse)
    assert done.code == 0, done.stderr
    (comparison,) = _read(output)["comparisons"]
    before, after = (_read(each)["protocols"][0] for each in (report, output))
    change = after["mean_average_precision"] - before["mean_average_precision"]
    assert comparison["change"] == pytest.approx(change)
    assert comparison["change"] < 0
    (only,) = comparison["classes"]
    assert only["label"] == "/m/01g317"
    low, high = comparison["interval"]
    assert low < 0
    # Pairs have in common what differs between images, in which one class is lost.
    assert high - low < (after["interval"][1] - after["interval"][0]) / 10
    assert "Person" in done.stdout


def test_a_report_of_another_ground_truth_is_refused(report: Path, tmp_path: Path):
    (boxes,) = _DATA.glob("validation-annotations-bbox.csv.gz")
    given = ("--ground_truth", boxes, "--predictions", _DATA / "predictions.csv.gz")
    done = run_evaluate(
        *given, "--protocol", "challenge", "--compare", report, "--output", tmp_path / "report"
    )
    assert done.code == 2
    assert "challenge has another ground truth there" in done.error


@pytest.mark.parametrize("text", [None, "{", "[]", "3", "null", "{}", '{"images": 1}'])
def test_what_is_no_report_is_refused(report: Path, tmp_path: Path, text: str | None):
    given = tmp_path / "earlier"
    if text is not None:
        given.mkdir()
        (given / "report.json").write_text(text)
    done = _of_oid500(tmp_path / "output", "--compare", given)
    assert done.code == 2
    assert "no report is there" in done.error


class _Checker(html.parser.HTMLParser):
    """Collects what a page loads, and its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.headings: list[str] = []
        self._is_heading = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]
        self._is_heading = tag in ("h1", "h2")

    def handle_data(self, data: str) -> None:
        if self._is_heading and data.strip():
            self.headings.append(data.strip())
        self._is_heading = False


def test_the_page_needs_nothing_else(report: Path):
    page = (report / "report.html").read_text()
    checker = _Checker()
    checker.feed(page)
    assert all(each.startswith(("data:", "#")) for each in checker.loaded)
    assert checker.headings[0].startswith("challenge 70.12")
    assert "Why detections are wrong, challenge" in page
    assert len(re.findall(r"<svg", page)) == len(list((report / "plots").glob("*.svg"))) == 7
    assert len(list((report / "plots").glob("*.png"))) == 7


@pytest.mark.parametrize("is_gzip", [False, True])
def test_rows_that_are_left_out_are_listed(tmp_path: Path, is_gzip: bool):
    content = gzip.decompress((_DATA / "predictions.csv.gz").read_bytes()).decode()
    header, *rows = content.splitlines()
    values = dict(zip(header.split(","), rows[0].split(","), strict=True))
    others = [
        values | {"ImageID": "fffffffffffffff0"},
        values | {"LabelName": "/m/unknown"},
    ]
    lines = [header, *rows, *(",".join(each.values()) for each in others)]
    data = ("\n".join(lines) + "\n").encode()
    path = tmp_path / ("more.csv.gz" if is_gzip else "more.csv")
    path.write_bytes(gzip.compress(data) if is_gzip else data)
    done = _of_oid500(tmp_path / "report", predictions=path)
    assert done.code == 0, done.stderr
    with (tmp_path / "report" / "left_out.csv").open() as file:
        found = [tuple(row.values()) for row in csv.DictReader(file)]
    first = next(at for at, line in enumerate(lines, 1) if values["ImageID"] in line)
    assert found == [
        (
            str(path),
            str(first),
            values["ImageID"],
            "/m/unknown",
            "the ground truth doesn't have this class",
        ),
        (
            str(path),
            str(len(lines) - 1),
            "fffffffffffffff0",
            values["LabelName"],
            "the ground truth doesn't have this image",
        ),
    ]
