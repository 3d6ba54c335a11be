"""What `python -m pipelines.versions` does, a function a command."""

import argparse
import json
from collections.abc import Callable, Mapping
from typing import Any

from open_images.progress import Progress
from pipelines.cli import report
from pipelines.cli.output import print_result, program_name
from pipelines.cli.progress import ProgressDisplay
from transforms.dataset.naming import SPLITS
from transforms.releases import latest, lease, removal, workspace
from transforms.releases.diff import Difference, ImageChange, compare
from transforms.releases.manifest import Manifest, ManifestError, VersionError, bytes_by_format
from transforms.releases.output import LatestError, Output
from transforms.storage import files
from transforms.storage.objects import is_remote
from transforms.storage.temporary import program_folder
from transforms.wording import LINE_LENGTH, clean, clean_values, counted, printable

_PROGRAM = program_name("versions")
_MIB = 1 << 20


def list_versions(output: Output, flags: argparse.Namespace) -> None:
    """Prints a line a version, the oldest first."""
    latest, pinned = read_latest(output)[0], output.pinned()
    found: list[dict[str, Any]] = []
    for name in output.published():
        entry: dict[str, Any] = {"version": name, "date": _date(output, name)}
        marks = ["latest"] * (name == latest) + ["pinned"] * (name in pinned)
        try:
            splits = output.manifest(name).splits
            entry["examples"] = {split: its.num_examples for split, its in splits.items()}
            entry["bytes"] = sum(bytes_by_format(splits).values())
            entry["marks"] = marks
        except ManifestError as error:
            entry |= {"marks": [*marks, "damaged"], "error": str(error)}
        found.append(entry)
    if flags.report == "json":
        _print_json(found)
        return
    if not found:
        raise VersionError(
            f"{output.path}: nothing is published there: name the --output of a build"
        )
    names = [name for name in SPLITS if any(name in each.get("examples", ()) for each in found)]
    rows = []
    for each in found:
        counts = [each.get("examples", {}).get(name, 0) for name in names]
        size, marks = f"{each.get('bytes', 0) / _MIB:,.1f}", ", ".join(each["marks"])
        rows.append((each["version"], each["date"], *counts, size, marks))
    print("\n".join(report.table(("version", "built", *names, "MiB", ""), rows)))


def _date(output: Output, name: str) -> str:
    return output.date(name).isoformat(timespec="seconds")


def _print_json(document: Any) -> None:
    print(json.dumps(clean_values(document)))


def read_latest(output: Output) -> tuple[str | None, str]:
    """Returns the version that `latest` names, and why it names none: a line, or empty."""
    try:
        return output.published_latest(), ""
    except LatestError as error:
        return None, str(error)


def show(output: Output, flags: argparse.Namespace) -> None:
    """Prints what a manifest says."""
    name = output.choose(flags.version)
    manifest = output.manifest(name)
    if flags.report == "json":
        _print_json(json.loads(output.read_manifest(name)[1]))
        return
    fingerprint = clean(str(manifest.fingerprint))
    lines = [f"{name}, built {_date(output, name)}, fingerprint {fingerprint}", ""]
    for flag, value in manifest.config.items():
        if value:
            shown = ",".join(map(str, value)) if isinstance(value, list) else value
            lines.append(clean(f"  --{flag} {shown}", LINE_LENGTH))
    print("\n".join([*lines, *report.accounts(manifest)]))


def diff(output: Output, flags: argparse.Namespace) -> None:
    """Prints what changed from one version to another."""
    before, after = output.choose(flags.before), output.choose(flags.after)
    as_json = flags.report == "json"

    def print_change(change: ImageChange) -> None:
        if as_json:
            line = json.dumps(change._asdict())
        else:
            columns = ",".join(change.columns)
            line = " ".join([change.change, change.split, change.image_id, columns])
        display.report(line.rstrip())

    with program_folder(), ProgressDisplay() as display:
        found = compare(
            output,
            before,
            after,
            flags.num_workers,
            print_change if flags.images else None,
            lambda done, total: display.show(Progress("comparing", done, total)),
        )
    accounts = _compare_accounts(output.manifest(before), output.manifest(after))
    if as_json:
        summary = {"before": before, "after": after, "splits": _by_split(found)}
        _print_json(summary | {"sources": found.sources, "columns": found.columns} | accounts)
    else:
        print("\n".join(_describe(found, accounts)))


def _by_split(found: Difference) -> dict[str, dict[str, int]]:
    present = [name for name in SPLITS if any(name in counts for counts in found.kinds.values())]
    return {
        split: {kind: counts[split] for kind, counts in found.kinds.items()} for split in present
    }


