"""Fuzz target for selections: drawn combinations of flags, carried out in both ways."""

import functools
import random
import tempfile
from pathlib import Path

from pipelines import synthesize
from tests.selection import checking, corpora, draw
from tests.selection.corpora import Corpus

_IMAGES = 200
_CORPORA = ("v7", "v7", "v7", "v3", "no image tables")


def drawn_selection(number: int) -> str:
    """Builds a drawn selection twice, and compares both versions with the naive answer.

    Returns:
        The corpus, and `nothing`, `some` or `all` of its images.
    """
    chance = random.Random(number)
    name = chance.choice(_CORPORA)
    corpus = _corpus(name)
    drawn = draw.draw_some(chance, corpus)
    others = ["--chunk_size", chance.choice(["4096", "20000", "8MiB"])]
    with tempfile.TemporaryDirectory() as folder:
        done = []
        for first in (True, False):
            with checking.carried_out(first):
                done.append(checking.run(corpus, drawn, Path(folder, str(first)), *others))
            try:
                outcome = checking.check(corpus, drawn, done[-1])
            except AssertionError as error:
                raise AssertionError(f"{name} {first} {' '.join(drawn.flags)}: {error}") from None
        checking.assert_same(*done)
    return f"{name}: {outcome}"


@functools.cache
def _corpus(name: str) -> Corpus:
    folder = Path(tempfile.mkdtemp())
    release = "v3" if name == "v3" else "v7"
    flags = ["--output", str(folder / "made"), "--images", str(_IMAGES), "--num_workers", "1"]
    assert synthesize.main([*flags, "--release", release]) == 0
    make = {
        "v7": corpora.make_v7,
        "v3": corpora.make_v3,
        "no image tables": corpora.without_image_tables,
    }[name]
    return make(folder / "made" / "annotations", folder)
