"""The plan of a check: its shards in their order, and the pictures to decode."""

from collections.abc import Mapping

import numpy as np

from transforms.formats.registry import preferred, whole
from transforms.releases.manifest import Manifest
from transforms.releases.recorded_schema import recorded_schemas, shared_columns
from transforms.releases.verify_shard import ShardTask
from transforms.storage.stores import ObjectOptions


def plan_tasks(
    folder: str,
    manifest: Manifest,
    sizes: Mapping[str, int],
    sample: int | None,
    options: ObjectOptions,
) -> list[ShardTask]:
    """Returns the shards to check, those of all splits and formats side by side as keys ascend.

    Args:
        folder: of the version.
        manifest: the manifest.
        sizes: of the files that are there.
        sample: how many pictures to decode, evenly spread; None for all.
        options: how object stores are reached.
    """
    schemas = recorded_schemas(manifest)
    shards = [(split, shard) for split, shard in manifest.shards() if shard.path in sizes]
    formats = {shard.format for _, shard in shards}
    if not formats:
        return []
    compared = whole(formats)
    of_pictures = preferred(formats)  # they are the same in all that are whole
    total = sum(shard.num_examples for _, shard in shards if shard.format == of_pictures)
    if not manifest.with_pictures or not compared:
        sample = 0
    columns = shared_columns({form: schemas[form] for form in compared or formats})
    chosen = _spaced(total, total if sample is None else min(sample, total))
    tasks = []
    first = 0
    before: dict[tuple[str, str], int] = {}
    for split, shard in shards:
        wanted = chosen[:0]
        form, num_examples = shard.format, shard.num_examples
        if form == of_pictures:
            start, stop = np.searchsorted(chosen, [first, first + num_examples])
            wanted = chosen[start:stop] - first
            first += num_examples
        task = ShardTask(
            folder=folder,
            path=shard.path,
            form=form,
            split=split,
            sha256=shard.sha256,
            num_examples=num_examples,
            schema=schemas[form],
            columns=columns,
            compare=len(compared) > 1 and form in compared,
            count=form == of_pictures,
            sample=wanted,
            options=options,
            strict=bool(manifest.config.get("verify_pixels")),
        )
        # Keys are spread evenly: the share of examples before a shard tells where its keys begin.
        start = before.get((split, form), 0)
        before[split, form] = start + num_examples
        tasks.append((start / max(1, manifest.splits[split].num_examples), task))
    return [task for _, task in sorted(tasks, key=lambda pair: pair[0])]


def _spaced(total: int, count: int) -> np.ndarray:
    """Returns positions of `count` of `total` examples, evenly spaced; (count,) int64."""
    return (np.arange(count) * 2 + 1) * total // (2 * max(count, 1))
