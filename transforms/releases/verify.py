"""The check of a published version as a whole: every problem is a line."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from transforms.dataset.naming import MANIFEST
from transforms.formats.registry import whole
from transforms.releases import verify_files, verify_output
from transforms.releases.manifest import Manifest, ManifestError
from transforms.releases.merging import Batch, align
from transforms.releases.output import LatestError, Output, find_change, list_contents
from transforms.releases.recorded_schema import column_names
from transforms.releases.verify_agreement import Comparison, Stream, Tally
from transforms.releases.verify_plan import plan_tasks
from transforms.releases.verify_shard import ShardReport, ShardTask, check_shard, find_example
from transforms.system.processes import spread

_NO_CHECKSUMS = (
    f"{MANIFEST}: is of an earlier release, without checksums of itself, classes.json and "
    "failures: only shards, and what can be counted, are checked"
)


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
    tell: Callable[[str], None],
    note: Callable[[str], None],
    advance: Callable[[int, int], None] = lambda *_: None,
    damaged_shown: int = 10,
) -> Account:
    """Looks at everything in a version, and if it is the latest, at what lies around it.

    Args:
        output: where it is published.
        name: of the version.
        sample: how many pictures to decode, spread evenly; None for all.
        num_workers: processes.
        tell: is given each problem, one line, and the first pictures that are damaged.
        note: is given notes, one line each.
        advance: is given how many bytes of shards were looked at, and how many there are.
        damaged_shown: how many damaged pictures that are no problem get a line.

    Returns:
        What was looked at.

    Raises:
        StorageError: The object store can't be read.
        OSError: A file can't be read.
        WorkerError: A process died.
    """
    check = _Check(output, name, tell, note, advance, damaged_shown)
    check.run(sample, num_workers)
    return check.account


class _Check:
    def __init__(
        self,
        output: Output,
        name: str,
        tell: Callable[[str], None],
        note: Callable[[str], None],
        advance: Callable[[int, int], None],
        damaged_shown: int,
    ) -> None:
        self._output = output
        self._name = name
        self._tell = tell
        self._note = note
        self._advance = advance
        self._damaged_shown = damaged_shown
        self._lacking: set[Stream] = set()
        self._annotations: Counter[str] = Counter()
        self.account = Account()

    def run(self, sample: int | None, num_workers: int) -> None:
        folder, options = self._output.folder(self._name), self._output.options
        is_latest = self._is_latest()
        if is_latest:
            self._problems(verify_output.check_pointer(self._output, self._name))
            self._problems(verify_output.check_versions(self._output, self._name))
            for stranger in verify_output.find_strangers(self._output):
                self._note(stranger)
            self._problems(verify_output.check_pins(self._output))
        try:
            manifest, data = self._output.read_manifest(self._name)
        except ManifestError as error:
            self._problem(str(error))
            return
        if problem := find_change(manifest, data):
            self._problem(problem)
        if not manifest.has_checksums:
            self._note(_NO_CHECKSUMS)
        elif is_latest:
            problem, note = verify_output.check_card(self._output, self._name, manifest)
            if problem:
                self._problem(problem)
            if note:
                self._note(note)
        beside_files = self.account.problems
        contents = list_contents(folder, options)
        sizes = contents.sizes
        self._problems(verify_files.check_manifest(self._name, manifest))
        self._problems(verify_files.check_counts(manifest))
        self._problems(verify_files.check_files(manifest, contents))
        self._problems(verify_files.check_content(folder, manifest, sizes, options))
        self._problems(verify_files.check_reuse_files(folder, manifest, sizes, options))
        tasks = plan_tasks(folder, manifest, sizes, sample, options)
        self.account.formats = tuple(sorted({task.form for task in tasks}))
        self._lacking = {
            (split, shard.format) for split, shard in manifest.shards() if shard.path not in sizes
        }
        self._check_shards(tasks, sizes, num_workers)
        if self.account.problems > beside_files:
            return  # annotations that are missing or added would only follow from these
        counted = _counted_columns(manifest, tasks)
        for column, counts in manifest.annotations.items():
            if column not in counted:
                continue
            found = self._annotations[column]
            if found != counts.written:
                self._problem(
                    f"{column}: {found:,} are in the shards, and {counts.written:,} by the manifest"
                )

    def _is_latest(self) -> bool:
        try:
            return self._output.latest() == self._name
        except LatestError as error:
            self._problem(str(error))
            return False

    def _problems(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._problem(line)

    def _problem(self, line: str) -> None:
        self.account.problems += 1
        self._tell(line)

    def _check_shards(
        self, tasks: Sequence[ShardTask], sizes: Mapping[str, int], num_workers: int
    ) -> None:
        total = sum(sizes[task.path] for task in tasks)
        with spread(check_shard, tasks, num_workers) as results:
            waiting: dict[Stream, list] = {}
            for task, result in zip(tasks, results, strict=True):
                waiting.setdefault((task.split, task.form), []).append((task, result))
            streams = {
                stream: self._batches(shards, sizes, total) for stream, shards in waiting.items()
            }
            comparison = Comparison(streams)
            for window in align(streams):
                comparison.add(window)
        self.account.examples = comparison.examples
        for line in comparison.lines(self._lacking):
            self._problem(line)
        for (split, form, first), tally in comparison.differing.items():
            if tally.count:
                found = [
                    _find_features([t for t in tasks if (t.split, t.form) == (split, each)], tally)
                    for each in (form, first)
                ]
                where = ", ".join(_differing_features(*found)) or "how they are encoded"
                self._problem(f"{split}: {tally} in {form} isn't as in {first}: {where}")

    def _batches(
        self,
        shards: Sequence[tuple[ShardTask, Callable[[], ShardReport]]],
        sizes: Mapping[str, int],
        total: int,
    ) -> Iterator[Batch]:
        """Yields the keys and checksums of a stream's shards; reports their problems on the way."""
        before: tuple[str, int] | None = None
        for task, result in shards:
            report = result()
            for line in report.problems:
                self._problem(f"{task.path}: {line}")
            for line in report.damaged[: max(0, self._damaged_shown - self.account.damaged)]:
                self._tell(f"{task.path}: {line}")
            self.account.damaged += len(report.damaged)
            self.account.shards += 1
            self.account.bytes += sizes[task.path]
            self.account.pictures += report.pictures
            self._annotations += report.annotations
            self._advance(self.account.bytes, total)
            if not report.readable:
                self._lacking.add((task.split, task.form))
            if len(report.keys):
                if before and report.keys[0] <= before[1]:
                    self._problem(
                        f"{task.path}: begins with an image that isn't after the last one of "
                        f"{before[0]}, in the order of their hashes"
                    )
                    # Then streams don't meet any more.
                    self._lacking |= {(task.split, form) for form in self.account.formats}
                before = task.path, int(report.keys[-1])
            yield report.keys, report.checksums


def _counted_columns(manifest: Manifest, tasks: Sequence[ShardTask]) -> set[str]:
    """Returns the columns whose annotations were counted: all, or those of a partial format."""
    counted = {task.form: task.schema for task in tasks if task.count}
    if not counted or whole(counted):
        return {*manifest.annotations}
    return {name for schema in counted.values() for name in column_names(schema)}


def _find_features(tasks: Sequence[ShardTask], image: Tally) -> dict[str, Any]:
    """Returns the features of an image in the one of these shards that has it."""
    found = (find_example(task, image.such) for task in tasks)
    return next(example for example in found if example is not None)


def _differing_features(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Returns the names of the features that two examples don't share."""
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
