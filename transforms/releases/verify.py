"""Checks a published version as a whole; each problem is one line."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from transforms.dataset.naming import MANIFEST
from transforms.formats.registry import preferred, whole
from transforms.releases import verify_files
from transforms.releases.manifest import Manifest, ManifestError, ShardFile
from transforms.releases.merging import Batch, align, within
from transforms.releases.output import LatestError, Output, find_change, list_contents
from transforms.releases.verify_agreement import Comparison, Stream, Tally
from transforms.releases.verify_files import Schemas, recorded_schemas
from transforms.releases.verify_shard import ShardReport, ShardTask, check_shard, find_example
from transforms.system.processes import spread

_NO_CHECKSUMS = (
    f"{MANIFEST}: is of an earlier release, without checksums of itself, classes.json and "
    "failures: only shards, and what can be counted, are checked"
)
#: How many damaged pictures that are no problem get a line.
_DAMAGED_SHOWN = 10


@dataclasses.dataclass
class Account:
    """How much was checked, and how many problems were found.

    `damaged` counts pictures whose damage is no problem, since their build didn't look for it.
    """

    examples: int = 0
    shards: int = 0
    bytes: int = 0
    pictures: int = 0
    damaged: int = 0
    problems: int = 0
    formats: tuple[str, ...] = ()


def verify(
    output: Output,
    name: str,
    sample: int | None,
    num_workers: int,
    report: Callable[[str], None],
    note: Callable[[str], None],
    advance: Callable[[int, int], None] = lambda *_: None,
) -> Account:
    """Checks all files of a version, and for the latest one also `latest`, pins and card.

    Args:
        output: where it is published.
        name: of the version.
        sample: how many pictures to decode, spread evenly; None for all.
        num_workers: number of processes.
        report: is called with a line for each problem and for the first damaged pictures.
        note: is called with a line for each note.
        advance: is called with the bytes of shards that were checked, and their total.

    Raises:
        StorageError: The object store can't be read.
        OSError: A file can't be read.
        WorkerError: A process died.
    """
    check = _Check(output, name, report, note, advance)
    check.run(sample, num_workers)
    return check.account


@dataclasses.dataclass
class _Check:
    """A check of a version; see `verify`.

    Attributes:
        sizes: of the files that are there.
        lacking: streams some of whose examples couldn't be read.
        annotations: how many were found, by column.
    """

    output: Output
    name: str
    report: Callable[[str], None]
    note: Callable[[str], None]
    advance: Callable[[int, int], None]
    account: Account = dataclasses.field(default_factory=Account)
    sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    lacking: set[Stream] = dataclasses.field(default_factory=set)
    annotations: Counter[str] = dataclasses.field(default_factory=Counter)

    def run(self, sample: int | None, num_workers: int) -> None:
        folder, options = self.output.folder(self.name), self.output.options
        is_latest = self._is_latest()
        if is_latest:
            self._problems(verify_files.check_pointer(self.output, self.name))
            self._problems(verify_files.check_versions(self.output, self.name))
            for stranger in verify_files.find_strangers(self.output):
                self.note(stranger)
            self._problems(verify_files.check_pins(self.output))
        try:
            manifest, data = self.output.read_manifest(self.name)
        except ManifestError as error:
            self._problem(str(error))
            return
        if problem := find_change(manifest, data):
            self._problem(problem)
        if not manifest.has_checksums:
            self.note(_NO_CHECKSUMS)
        elif is_latest:
            problem, note = verify_files.check_card(self.output, self.name, manifest)
            if problem:
                self._problem(problem)
            if note:
                self.note(note)
        beside_files = self.account.problems
        contents = list_contents(folder, options)
        self.sizes = sizes = contents.sizes
        self._problems(verify_files.check_manifest(self.name, manifest))
        self._problems(verify_files.check_counts(manifest))
        loose = verify_files.list_loose_files(folder, manifest, sizes, options)
        self._problems(verify_files.check_files(manifest, contents, loose))
        self._problems(verify_files.check_content(folder, manifest, sizes, options))
        self._problems(verify_files.check_reuse_files(folder, manifest, sizes, options))
        tasks = self._plan_tasks(manifest, sample)
        self.account.formats = tuple(sorted({task.shard.format for task in tasks}))
        self.lacking = {
            (split, shard.format) for split, shard in manifest.shards() if shard.path not in sizes
        }
        self._check_shards(tasks, num_workers)
        if self.account.problems > beside_files:
            return  # annotations that are missing or added would only follow from these
        counted = _counted_columns(manifest, tasks)
        for column, counts in manifest.annotations.items():
            if column not in counted:
                continue
            found = self.annotations[column]
            if found != counts.written:
                self._problem(
                    f"{column}: {found:,} are in the shards, and {counts.written:,} by the manifest"
                )

    def _is_latest(self) -> bool:
        try:
            return self.output.latest() == self.name
        except LatestError as error:
            self._problem(str(error))
            return False

    def _problems(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._problem(line)

    def _problem(self, line: str) -> None:
        self.account.problems += 1
        self.report(line)

    def _plan_tasks(self, manifest: Manifest, sample: int | None) -> list[ShardTask]:
        """Returns the shards to check, all splits and formats side by side as keys ascend."""
        schemas = recorded_schemas(manifest)
        shards = [(split, shard) for split, shard in manifest.shards() if shard.path in self.sizes]
        formats = {shard.format for _, shard in shards}
        if not formats:
            return []
        compared = whole(formats)
        of_pictures = preferred(formats)  # they are the same in all that are whole
        total = sum(shard.num_examples for _, shard in shards if shard.format == of_pictures)
        if not manifest.with_pictures or not compared:
            sample = 0
        columns = _shared_columns({form: schemas[form] for form in compared or formats})
        chosen = _spaced(total, total if sample is None else min(sample, total))
        tasks = []
        # Examples of a split and format in the shards before.
        before: Counter[Stream] = Counter()
        first = 0
        for split, shard in shards:
            is_preferred = shard.format == of_pictures
            task = ShardTask(
                folder=self.output.folder(self.name),
                split=split,
                shard=shard,
                schema=schemas[shard.format],
                columns=columns,
                compare=len(compared) > 1 and shard.format in compared,
                count=is_preferred,
                sample=within(chosen, first, shard.num_examples) if is_preferred else chosen[:0],
                options=self.output.options,
                strict=bool(manifest.config.get("verify_pixels")),
            )
            first += shard.num_examples if is_preferred else 0
            # Keys are spread evenly: by the examples before a shard one knows where its keys begin.
            share = before[split, shard.format] / max(1, manifest.splits[split].num_examples)
            before[split, shard.format] += shard.num_examples
            tasks.append((share, task))
        return [task for _, task in sorted(tasks, key=lambda pair: pair[0])]

    def _check_shards(self, tasks: Sequence[ShardTask], num_workers: int) -> None:
        total = sum(self._size_of(task.shard) for task in tasks)
        with spread(check_shard, tasks, num_workers) as results:
            waiting: dict[Stream, list] = defaultdict(list)
            for task, result in zip(tasks, results, strict=True):
                waiting[task.stream].append((task, result))
            streams = {stream: self._batches(shards, total) for stream, shards in waiting.items()}
            comparison = Comparison(streams)
            for window in align(streams):
                comparison.add(window)
        self.account.examples = comparison.examples
        self._problems(comparison.lines(self.lacking))
        for (split, form, first), tally in comparison.differing.items():
            if tally.count:
                one, other = (_find_features(tasks, (split, each), tally) for each in (form, first))
                names = (key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
                where = ", ".join(sorted(names)) or "how they are encoded"
                self._problem(f"{split}: {tally} in {form} isn't as in {first}: {where}")

    def _size_of(self, shard: ShardFile) -> int:
        """Returns the size of a shard that is there, with the files that it lists."""
        return self.sizes[shard.path] + shard.loose_bytes

    def _batches(
        self, shards: Sequence[tuple[ShardTask, Callable[[], ShardReport]]], total: int
    ) -> Iterator[Batch]:
        """Yields the keys and checksums of a stream's shards; reports their problems on the way."""
        before: tuple[str, int] | None = None
        for task, result in shards:
            report, path = result(), task.shard.path
            self._problems(f"{path}: {line}" for line in report.problems)
            for line in report.damaged[: max(0, _DAMAGED_SHOWN - self.account.damaged)]:
                self.report(f"{path}: {line}")
            self.account.damaged += len(report.damaged)
            self.account.shards += 1
            self.account.bytes += self._size_of(task.shard)
            self.account.pictures += report.pictures
            self.annotations += report.annotations
            self.advance(self.account.bytes, total)
            if not report.readable:
                self.lacking.add(task.stream)
            if len(report.keys):
                if before and report.keys[0] <= before[1]:
                    self._problem(
                        f"{path}: begins with an image that isn't after the last one of "
                        f"{before[0]}, in the order of their hashes"
                    )
                    # Then streams don't meet any more.
                    self.lacking |= {(task.split, form) for form in self.account.formats}
                before = path, int(report.keys[-1])
            yield report.keys, report.checksums


