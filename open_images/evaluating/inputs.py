"""Finds the ground truth and the predictions of an evaluation."""

import csv
import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import open_images.synthesis.vocabulary as published
from open_images import reading
from open_images.building.annotation_files import find_annotations
from open_images.building.class_names import ClassNames
from open_images.building.label_maps import read_label_map
from open_images.building.paths import Claimed, expand, files_below, unreadable
from open_images.building.plan import read_vocabulary
from open_images.building.same_content import drop_copies
from open_images.dataset import Dataset, open_dataset
from open_images.evaluating.flags import EvaluateFlags
from transforms.dataset.classes import encode_labels
from transforms.dataset.elements import Notice, Source
from transforms.errors import UsageError
from transforms.evaluation import coco_results, detection_records, detection_tables
from transforms.evaluation.errors import PredictionsError
from transforms.evaluation.kinds.detections import DETECTIONS, MASK_DETECTIONS, PAIR_DETECTIONS
from transforms.evaluation.kinds.registry import EVALUATED
from transforms.evaluation.kinds.strings import BOX_STRINGS, MASK_STRINGS, PAIR_STRINGS
from transforms.evaluation.kinds.truth import TRUE_MASKS
from transforms.evaluation.label_map import LabelMap
from transforms.evaluation.layouts import IN_PIXELS
from transforms.evaluation.protocols import PROTOCOLS
from transforms.evaluation.tasks import TASKS
from transforms.evaluation.version import TYPES
from transforms.kinds.boxes import BOXES
from transforms.kinds.image_labels import IMAGE_LABELS
from transforms.kinds.images import IMAGES
from transforms.kinds.kind import CsvKind
from transforms.kinds.masks import MASKS
from transforms.kinds.parsing.head import SourceError, check_text, first_line, read_head
from transforms.kinds.parsing.table import fold
from transforms.kinds.reading.detect import split_of
from transforms.kinds.registry import VOCABULARY
from transforms.kinds.relationships import RELATIONSHIPS
from transforms.releases.output import Output
from transforms.storage import files
from transforms.storage.archives import GZIP_MAGIC
from transforms.storage.objects import StorageError
from transforms.storage.stores import ObjectOptions

#: Kinds of predictions.
PREDICTIONS = frozenset(kind for task in TASKS.values() for kind in task.detections)
#: Published files of the ground truth, by kind.
_EXAMPLES = {
    BOXES.name: "validation-annotations-bbox.csv",
    RELATIONSHIPS.name: "oidv6-validation-annotations-vrd.csv",
}
_SUFFIXES = (
    *(".csv", ".csv.gz", ".json", ".parquet", ".arrow", ".feather"),
    *(".tfrecord", ".tfrecords", ".record"),
)
_OF_SHARDS = re.compile(r"-\d+-of-\d+$")
#: What is taken where no such file is given, by kind.
_PUBLISHED = {
    "hierarchy": ("bbox_labels_600_hierarchy.json", "no hierarchy of classes"),
    "classes": ("class-descriptions-boxable.csv", "no names of classes"),
}


class Inputs(NamedTuple):
    """The inputs of an evaluation.

    Attributes:
        sources: files, by index.
        groups: row groups of a version's Parquet that are ground truth.
        kinds: of annotations that are read of these.
        classes: as of `build_classes`: labels, names, parents.
        label_map: what predictions call them.
        notices: remarks.
        are_expanded: whether boxes and labels stand for the classes above and below already.
    """

    sources: list[Source]
    groups: list[reading.RowGroup]
    kinds: Sequence[str]
    classes: Sequence[Mapping]
    label_map: LabelMap
    notices: list[Notice]
    are_expanded: bool = False

    @property
    def labels(self) -> bytes:
        """The labels of the classes, encoded."""
        return encode_labels(self.classes)

    @property
    def parents(self) -> dict[str, Sequence[str]]:
        """The parents of each class that has some."""
        return {each["label"]: each["parents"] for each in self.classes if each["parents"]}


