"""Recordings of narratives: from any source into the example, or a failure that harms no other."""

import contextlib
import functools
import gzip
import http.server
import json
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from pipelines import verify
from tests.builds import Build, Version, run_build
from tests.compare import flat_features, tfrecord_to_rows
from tests.emulators import S3Server
from tests.recordings import recording
from tests.serving import served

IDS = [f"{i:016x}" for i in range(1, 13)]
#: Images of which two annotators speak, the first one alone, and none of whom there is a recording.
TWICE, SILENT = IDS[3], IDS[5]


def name_of(image_id: str, annotator: int) -> str:
    dataset = "open_images_train"
    return f"{dataset}/{dataset}_0000/{dataset}_{image_id}_{annotator}.ogg"


def narrative(image_id: str, annotator: int, **changes: Any) -> str:
    fields = {
        "dataset_id": "open_images_train",
        "image_id": image_id,
        "annotator_id": annotator,
        "caption": f"We see {annotator} things.",
        "timed_caption": [{"utterance": "We see", "start_time": 0.0, "end_time": 0.5}],
        "traces": [[{"x": 0.25, "y": 0.5, "t": 0.0}]],
        "voice_recording": name_of(image_id, annotator),
    }
    return json.dumps(fields | changes) + "\n"


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images, each but the last with a narrative, and one of them with two."""
    folder = tmp_path_factory.mktemp("annotations")
    rows = "".join(f"{image_id},train\n" for image_id in IDS)
    (folder / "train-images.csv").write_text(f"ImageID,Subset\n{rows}")
    lines = [narrative(image_id, 7) for image_id in IDS[:-1] if image_id != SILENT]
    lines += [narrative(TWICE, 8), narrative(SILENT, 7, voice_recording=None)]
    (folder / "open_images_train_localized_narratives.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def recordings() -> dict[str, bytes]:
    """The recordings that narratives name, by their published paths."""
    names = [name_of(image_id, 7) for image_id in IDS[:-1] if image_id != SILENT]
    names.append(name_of(TWICE, 8))
    return {name: recording(1 + number / 4, number) for number, name in enumerate(names)}


def in_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def in_tar(folder: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    """A tar, in which the recordings lie below another folder."""
    in_folder(folder / "files", files)
    path = folder / f"voices.tar{'.gz' if mode.endswith('gz') else ''}"
    with tarfile.open(path, mode) as tar:
        tar.add(folder / "files", "voice-recordings")
    return path


def in_zip(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "voices.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.rpartition("/")[2], data)
    return folder / "voices.zip"


WRITERS = {
    "folder": in_folder,
    "tar": in_tar,
    "tar.gz": functools.partial(in_tar, mode="w:gz"),
    "zip": in_zip,
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, silently."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Serves a folder; returns its address."""
    with contextlib.ExitStack() as stack:

        def start(folder: Path) -> str:
            handler = functools.partial(Handler, directory=str(folder))
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
            return f"http://127.0.0.1:{stack.enter_context(served(server)).server_port}"

        yield start


def build(annotations: Path, output: Path, *voices: object, flags: tuple = ()) -> Build:
    named = [text for source in voices for text in ("--voices", source)]
    flags = ("--images", "none", "--format", "parquet", *flags, "--output", output)
    return run_build("--annotations", annotations, *named, *flags)


def publish(annotations: Path, output: Path, *voices: object, flags: tuple = ()) -> Version:
    built = build(annotations, output, *voices, flags=flags)
    assert built.returncode == 0, built.stderr
    return built.version


def voices_of(version: Version) -> dict[str, dict | None]:
    """The recordings of narratives by the names that these have for them."""
    narratives = [row for each in version.examples.values() for row in each["narratives"]]
    return {row["voice_recording"]: row["voice"] for row in narratives}


def files_of(recordings: dict[str, bytes]) -> dict[str | None, dict | None]:
    """What `voices_of` is to be where all are sound."""
    known = {
        name: {"bytes": data, "path": name.rpartition("/")[2]} for name, data in recordings.items()
    }
    return {**known, None: None}


@pytest.mark.parametrize("medium", WRITERS)
def test_recordings_are_beside_their_narratives(
    medium: str, annotations: Path, recordings: dict[str, bytes], tmp_path: Path
):
    source = WRITERS[medium](tmp_path / "voices", recordings)
    version = publish(annotations, tmp_path / "out", source)
    assert voices_of(version) == files_of(recordings)
    assert version.failures == []
    by_image = {image_id: example["narratives"] for image_id, example in version.examples.items()}
    assert [row["annotator_id"] for row in by_image[TWICE]] == [7, 8]
    assert by_image[IDS[-1]] == []
    (source_count,) = [s for s in version.manifest["sources"] if s["kind"] == "voice_files"]
    assert source_count["rows"] == len(recordings)