def _compare_accounts(before: Manifest, after: Manifest) -> dict[str, dict]:
    """Returns flags, input files and failures that differ in two manifests, with both values."""

    def files_of(manifest: Manifest) -> dict[str, list[int]]:
        counts: dict[str, list[int]] = {}
        for source in manifest.sources:
            name = source.kind
            if name not in report.MEMBERS:  # which lie in dozens of places
                name = f"{name} {source.path.rpartition('/')[2]}"
            total = counts.setdefault(name, [0] * len(report.COUNTS))
            for place, count in enumerate(report.COUNTS):
                total[place] += getattr(source, count) or 0
        return counts

    def pairs(one: Mapping, other: Mapping) -> dict[str, list]:
        names = sorted(one.keys() | other.keys())
        found = {name: [one.get(name), other.get(name)] for name in names}
        return {name: pair for name, pair in found.items() if pair[0] != pair[1]}

    return {
        "config": pairs(before.config, after.config),
        "files": pairs(files_of(before), files_of(after)),
        "failures": pairs(before.failures, after.failures),
    }


def _describe(found: Difference, accounts: dict[str, dict]) -> list[str]:
    by_split = _by_split(found)
    rows = [(split, *counts.values()) for split, counts in by_split.items()]
    lines = report.table(("split", *found.kinds), rows)
    for title, counts in (("changed by source", found.sources), ("by column", found.columns)):
        if counts:
            rows = [(name, *(its[split] for split in by_split)) for name, its in counts.items()]
            lines += ["", *report.table((title, *by_split), rows)]
    for title, names in (
        (f"file: {', '.join(report.COUNTS.values())}", accounts["files"]),
        ("failures", accounts["failures"]),
        ("flag", accounts["config"]),
    ):
        if names:
            rows = [(name, *map(_shown, pair)) for name, pair in names.items()]
            lines += ["", *report.table((title, "before", "after"), rows)]
    return lines


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)


def roll_back(output: Output, flags: argparse.Namespace) -> None:
    """Points `latest` to a version."""
    name = output.choose(flags.version)
    if read_latest(output)[0] == name:
        _print_done(f"{name} is the latest already")
        return
    if is_remote(output.path):
        latest.roll_back(output, name, scratch="")
    else:
        with workspace.workspace(output.path) as (work, _):
            latest.roll_back(output, name, work)
    _print_done(f"{name} is the latest now")


def pin(output: Output, flags: argparse.Namespace) -> None:
    """Marks a version."""
    latest.pin(output, flags.version)
    _print_done(f"{flags.version} is pinned: gc leaves it alone")


def unpin(output: Output, flags: argparse.Namespace) -> None:
    """Unmarks a version."""
    if not latest.unpin(output, flags.version):
        raise VersionError(f"{output.path}: version {flags.version} isn't pinned")
    _print_done(f"{flags.version} is pinned no more")


def collect(output: Output, flags: argparse.Namespace) -> None:
    """Removes old versions, and what dead builds have left."""
    if output.published_latest() is None and not files.is_folder(output.path, output.options):
        raise VersionError(f"{output.path}: there is no such folder: name the --output of a build")
    leftovers = workspace.leftovers(output.path, flags.work_folder, output.options)
    names = removal.old_versions(output, flags.keep)
    word = "would remove" if flags.dry_run else "removed"
    for path in leftovers:
        _print_done(f"{word} {path}, left by a dead build")
    has_lease = lease.is_abandoned if flags.dry_run else lease.remove_abandoned
    if has_lease(output.path, output.options):
        _print_done(f"{word} {lease.path_of(output.path)}, left by a dead build")
    if flags.dry_run:
        for name in names:
            _print_done(f"{word} {name}")
        return
    # Which removes what dead builds have left, at its beginning and end.
    with workspace.workspace(
        output.path, flags.work_folder, options=output.options, fingerprint=""
    ) as (work, _):
        latest.write_card(output, work)  # which may name an old one, after a crash
        for name in names:
            done = removal.remove(output, name, work)
            _print_done(f"{word} {name}" if done else f"kept {name}, which is wanted by now")
    kept = output.published()
    _print_done(f"{counted(len(kept), 'version')} left")


def _print_done(line: str) -> None:
    line = printable(line)
    print_result(_PROGRAM, line, line)


COMMANDS: dict[str, Callable[[Output, argparse.Namespace], None]] = {
    "list": list_versions,
    "show": show,
    "diff": diff,
    "rollback": roll_back,
    "pin": pin,
    "unpin": unpin,
    "gc": collect,
}