def find_inputs(flags: EvaluateFlags, options: ObjectOptions) -> Inputs:
    """Finds and recognises what the flags name.

    Raises:
        UsageError: Something is missing, or isn't what it should be.
    """
    try:
        detections, copies = drop_copies(
            _numbered(_find_predictions(flags.predictions, options)), options
        )
        if not flags.self_check:
            _refuse_others(flags.protocol, detections)
        version = _version_of(flags, options)
        in_pixels = [each for each in detections if each.kind in IN_PIXELS]
        if in_pixels and not (version and _has_sizes(version.groups, options)):
            raise UsageError(
                f"--predictions {in_pixels[0].name}: its boxes are in pixels, and the sizes of "
                "pictures aren't known: name by --ground_truth a version that was built with "
                "pictures"
            )
        if version:
            sources = _numbered([*version.sources, *detections])
            return version._replace(sources=sources, notices=[*version.notices, *copies])
        found, notices, _ = find_annotations(
            flags.ground_truth, Claimed([]), options, "--ground_truth"
        )
        found, other_copies = drop_copies(_numbered(found), options)
        notices += [*copies, *other_copies]
    except OSError as error:
        raise unreadable(error) from None
    except StorageError as error:
        raise UsageError(str(error)) from None
    return _of_files(flags, options, found, detections, notices)


def _of_files(
    flags: EvaluateFlags,
    options: ObjectOptions,
    found: Sequence[Source],
    detections: Sequence[Source],
    notices: list[Notice],
) -> Inputs:
    """Returns the inputs where files are the ground truth.

    Raises:
        UsageError: A file is missing, or isn't ground truth.
    """
    found = [_with_masks(each, options) for each in found]
    kinds = _truth_kinds(flags.protocol)
    wanted = {IMAGES.name, IMAGE_LABELS.name, *kinds} & EVALUATED.keys()
    if MASKS.name in kinds:
        wanted.add(TRUE_MASKS.name)
    tables = [
        each
        for each in found
        if each.kind in wanted and (flags.splits is None or each.split in (None, *flags.splits))
    ]
    _check_tables(tables, kinds)
    others = {each.kind for each in found} - {each.kind for each in tables} - VOCABULARY.keys()
    named = {notice.path for notice in notices}
    notices = [
        *notices,
        *(
            Notice(each.name, "not used: no protocol asks for it")
            for each in found
            if each.kind in others and each.name not in named
        ),
    ]
    if not any(each.kind == IMAGE_LABELS.name for each in tables):
        notices.append(
            Notice(
                "--ground_truth",
                "no image labels: a class counts as verified only where it has a box",
            )
        )
    vocabulary = [each for each in found if each.kind in VOCABULARY]
    for kind, (name, lacking) in _PUBLISHED.items():
        if not any(each.kind == kind for each in vocabulary):
            notices.append(Notice("--ground_truth", f"{lacking}: those of Open Images are taken"))
            path = os.fspath(Path(published.__file__).with_name(name))
            vocabulary.append(Source(0, kind, path, os.path.getsize(path)))
    classes = json.loads(read_vocabulary(vocabulary, options).classes)
    return Inputs(
        _numbered([*tables, *detections]),
        [],
        [],
        classes,
        _label_map(flags, classes, options),
        sorted(set(notices)),
    )


def _with_masks(source: Source, options: ObjectOptions) -> Source:
    """Returns a table of boxes that has masks, too, as a table of masks."""
    if source.kind != BOXES.name:
        return source
    head, _, _ = _head_of(source.path, options)
    names = _names_of(source.path, head)
    if "mask" not in map(fold, names):
        return source
    columns = TRUE_MASKS.columns_of(names)
    if missing := [name for name in TRUE_MASKS.required if name not in columns]:
        raise UsageError(
            f"--ground_truth {source.name}: it has masks, and its header lacks {', '.join(missing)}"
        )
    return dataclasses.replace(source, kind=TRUE_MASKS.name, columns=columns)


def _check_tables(tables: Sequence[Source], kinds: Sequence[str]) -> None:
    """Raises UsageError where tables aren't ground truth, or a kind of them is missing."""
    given = {each.kind for each in tables}
    if MASKS.name in kinds and TRUE_MASKS.name not in given:
        raise UsageError(
            "--ground_truth: no masks: PNGs are read by a build with --masks and --images none, "
            "whose --output is to be named; or a table of boxes has a column Mask"
        )
    if TRUE_MASKS.name in given:  # which has boxes
        given |= {BOXES.name, MASKS.name}
    for kind in kinds:
        if kind not in given:
            name = _EXAMPLES[kind]
            raise UsageError(f"--ground_truth: no file of {kind} is there, such as {name}")
    for each in tables:
        if any("Score" in note for note in each.notes):
            raise UsageError(
                f"--ground_truth {each.name}: it has scores, as detections have: name it by "
                "--predictions"
            )