def test_recordings_over_http(
    annotations: Path, recordings: dict[str, bytes], tmp_path: Path, serve: Callable
):
    address = serve(in_folder(tmp_path / "voices", recordings))
    template = f"{address}/{{voice_recording}}"
    version = publish(annotations, tmp_path / "out", template, flags=("--allow_private_hosts",))
    assert voices_of(version) == files_of(recordings)
    blocked = build(annotations, tmp_path / "blocked", template)
    assert blocked.returncode == 1
    assert (
        f"{len(recordings)} of {len(recordings)} recordings are missing or damaged"
        in blocked.stderr
    )
    assert "blocked_address" in blocked.stdout


@pytest.mark.parametrize("form", ["", "folder="])
def test_recordings_of_a_bucket(
    form: str,
    annotations: Path,
    recordings: dict[str, bytes],
    tmp_path: Path,
    s3_server: S3Server,
):
    """Asked for by their published paths, and listed."""
    s3_server.make_bucket("voices")
    for name, data in recordings.items():
        s3_server.put("voices", f"spoken/{name}", data)
    flags = ("--s3_endpoint_url", s3_server.url)
    version = publish(annotations, tmp_path / "out", f"{form}s3://voices/spoken", flags=flags)
    assert voices_of(version) == files_of(recordings)
    nowhere = build(annotations, tmp_path / "none", "s3://voices/written", flags=flags)
    assert nowhere.returncode == 2
    assert "--voices s3://voices/written: nothing is below it" in nowhere.stderr


def test_sources_are_tried_in_turn(
    annotations: Path, recordings: dict[str, bytes], tmp_path: Path, serve: Callable
):
    names = sorted(recordings)
    some = {name: recordings[name] for name in names[::2]} | {names[1]: recordings[names[1]][:-9]}
    address = serve(in_folder(tmp_path / "all", recordings))
    sources = (in_folder(tmp_path / "some", some), f"{address}/{{voice_recording}}")
    version = publish(annotations, tmp_path / "out", *sources, flags=("--allow_private_hosts",))
    assert voices_of(version) == files_of(recordings)
    assert version.failures == []


def test_without_sources_there_are_none(annotations: Path, tmp_path: Path):
    version = publish(annotations, tmp_path / "out")
    assert set(voices_of(version).values()) == {None}
    assert version.failures == []


