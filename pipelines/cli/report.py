"""Reports of builds and checks: tables and lines for people."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from open_images.building.build_plan import BuildPlan
from open_images.verification import Verification
from transforms.dataset import naming
from transforms.formats.registry import FORMATS, find_format
from transforms.kinds.registry import UNUSED
from transforms.releases.loss_limits import describe_failure
from transforms.releases.manifest import Manifest, SourceRows, Split, bytes_by_format
from transforms.releases.outcome import Outcome
from transforms.storage.objects import is_remote
from transforms.wording import LINE_LENGTH, clean, counted, printable

#: Kinds of source that are places with members rather than tables.
MEMBERS = {"pictures": "pictures", "mask_files": "mask PNGs", "voice_files": "recordings"}

#: Counts of a source's rows: their names in a manifest, and in tables.
COUNTS = {
    name: name.removesuffix("_rows") for name in ("rows", "kept", "repeats", "orphans", "bad_rows")
}

#: Counted where something is selected.
DESELECTED = "deselected"
#: So many classes of a selection are shown: of those with most images, with least, and with none.
_SHOWN_CLASSES = 10

#: What `--report json` says of the images, in this order.
_OUTCOME_KEYS = (
    *("images", "failed_images", "failures", "losses", "warnings", "sources", "examples", "bytes"),
    *("taken_over", "exif_reset", "class_images"),
)


def describe_outcome(outcome: Outcome | None) -> dict[str, Any]:
    """Returns what became of the images for `--report json`; all null where that isn't known."""
    if outcome is None:
        return dict.fromkeys(_OUTCOME_KEYS)
    content = dataclasses.asdict(outcome)
    return {name: content.get(name) for name in _OUTCOME_KEYS} | {
        "sources": [
            {name: source[name] for name in ("kind", "path", *COUNTS, DESELECTED)}
            for source in content["sources"]
        ],
        "class_images": [
            {"label": label, "name": outcome.class_names.get(label), "images": count}
            for label, count in outcome.class_images.items()
        ],
        "examples": {name: split.num_examples for name, split in outcome.splits.items()} or None,
        "bytes": bytes_by_format(outcome.splits) or None,
    }


def render(outcome: Outcome, config: BuildPlan, seconds: float) -> str:
    """Returns the closing report: sources, splits, failures, and code that loads the version."""
    lines = accounts(outcome)
    lost = [(form, what, n) for form, its in outcome.dropped.items() for what, n in its.items()]
    if lost:
        lines += ["", *table(("format", "can't hold", "dropped"), lost)]
    if outcome.failures:
        lines += [f"  such as {describe_failure(row)}" for row in outcome.examples_of_failures]
    if outcome.warnings:
        lines += ["", *(f"note: {each.path}: {each.text}" for each in outcome.warnings)]
    if count := outcome.exif_reset:
        lines += [
            "",
            f"{count:,} of the pictures had an orientation in their metadata, which is 1 now, as "
            "annotations are in the frame of the stored pixels (--keep_exif_orientation leaves it)",
        ]
    rate = outcome.images / seconds
    lines += ["", f"{counted(outcome.images, 'image')} in {seconds:.1f} s, {rate:,.0f}/s"]
    if config.previous:
        reused = outcome.taken_over
        amounts = f"{reused['buckets']:,} of {counted(config.buckets, 'bucket')}"
        if config.examples.with_pictures:
            amounts += f" and {counted(reused['pictures'], 'picture')}"
        lines.append(f"taken over from version {os.path.basename(config.previous)}: {amounts}")
    if outcome.version:
        lines += _loading(outcome, config)
    return "\n".join(lines)


def unchanged(folder: str) -> str:
    """Returns the report of a build that would publish the latest version, in `folder`, again."""
    return (
        f"unchanged: {folder} was built from these inputs with these flags; --rebuild builds it "
        "again"
    )


def accounts(outcome: Outcome | Manifest) -> list[str]:
    """Tables of sources, splits and failures, as an outcome or a manifest has them."""
    lines = account_of_sources(outcome.sources)
    if outcome.class_images:
        lines += ["", *_class_images(outcome.class_images, outcome.class_names)]
    # Of a build that isn't published there are none.
    if outcome.splits and outcome.version:
        header = ("split", "format", "examples", "shards", "MiB")
        lines += ["", *table(header, _split_rows(outcome.splits))]
    if outcome.failures:
        lines += ["", *table(("failures", "rows"), list(outcome.failures.items()))]
    return lines


def account_of_sources(sources: Sequence[SourceRows]) -> list[str]:
    """Tables of what became of the rows of each source, and of those that were left out."""
    names = dict(COUNTS)
    rules = count_rules(sources)
    if rules:
        names[DESELECTED] = DESELECTED
    lines = ["", *table(("source", *names.values()), _source_rows(sources, names))]
    if rules:
        lines += ["", *table(("deselected by", "rows"), list(rules.items()))]
    return lines