def _label_map(
    flags: EvaluateFlags, classes: Sequence[Mapping], options: ObjectOptions
) -> LabelMap:
    """Returns what predictions call classes: with `--label_map` by its numbers."""
    if flags.label_map is None:
        return LabelMap.of(classes)
    mids = read_label_map(flags.label_map, ClassNames(classes, (), options), options)
    numbers = {mid: number for number, mid in enumerate(mids, 1)}
    return LabelMap.of([{**each, "index": numbers.get(each["label"])} for each in classes])


def _truth_kinds(protocols: Sequence[str]) -> list[str]:
    """Returns the kinds of annotations that protocols need, image labels apart."""
    tasks = [TASKS[PROTOCOLS[name].task] for name in protocols]
    return [*dict.fromkeys(kind for task in tasks for kind in task.truths)]


def _refuse_others(protocols: Sequence[str], detections: Sequence[Source]) -> None:
    """Raises UsageError where a protocol has no predictions, or a file no protocol."""
    for name in protocols:
        task = TASKS[PROTOCOLS[name].task]
        if not any(each.kind in task.detections for each in detections):
            raise UsageError(
                f"--protocol {name}: it measures {task.noun}, and --predictions has none"
            )
    for each in detections:
        fitting = [name for name, it in PROTOCOLS.items() if each.kind in TASKS[it.task].detections]
        if not set(fitting) & set(protocols):
            noun = TASKS[PROTOCOLS[fitting[0]].task].noun
            raise UsageError(
                f"--predictions {each.name}: it has {noun}, which --protocol doesn't measure: add "
                f"{' or '.join(fitting)} to it"
            )


def ground_truth_version(flags: EvaluateFlags, options: ObjectOptions) -> Dataset | None:
    """Returns the version that is the ground truth; None where files are."""
    versions = [each for each in flags.ground_truth if Output(each, options).latest() is not None]
    if not versions:
        return None
    if len(flags.ground_truth) > 1:
        raise UsageError(
            f"--ground_truth {versions[0]}: it is the output of a build: name it alone, or files"
        )
    return open_dataset(flags.ground_truth[0], s3_endpoint_url=flags.s3_endpoint_url)


def _version_of(flags: EvaluateFlags, options: ObjectOptions) -> Inputs | None:
    """Returns the version that is the ground truth; None where files are."""
    dataset = ground_truth_version(flags, options)
    if dataset is None:
        return None
    groups = [
        group
        for split in flags.splits or dataset.splits
        for path in dataset.shards("parquet", split)
        for group in reading.row_groups(path, options)
    ]
    kinds = [*_truth_kinds(flags.protocol), IMAGE_LABELS.name]
    for kind in kinds[:-1]:
        column = TYPES[kind][0]
        if groups and _is_absent(groups[0], column, options):
            raise UsageError(f"--ground_truth {dataset.folder}: it was built without {kind}")
    classes = dataset.classes.to_pylist()
    source = Source(0, "version", dataset.folder, 0)
    notices, is_expanded = [], bool(dataset.manifest.config.get("expand_hierarchy"))
    if is_expanded:
        notices.append(Notice(dataset.folder, "built with --expand_hierarchy: not expanded again"))
    label_map = _label_map(flags, classes, options)
    return Inputs([source], groups, kinds, classes, label_map, notices, is_expanded)


def _is_absent(group: reading.RowGroup, column: str, options: ObjectOptions) -> bool:
    """Returns whether a column is null in all of a row group."""
    values = reading.read_column(group, column, options)
    return len(values) > 0 and values.null_count == len(values)


def _has_sizes(groups: Sequence[reading.RowGroup], options: ObjectOptions) -> bool:
    """Returns whether a version has the sizes of pictures."""
    return bool(groups) and reading.read_column(groups[0], "width", options).null_count == 0


def _numbered(sources: Sequence[Source]) -> list[Source]:
    ordered = sorted(sources, key=lambda each: (os.path.basename(each.name), each.name))
    return [dataclasses.replace(each, index=index) for index, each in enumerate(ordered)]