@pytest.fixture
def spoiled(recordings: dict[str, bytes], tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder that lacks a recording and has a cut and a wrong one; and their names."""
    names = sorted(recordings)[:3]
    changed = {names[1]: recordings[names[1]][:-20], names[2]: b"<html>Not found</html>"}
    folder = in_folder(tmp_path / "voices", recordings | changed)
    (folder / names[0]).unlink()
    return folder, names


def test_what_fails_is_told_and_its_narrative_stays(
    annotations: Path, recordings: dict[str, bytes], spoiled: tuple, tmp_path: Path
):
    folder, (missing, cut, wrong) = spoiled
    version = publish(annotations, tmp_path / "out", folder, flags=("--max_bad_rate", "0.5"))
    expected = files_of(recordings) | dict.fromkeys((missing, cut, wrong))
    assert voices_of(version) == expected
    found = {
        row["detail"].partition(": ")[0]: (row["stage"], row["reason"], row["source"])
        for row in version.failures
    }
    assert found == {
        missing: ("voice", "voice_missing", None),
        cut: ("voice", "voice_corrupt", str(folder / cut)),
        wrong: ("voice", "voice_corrupt", str(folder / wrong)),
    }
    assert version.manifest["failures"] == {"voice_corrupt": 2, "voice_missing": 1}


def test_too_many_that_fail_are_a_loss(annotations: Path, spoiled: tuple, tmp_path: Path):
    built = build(annotations, tmp_path / "out", spoiled[0])
    assert built.returncode == 1
    assert "recordings of train: 3 of 11 (27.27%) recordings are missing or damaged" in built.stderr
    assert "check --voices" in built.stderr
    assert not (tmp_path / "out" / "latest").exists()


def test_only_what_has_changed_is_built_anew(
    annotations: Path, recordings: dict[str, bytes], tmp_path: Path
):
    folder = in_folder(tmp_path / "voices", recordings)
    first = publish(annotations, tmp_path / "out", folder)
    assert "unchanged" in build(annotations, tmp_path / "out", folder).stdout
    changed = recordings | {sorted(recordings)[0]: recording(9.0, 99)}
    in_folder(folder, changed)
    second = publish(annotations, tmp_path / "out", folder)
    assert second.manifest["version"] != first.manifest["version"]
    assert voices_of(second) == files_of(changed)
    in_folder(folder, {name_of("f" * 16, 7): recording()})  # of an image that isn't there
    third = build(annotations, tmp_path / "out", folder)
    buckets = re.search(r"taken over from version \S+: (\d+) of (\d+) bucket", third.stdout)
    assert buckets[1] == buckets[2]
    assert voices_of(third.version) == files_of(changed)


def test_bytes_do_not_depend_on_where_windows_are_cut(
    annotations: Path, recordings: dict[str, bytes], tmp_path: Path
):
    """A window of a few recordings: shards of a small size have such."""
    folder = in_folder(tmp_path / "voices", recordings)
    version = publish(annotations, tmp_path / "out", folder, flags=("--shard_size", "2000"))
    assert voices_of(version) == files_of(recordings)


def test_the_other_formats(annotations: Path, recordings: dict[str, bytes], tmp_path: Path):
    folder = in_folder(tmp_path / "voices", recordings)
    formats = ("--format", "parquet,tfrecord,jsonl,webdataset", "--num_shards", "1")
    version = publish(annotations, tmp_path / "out", folder, flags=formats)
    (jsonl,) = version.shards("train", "jsonl")
    with gzip.open(jsonl) as file:
        lines = [json.loads(line) for line in file]
    assert [each["image_id"] for each in lines] == version.table["image_id"].to_pylist()
    rows = tfrecord_to_rows(version.shards("train", "tfrecord"))
    for row, example in zip(rows, version.table.to_pylist(), strict=True):
        expected = flat_features(example, version.table.schema)
        assert row["narratives/voice"] == expected["narratives/voice"]
        assert "narratives/voice/path" not in row
    assert verify.main([str(tmp_path / "out")]) == 0


def test_open_images_own_files(annotations: Path, recordings: dict[str, bytes], tmp_path: Path):
    """A build of what a build wrote has the same narratives."""
    folder = in_folder(tmp_path / "voices", recordings)
    version = publish(annotations, tmp_path / "a", folder, flags=("--format", "openimages,parquet"))
    written = version.folder / "openimages"
    for name, data in recordings.items():
        assert (written / "voices" / name).read_bytes() == data
    tables = tmp_path / "tables"  # without those of classes, which are empty
    tables.mkdir()
    for path in (written / "annotations").glob("*train*"):
        shutil.copy(path, tables)
    again = publish(tables, tmp_path / "b", written / "voices")
    assert again.table["narratives"].equals(version.table["narratives"])


def test_datasets_knows_what_they_are(
    annotations: Path, recordings: dict[str, bytes], tmp_path: Path
):
    folder = in_folder(tmp_path / "voices", recordings)
    version = publish(annotations, tmp_path / "out", folder)
    files = [str(shard) for shard in version.shards("train", "parquet")]
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.features["narratives"].feature["voice"] == datasets.Audio()
    features = loaded.features.copy()
    features["narratives"].feature["voice"] = datasets.Audio(decode=False)
    found = {
        row["voice_recording"]: row["voice"]
        for narratives in loaded.cast(features)["narratives"]
        for row in narratives
    }
    assert found == files_of(recordings)


def test_names_that_lead_out_are_not_asked_for(tmp_path: Path, serve: Callable):
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "train-images.csv").write_text(f"ImageID,Subset\n{IDS[0]},train\n")
    name = f"../secret_{IDS[0]}_7.ogg"
    line = narrative(IDS[0], 7, voice_recording=name)
    (folder / "train_localized_narratives.jsonl").write_text(line)
    (tmp_path / "voices").mkdir()
    address = serve(tmp_path / "voices")
    flags = ("--allow_private_hosts", "--max_bad_rate", "1")
    version = publish(folder, tmp_path / "out", f"{address}/a/{{voice_recording}}", flags=flags)
    ((reason, detail),) = [(row["reason"], row["detail"]) for row in version.failures]
    assert reason == "unsafe_path"
    assert name in detail


WRONG_USE = {
    "no narratives": (["{tables}", "--voices", "{voices}"], "--voices: no narratives are there"),
    "a template without a place": (
        ["{all}", "--voices", "https://host/{split}/a.ogg"],
        "put {voice_recording} where it belongs",
    ),
    "an unknown place": (
        ["{all}", "--voices", "https://host/{name}.ogg"],
        "only {split}, {image_id} and {voice_recording} are known",
    ),
    "no such folder": (["{all}", "--voices", "{voices}/none"], "check the path"),
    "nothing to decode": (["{all}", "--verify_voices"], "name them by --voices"),
}


@pytest.mark.parametrize("name", WRONG_USE)
def test_wrong_use(name: str, annotations: Path, tmp_path: Path):
    arguments, words = WRONG_USE[name]
    in_folder(tmp_path / "voices", {name_of(IDS[0], 7): recording()})
    places = {
        "{all}": annotations,
        "{tables}": annotations / "train-images.csv",
        "{voices}": tmp_path / "voices",
        "{voices}/none": tmp_path / "voices" / "none",
    }
    first, *rest = (places.get(argument, argument) for argument in arguments)
    built = build(first, tmp_path / "out", flags=tuple(rest))
    assert built.returncode == 2
    assert words in built.stderr
    assert len(built.stderr.strip().splitlines()) == 1
