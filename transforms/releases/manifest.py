"""What a manifest must look like for programs to go by it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from transforms.dataset import naming
from transforms.formats.registry import FORMATS

_Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_path(value: Any) -> bool:
    """Whether a path stays in the version's folder."""
    return _is_text(value) and not value.startswith("/") and ".." not in value.split("/")


_FILE = {"path": _is_path, "bytes": _is_count, "sha256": _is_text}
_SHARD = {**_FILE, "format": FORMATS.__contains__, "num_examples": _is_count}
_SOURCE = {
    "kind": _is_text,
    "path": _is_text,
    "rows": _is_count,
    "bad_rows": _is_count,
    "orphans": _is_count,
}
_LATER_OF_SOURCE = ("kept", "repeats")


def find_flaws(manifest: Any) -> Iterator[str]:
    """Yields where a manifest isn't as a build writes it: keys, separated by dots.

    What earlier releases didn't write yet may be lacking.

    Args:
        manifest: as parsed from JSON.
    """
    if not isinstance(manifest, Mapping):
        yield "all of it"
        return
    yield from _check_members(manifest, {"version": _is_text}, "")
    config = manifest.get("config")
    if (
        not isinstance(config, Mapping)
        or not _is_text(config.get("release", ""))
        or not all(_is_list_of_texts(config.get(name, [])) for name in ("format", "mask_maps"))
    ):
        yield "config"
    yield from _check_splits(manifest.get("splits"))
    yield from _check_list(manifest.get("sources"), _SOURCE, "sources", _LATER_OF_SOURCE)
    for name in ("lineage", "files"):
        yield from _check_list(manifest.get(name, []), _FILE, name)
    if "card" in manifest:
        yield from _check_members(manifest["card"], _FILE, "card.")
    yield from _check_counts(manifest.get("failures"), "failures")
    annotations = manifest.get("annotations", {})
    if not isinstance(annotations, Mapping):
        yield "annotations"
        return
    for column, counts in annotations.items():
        yield from _check_members(
            counts, {"written": _is_count, "left_out": _is_count}, f"annotations.{column}."
        )


def _check_splits(splits: Any) -> Iterator[str]:
    if not isinstance(splits, Mapping) or not splits.keys() <= set(naming.SPLITS):
        yield "splits"
        return
    for split, account in splits.items():
        yield from _check_members(account, {"num_examples": _is_count}, f"splits.{split}.")
        if isinstance(account, Mapping):
            yield from _check_list(account.get("shards"), _SHARD, f"splits.{split}.shards")


def _check_list(
    entries: Any, checks: Mapping[str, _Check], name: str, later: tuple[str, ...] = ()
) -> Iterator[str]:
    if not isinstance(entries, list):
        yield name
        return
    for place, entry in enumerate(entries):
        yield from _check_members(entry, checks, f"{name}.{place}.")
        if isinstance(entry, Mapping):
            counts = {key: entry[key] for key in later if key in entry}
            yield from _check_counts(counts, f"{name}.{place}")


def _check_members(value: Any, checks: Mapping[str, _Check], above: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield above.rstrip(".")
        return
    yield from (
        above + key for key, check in checks.items() if key not in value or not check(value[key])
    )


def _check_counts(counts: Any, name: str) -> Iterator[str]:
    if not isinstance(counts, Mapping):
        yield name
        return
    yield from (f"{name}.{key}" for key, count in counts.items() if not _is_count(count))