def _find_predictions(arguments: Sequence[str], options: ObjectOptions) -> list[Source]:
    found: dict[str, Source] = {}
    for argument in arguments:
        for path, is_folder in expand("--predictions", argument, options):
            paths = [path]
            if is_folder:
                below = files_below(path, options)
                paths = [
                    each.path
                    for each in below
                    if _OF_SHARDS.sub("", each.name.lower()).endswith(_SUFFIXES)
                ]
                if not paths:
                    raise UsageError(
                        f"--predictions {path}: there is no table in it, {', '.join(_SUFFIXES)}"
                    )
            for each in paths:
                try:
                    found.setdefault(os.path.realpath(each), _recognise(each, options))
                except (SourceError, PredictionsError) as error:
                    raise UsageError(f"--predictions: {error}") from None
    return list(found.values())


def _recognise(path: str, options: ObjectOptions) -> Source:
    """Returns a file of detections.

    Raises:
        SourceError: It is none.
    """
    head, is_gzip, status = _head_of(path, options)
    if detection_tables.matches(head):
        in_pixels = detection_tables.are_in_pixels(path, options)
        kind = detection_tables.IN_PIXELS if in_pixels else detection_tables.NAME
        return Source(0, kind, path, status.size, split_of(path), stamp=status.stamp)
    if detection_records.matches(head):
        if is_gzip:
            raise SourceError(f"{path}: TFRecord can't be gzipped: unpack it")
        kind = detection_records.NAME
        return Source(0, kind, path, status.size, split_of(path), stamp=status.stamp)
    check_text(path, head)
    if coco_results.matches(head):
        if is_gzip:
            raise SourceError(f"{path}: COCO results can't be gzipped: unpack it")
        return Source(0, coco_results.NAME, path, status.size, split_of(path), stamp=status.stamp)
    line = first_line(path, head, 0)
    names = _names_of(path, head)
    kind = _kind_of(names, head[len(line) :])
    columns = kind.columns_of(names)
    wanted = (kind.image_id, *kind.required)
    if missing := [name for name in wanted if name not in columns]:
        text = line.decode(errors="replace")
        if text.lstrip().startswith("{"):
            raise SourceError(f"{path}: it is JSON, and no array, as COCO results are")
        if not any(columns) and ("\t" in text or ";" in text):
            raise SourceError(
                f"{path}: its columns aren't separated by commas: save it with commas"
            )
        raise SourceError(
            f"{path}: its header lacks {', '.join(missing)}: detections need {','.join(wanted)}"
        )
    if BOXES.columns_of(names).count("IsGroupOf"):
        raise SourceError(f"{path} is a table of ground truth: name it by --ground_truth")
    start = min(len(line) + 1, len(head))
    return Source(
        0,
        kind.name,
        path,
        status.size,
        split_of(path),
        columns,
        start,
        1,
        compressed=is_gzip,
        stamp=status.stamp,
    )


def _kind_of(names: Sequence[str], rows: bytes) -> CsvKind:
    """Returns what a table of detections holds, by its header, and the rows at its beginning."""
    folded = {fold(name) for name in names}
    if "predictionstring" not in folded:
        if "labelname1" in folded:
            return PAIR_DETECTIONS
        return MASK_DETECTIONS if "mask" in folded else DETECTIONS
    if "imagewidth" in folded:
        return MASK_STRINGS
    # What comes first is a class of a box, or the score of a relationship.
    place = [fold(name) for name in names].index("predictionstring")
    lines = (line.split(",", place) for line in rows.decode(errors="replace").splitlines())
    strings = (row[place].strip('"').split(maxsplit=1) for row in lines if len(row) > place)
    score, label = next((words for words in strings if len(words) > 1), ("", ""))
    try:
        float(score)
    except ValueError:
        return BOX_STRINGS
    return PAIR_STRINGS if label.startswith("/") else BOX_STRINGS


def _head_of(path: str, options: ObjectOptions) -> tuple[bytes, bool, files.Status]:
    """Returns the first bytes of a file without gzip, whether it is gzipped, and its status."""
    status = files.status_of(path, options)
    with files.open_file(path, options, size=status.size, stamp=status.stamp) as file:
        is_gzip = file.read(2) == GZIP_MAGIC
        return read_head(path, file, is_gzip), is_gzip, status


def _names_of(path: str, head: bytes) -> list[str]:
    """Returns the columns of a CSV file.

    Raises:
        SourceError: It has no header that can be read.
    """
    line = first_line(path, head, 0).decode("utf-8-sig", errors="replace")
    try:
        return next(csv.reader([line.strip()]), [])
    except csv.Error:
        raise SourceError(
            f"{path}: its header can't be read: save it with lines that end by a line feed"
        ) from None