def _loading(outcome: Outcome, config: BuildPlan) -> list[str]:
    """Returns where the version lies, and a line of Python for each format that loads it."""
    folder = f"{config.output}/versions/{outcome.version}"
    split = min(outcome.splits, key=naming.SPLITS.index)
    place = folder if is_remote(folder) else os.path.abspath(folder)
    few = [
        f"  --num_shards {config.num_shards}: {name} has no more shards than images, "
        f"{its.num_examples:,}"
        for name, its in outcome.splits.items()
        if config.num_shards and its.num_examples < config.num_shards
    ]
    formats = [find_format(form) for form in FORMATS if form in config.formats]
    codes = [f"  {each.loading_code(place, config.settings, split)}" for each in formats]
    return [f"published {folder}", *few, *codes]


def count_rules(sources: Iterable[SourceRows]) -> Counter[str]:
    """Counts the rows that each rule of the selection left out."""
    return sum((Counter(source.deselected) for source in sources), Counter())


def _class_images(class_images: Mapping[str, int], names: Mapping[str, str]) -> list[str]:
    """Returns the classes of the selection with most images, with least, and with none."""
    found = sorted(class_images.items(), key=lambda each: (-each[1], each[0]))
    shown = [(names.get(label, label), count) for label, count in found if count]
    if len(shown) > 2 * _SHOWN_CLASSES:
        between = ("…", sum(count for _, count in shown[_SHOWN_CLASSES:-_SHOWN_CLASSES]))
        shown = [*shown[:_SHOWN_CLASSES], between, *shown[-_SHOWN_CLASSES:]]
    missing = [(names.get(label, label), 0) for label, count in found if not count]
    if len(missing) > _SHOWN_CLASSES:
        more = f"… and {len(missing) - _SHOWN_CLASSES:,} more"
        missing = [*missing[:_SHOWN_CLASSES], (more, 0)]
    return table(("class", "images"), [*shown, *missing])


def _source_rows(sources: Sequence[SourceRows], counts: Iterable[str]) -> list[tuple]:
    """A row a file; of places with members, of which there may be dozens, one row a kind."""
    tables = [source for source in sources if source.kind not in (*MEMBERS, *UNUSED)]
    paths = [s.path if is_remote(s.path) else os.path.abspath(s.path) for s in tables]
    parents = [os.path.dirname(path).split("/") for path in paths]
    shared = os.path.commonprefix(parents)  # noqa: RUF071 - of lists of names
    names = ["/".join(path.split("/")[len(shared) :]) for path in paths]
    named = [(name, [s]) for name, s in zip(names, tables, strict=True)]
    for kind, name in MEMBERS.items():
        if some := [source for source in sources if source.kind == kind]:
            named.append((f"{name} in {counted(len(some), 'place')}", some))
    # Versions of earlier releases tell no repeats.
    return [
        (name, *(sum(_count(s, count) for s in some) for count in counts)) for name, some in named
    ]


def _count(source: SourceRows, name: str) -> int:
    return sum(source.deselected.values()) if name == DESELECTED else getattr(source, name) or 0


def _split_rows(splits: Mapping[str, Split]) -> list[tuple]:
    rows = []
    for name in sorted(splits, key=naming.SPLITS.index):
        for form in sorted(splits[name].formats):
            shards = splits[name].of_format(form)
            size = sum(shard.all_bytes for shard in shards) / (1 << 20)
            examples = sum(shard.num_examples for shard in shards)
            rows.append((name, form, examples, len(shards), f"{size:,.1f}"))
    return rows


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Returns lines with aligned columns: the first to the left, the others to the right."""
    cells = [
        [f"{c:,}" if isinstance(c, int) else clean(str(c), LINE_LENGTH) for c in row]
        for row in [header, *rows]
    ]
    width, *widths = (max(map(len, column)) for column in zip(*cells, strict=True))
    return [
        "  ".join([first.ljust(width), *map(str.rjust, others, widths)]).rstrip()
        for first, *others in cells
    ]


def verification(output: str, found: Verification) -> list[str]:
    """Returns the closing lines of `verify` about a version in `output`."""
    name, account = found.version, found.account
    looked_at = (
        f"{counted(account.examples, 'example')} in {counted(account.shards, 'shard')} "
        f"({account.bytes / (1 << 20):,.1f} MiB), {counted(account.pictures, 'picture')} decoded, "
        f"{found.seconds:.1f} s"
    )
    lines = []
    if account.damaged:
        lines.append(
            f"damaged pictures: {account.damaged:,}, as their files were: readers show them in "
            "part, or fail; build with --verify_pixels, which leaves such pictures out"
        )
    verdict = counted(account.problems, "problem") if account.problems else "whole"
    lines.append(f"{name}: {verdict}; {looked_at}")
    if account.problems:
        lines.append(
            "build it again with --rebuild, or let readers see another version: "
            f"python -m pipelines.versions {printable(output)} rollback VERSION"
        )
    return lines
