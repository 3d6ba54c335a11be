"""How many shards a split has at least, and into how many parts its buckets are cut for that.

Shards are made of whole parts, and a bucket sees its own images alone. So it tells from these how
many the split has: keys are uniform, and all buckets of a split have about as many.
"""

#: Enough for a loader of so many workers.
_DEFAULT = 8
#: Splits of fewer images have no more shards than their size asks for. To begin a part takes some
#: 8 ms, and readers open each shard.
_FEW_IMAGES = 100
#: By chance a bucket may have so many more images than it would need for a shard each.
_CHANCE = 6


def shards_at_least(images: int, num_shards: int | None) -> int:
    """Returns the least number of shards of a split; its size may ask for more.

    Args:
        images: of the split.
        num_shards: as asked for, if it was.
    """
    if num_shards:
        return min(images, num_shards)
    return 1 if images < _FEW_IMAGES else _DEFAULT


def parts_at_least(images: int, buckets: int, num_shards: int | None) -> int:
    """Returns the least number of parts of a bucket and split; their size may ask for more.

    All parts of a split are as many as its shards, or more. Where a number was asked for, that is
    so even if the split has hardly more images.

    Args:
        images: of the split, in the bucket; 1 or more.
        buckets: of the build.
        num_shards: as asked for, if it was.
    """
    if num_shards is None:
        return -(-_DEFAULT // buckets) if images * buckets >= _FEW_IMAGES else 1
    # Twice as many, since not all buckets need have an image.
    enough = -(-2 * num_shards // buckets)
    return min(images if images <= enough + _CHANCE else enough, num_shards)
