"""Recordings of narratives, which the files of narratives name."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.downloading import server as servers
from tests.downloading.conftest import NARRATIVES, ROWS, Run, picture
from tests.downloading.server import Server
from tests.recordings import recording

IDS = [f"{i:016x}" for i in range(1, 6)]
NAMES = [f"open_images_train/open_images_train_{image_id}_7.ogg" for image_id in IDS]
#: Where recordings are published.
PREFIX = "/localized-narratives/voice-recordings/"
FLAGS = ("--kinds", "voices", "--allow_private_hosts")


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with narratives of five images, one of them without a recording, and the others'."""
    with servers.running() as server:
        for _, _, _, path, _ in ROWS:
            server.files[path] = path.encode()
        lines = [
            {"image_id": image_id, "caption": "a", "voice_recording": name}
            for image_id, name in zip(IDS, NAMES, strict=True)
        ]
        lines += [lines[0] | {"annotator_id": 9}, lines[1] | {"voice_recording": None}]
        server.files[NARRATIVES] = "".join(json.dumps(line) + "\n" for line in lines).encode()
        for seed, name in enumerate(NAMES):
            server.files[PREFIX + name] = recording(1.0, seed)
        yield server


def there(output: Path) -> dict[str, bytes]:
    folder = output / "voices"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def asked(server: Server) -> list[str]:
    """The recordings that were asked for since the last call."""
    found = [path.removeprefix(PREFIX) for path in server.requests if path.startswith(PREFIX)]
    server.requests.clear()
    return sorted(found)


def test_recordings_come_after_their_narratives(server: Server, run: Run, output: Path):
    result = run(*FLAGS)
    assert result.code == 0, result.err
    assert there(output) == {name: server.files[PREFIX + name] for name in NAMES}
    assert (output / "annotations" / NARRATIVES.rpartition("/")[2]).exists()
    assert "5 recordings downloaded, 0 were there, 0 missing, 0 failed" in result.out
    assert asked(server) == NAMES
    # The second time, what is there isn't asked for; with --verify, what isn't whole is.
    (output / "voices" / NAMES[1]).write_bytes(recording(1.0, 1)[:-3])
    (output / "voices" / NAMES[2]).unlink()
    assert run(*FLAGS).code == 0
    assert asked(server) == NAMES[2:3]
    assert run(*FLAGS, "--verify").code == 0
    assert asked(server) == NAMES[1:2]
    assert there(output) == {name: server.files[PREFIX + name] for name in NAMES}


def test_of_a_list_of_images(server: Server, run: Run, output: Path, tmp_path: Path):
    (tmp_path / "ids.txt").write_text(f"train/{IDS[1]}\ntrain/{IDS[3]}\n")
    for image_id in IDS:
        server.files[f"/pictures/{image_id}.jpg"] = picture(image_id)
    images = ("--images", server.url + "/pictures/{image_id}.jpg")
    result = run(*FLAGS, "--image_list", str(tmp_path / "ids.txt"), *images)
    assert result.code == 0, result.err
    assert sorted(there(output)) == [NAMES[1], NAMES[3]]


def test_what_cannot_be_had_is_listed(server: Server, run: Run, output: Path):
    del server.files[PREFIX + NAMES[0]]
    server.files[PREFIX + NAMES[1]] = b"<html>"
    result = run(*FLAGS)
    assert result.code == 1
    assert "2 of 5 recordings are missing or failed (40.00%)" in result.err
    assert sorted(there(output)) == NAMES[2:]
    with open(output / "voice_failures.csv", newline="") as file:
        found = {row["recording"]: row["reason"] for row in csv.DictReader(file)}
    assert found == {NAMES[0]: "missing", NAMES[1]: "voice_corrupt"}
    assert run(*FLAGS, "--max_failure_rate", "0.5").code == 0


def test_names_that_lead_out_are_not_written(server: Server, run: Run, output: Path):
    """Nor asked for, whatever narratives say."""
    line = {"image_id": IDS[0], "caption": "a", "voice_recording": f"../../up_{IDS[0]}.ogg"}
    path = output / "annotations" / NARRATIVES.rpartition("/")[2]
    data = json.dumps(line).encode().ljust(len(server.files[NARRATIVES]) - 1) + b"\n"
    server.files[NARRATIVES] = data
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    result = run(*FLAGS)
    assert result.code == 1
    assert asked(server) == []
    assert not (output.parent / f"up_{IDS[0]}.ogg").exists()


def test_the_list_tells_of_them(run: Run):
    result = run(*FLAGS, "--list")
    assert "and the recordings that these narratives name" in result.out
    assert NARRATIVES.rpartition("/")[2] in result.out
