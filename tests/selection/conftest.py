"""Corpora for selections, each made once a run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.selection import corpora
from tests.selection.corpora import Corpus


@pytest.fixture(scope="session")
def v7(corpus_v7: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpora.make_v7(corpus_v7 / "annotations", tmp_path_factory.mktemp("v7"))


@pytest.fixture(scope="session")
def v3(corpus_v3: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpora.make_v3(corpus_v3 / "annotations", tmp_path_factory.mktemp("v3"))


@pytest.fixture(scope="session")
def no_tables(corpus_v7: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """V7 without image tables."""
    folder = tmp_path_factory.mktemp("no_tables")
    return corpora.without_image_tables(corpus_v7 / "annotations", folder)


@pytest.fixture
def find_corpus(request: pytest.FixtureRequest) -> Callable[[str], Corpus]:
    """Makes a corpus by the name of its fixture, if it isn't there."""
    return request.getfixturevalue
