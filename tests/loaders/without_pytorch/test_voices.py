"""Recordings that soundfile encodes and decodes, from the corpus to `datasets`."""

import io
import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile

from pipelines import synthesize
from tests.builds import Version, run_build
from tests.recordings import recording
from transforms.dataset.failures import PixelError, Reason
from transforms.examples.voices.ogg import check_recording, decode_recording


def make(folder: Path, *flags: str) -> Path:
    flags = ("--output", str(folder), "--images", "12", "--voices", "--num_workers", "1", *flags)
    assert synthesize.main(flags) == 0
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("corpus") / "folder")


@pytest.fixture(scope="module")
def narratives(corpus: Path) -> dict[str, dict]:
    """The narratives by their recordings."""
    files = (corpus / "annotations").glob("*localized_narratives*.jsonl")
    lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    return {line["voice_recording"]: line for line in lines}


@pytest.fixture(scope="module")
def version(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Version:
    inputs = ("--annotations", corpus / "annotations", "--images", corpus / "images")
    flags = ("--voices", corpus / "voices", "--verify_voices", "--format", "parquet")
    built = run_build(*inputs, *flags, "--output", tmp_path_factory.mktemp("output"))
    assert built.returncode == 0, built.stderr
    return built.version


def test_each_narrative_is_spoken_once(corpus: Path, narratives: dict[str, dict]):
    there = {str(path.relative_to(corpus / "voices")) for path in corpus.rglob("*.ogg")}
    assert there == narratives.keys()
    assert len(there) > 2


def test_tones_sound_while_words_are_spoken(corpus: Path, narratives: dict[str, dict]):
    for name, narrative in narratives.items():
        sound, rate = soundfile.read(corpus / "voices" / name)
        timed = narrative["timed_caption"]
        assert len(sound) / rate == pytest.approx(timed[-1]["end_time"] + 0.3, abs=0.01)
        assert check_recording((corpus / "voices" / name).read_bytes()).seconds == len(sound) / rate
        for number, each in enumerate(timed):
            start, stop = (round(each[key] * rate) for key in ("start_time", "end_time"))
            spoken = sound[start:stop]
            loudest = np.abs(np.fft.rfft(spoken)).argmax() * rate / len(spoken)
            assert loudest == pytest.approx(220 * 2 ** (number % 7 / 6), abs=2 * rate / len(spoken))
        assert np.abs(sound[-round(0.2 * rate) :]).max() < 0.05


def test_the_same_bytes_each_time(corpus: Path, tmp_path: Path):
    again = make(tmp_path / "again")
    for path in corpus.rglob("*.ogg"):
        assert (again / path.relative_to(corpus)).read_bytes() == path.read_bytes()


def test_a_build_decodes_them(corpus: Path, version: Version, narratives: dict[str, dict]):
    rows = [row for example in version.examples.values() for row in example["narratives"]]
    assert {row["voice_recording"] for row in rows} == narratives.keys()
    for row in rows:
        assert row["voice"]["bytes"] == (corpus / "voices" / row["voice_recording"]).read_bytes()


def test_what_does_not_decode_fails():
    """Its pages are right, and hold no sound."""
    check_recording(recording())
    with pytest.raises(PixelError) as caught:
        decode_recording(recording())
    assert caught.value.reason is Reason.VOICE_CORRUPT
    assert "doesn't decode" in caught.value.detail


def test_opus():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(24_000, np.float32), 24_000, format="OGG", subtype="OPUS")
    found = check_recording(file.getvalue())
    assert (found.codec, found.sample_rate) == ("opus", 24_000)
    assert found.seconds == pytest.approx(1.0, abs=0.02)
    decode_recording(file.getvalue())


def test_datasets_has_what_soundfile_reads(version: Version, tmp_path: Path):
    files = [str(shard) for shard in version.shards("train", "parquet")]
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path)
    )
    features = loaded.features.copy()
    assert features["narratives"].feature["voice"] == datasets.Audio()
    features["narratives"].feature["voice"] = datasets.Audio(decode=False)
    found = [row for each in loaded.cast(features)["narratives"] for row in each]
    assert found
    for row in found:
        sound, rate = soundfile.read(io.BytesIO(row["voice"]["bytes"]))
        assert len(sound) / rate > row["timed_caption"][-1]["end_time"]