def _spaced(total: int, count: int) -> np.ndarray:
    """Returns positions of `count` of `total` examples, evenly spaced; (count,) int64."""
    return (np.arange(count) * 2 + 1) * total // (2 * max(count, 1))


def _counted_columns(manifest: Manifest, tasks: Iterable[ShardTask]) -> set[str]:
    """Returns the columns whose annotations were counted: all, or those of a partial format."""
    counted = {task.shard.format: task.schema for task in tasks if task.count}
    if not counted or whole(counted):
        return {*manifest.annotations}
    return {name for schema in counted.values() for name in _column_names(schema)}


def _shared_columns(schemas: Schemas) -> tuple[str, ...]:
    """Returns the columns that all these formats have, by which they are compared."""
    first, *others = map(_column_names, schemas.values())
    return tuple(name for name in first if all(name in names for names in others))


def _column_names(schema: Mapping[str, str]) -> list[str]:
    """Returns the columns of examples; a recorded schema may have several features of one."""
    return [*dict.fromkeys(key.partition("/")[0] for key in schema)]


def _find_features(tasks: Iterable[ShardTask], stream: Stream, image: Tally) -> dict[str, Any]:
    """Returns the features of an image in the shard of a stream that has it."""
    found = (find_example(task, image.such) for task in tasks if task.stream == stream)
    return next(filter(None, found))
