"""`croissant.json` says of a version what is there; `tests/loaders` has it read."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import verify
from tests.builds import Build, Version, run_build
from transforms.formats.described import leaves
from transforms.kinds.registry import ANNOTATIONS

SPLITS = ("train", "validation", "test")
FORMATS = ("parquet", "jsonl", "huggingface", "tfrecord", "yolo")


@pytest.fixture(scope="module")
def published(
    make_corpus: Callable[[str, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Build:
    corpus = make_corpus("v7", 30)
    built = run_build(
        *("--annotations", corpus / "annotations", "--images", corpus / "images"),
        *("--masks", corpus / "masks", "--format", ",".join(FORMATS), "--objects"),
        *("--num_shards", "2", "--output", tmp_path_factory.mktemp("output")),
    )
    assert built.returncode == 0, built.stderr
    return built


@pytest.fixture(scope="module")
def version(published: Build) -> Version:
    return published.version


@pytest.fixture(scope="module")
def croissant(version: Version) -> dict:
    return json.loads((version.folder / "croissant.json").read_text())


def record_sets(croissant: dict) -> dict[str, dict]:
    return {each["@id"]: each for each in croissant["recordSet"]}


def ids_of(node: object) -> Iterator[str]:
    """The ids that are defined, rather than referred to."""
    if isinstance(node, dict):
        if "@id" in node and len(node) > 1:
            yield node["@id"]
        for key, each in node.items():
            if key not in ("@context", "data"):
                yield from ids_of(each)
    elif isinstance(node, list):
        for each in node:
            yield from ids_of(each)


def references_of(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if [*node] == ["@id"]:
            yield node["@id"]
        for key, each in node.items():
            if key != "@context":
                yield from references_of(each)
    elif isinstance(node, list):
        for each in node:
            yield from references_of(each)


def test_what_a_dataset_must_have(croissant: dict, version: Version):
    for name in ("name", "description", "license", "url", "creator", "citeAs"):
        assert croissant[name]
    assert "http://mlcommons.org/croissant/1.1" in croissant["conformsTo"]
    assert croissant["version"] == f"7.0.0+{version.folder.name}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", croissant["datePublished"])
    assert croissant["datePublished"].replace("-", "") == version.folder.name[:8]


def test_all_files_are_there_with_their_checksums(croissant: dict, version: Version):
    files = {each["@id"]: each for each in croissant["distribution"] if "sha256" in each}
    of_build = {"manifest.json", "croissant.json"}
    of_build |= {file["path"] for file in version.manifest["reuse"]}
    loose = {
        line.split("  ")[1]
        for shard in version.folder.glob("yolo/files/*")
        for line in shard.read_text().splitlines()
        if not line.startswith("#")
    }
    found = {
        str(path.relative_to(version.folder))
        for path in version.folder.rglob("*")
        if path.is_file()
    }
    assert files.keys() == found - of_build - loose
    for path, file in files.items():
        data = (version.folder / path).read_bytes()
        assert file["contentUrl"] == path
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
        assert file["contentSize"] == f"{len(data)} B"


def test_sets_of_files_are_the_shards_of_a_format(croissant: dict, version: Version):
    sets = {each["@id"]: each for each in croissant["distribution"] if "includes" in each}
    assert sets.keys() == {"parquet-files", "jsonl-files", "huggingface-files"}
    for name, each in sets.items():
        shards = [shard for split in SPLITS for shard in version.shards(split, name[:-6])]
        assert {*version.folder.glob(each["includes"])} == {*shards}


def test_ids_are_unique_and_references_lead_somewhere(croissant: dict):
    counts = Counter(ids_of(croissant))
    assert max(counts.values()) == 1
    assert {*references_of(croissant)} <= counts.keys()


def fields_of(nodes: list[dict], lists: int = 0) -> Iterator[tuple[str, int, dict]]:
    """The leaves of fields: id, in how many lists, and the field."""
    for node in nodes:
        depth = lists + len(node["arrayShape"].split(",")) if node.get("isArray") else lists
        if "subField" in node:
            yield from fields_of(node["subField"], depth)
        else:
            yield node["@id"], depth, node


@pytest.mark.parametrize("form", ["parquet", "huggingface", "jsonl"])
def test_each_column_has_a_field_to_its_last_leaf(croissant: dict, version: Version, form: str):
    shard = version.shards("train", "parquet" if form == "jsonl" else form)[0]
    expected = {}
    for path, dtype in leaves(pa.struct(pq.read_schema(shard))):
        name, lists = path.replace(".list.element", "").replace(".", "/"), path.count(".list.")
        above, _, last = name.rpartition("/")
        if last in ("bytes", "path") and form != "jsonl":  # of a picture, or a recording
            medium = "sc:AudioObject" if lists else "sc:ImageObject"
            expected[f"{form}/{above}"] = lists, medium
        else:
            expected[f"{form}/{name}"] = lists, str(dtype)
    types = {
        "sc:Text": "string",
        "sc:URL": "string",
        "cr:Float32": "float",
        **{f"cr:Int{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    }
    found = {}
    for name, lists, field in fields_of(record_sets(croissant)[form]["field"]):
        first = field["dataType"] if isinstance(field["dataType"], str) else field["dataType"][0]
        found[name] = lists, types.get(first, first)
    assert found == {
        name: (lists, "string" if dtype == "binary" else dtype)
        for name, (lists, dtype) in expected.items()
    }


def test_counts_are_those_of_the_manifest(croissant: dict, version: Version):
    splits = record_sets(croissant)["splits"]
    assert splits["dataType"] == "cr:Split"
    assert {row["splits/name"]: row["splits/num_examples"] for row in splits["data"]} == {
        name: split["num_examples"] for name, split in version.manifest["splits"].items()
    }
    parquet = record_sets(croissant)["parquet"]
    assert parquet["annotation"]["value"] == 30
    written = {
        field["@id"].partition("/")[2]: field["annotation"]["value"]
        for field in parquet["field"]
        if "annotation" in field
    }
    assert written == {
        name: counts["written"] for name, counts in version.manifest["annotations"].items()
    }


def test_provenance_leads_from_inputs_to_columns_and_shards(croissant: dict, version: Version):
    sources = {each["@id"]: each for each in croissant["prov:wasDerivedFrom"]}
    assert [(each["name"], each.get("identifier")) for each in sources.values()] == [
        (Path(each["path"]).name, each["digest"]) for each in version.manifest["sources"]
    ]
    for field in record_sets(croissant)["parquet"]["field"]:
        column = field["@id"].partition("/")[2]
        if column in ANNOTATIONS:
            kinds = {sources[e["@id"]]["additionalType"] for e in field["prov:wasDerivedFrom"]}
            assert kinds == {ANNOTATIONS[column].name}
    build = croissant["prov:wasGeneratedBy"]
    assert build["identifier"] == version.manifest["fingerprint"]
    assert [each["@id"] for each in build["prov:used"]] == [*sources]
    for each in croissant["distribution"]:
        if "sha256" in each:
            assert each["prov:wasGeneratedBy"] == {"@id": build["@id"]}


def test_the_license_of_each_picture_is_a_field(croissant: dict):
    fields = {each["@id"]: each for each in record_sets(croissant)["parquet"]["field"]}
    assert fields["parquet/license"]["equivalentProperty"] == "sc:license"


def test_facts_go_by_what_was_read(croissant: dict):
    assert "Masks" in croissant["rai:dataAnnotationProtocol"]
    assert any("Gender" in text for text in croissant["rai:personalSensitiveInformation"])


def test_verify_covers_it(published: Build, capfd: pytest.CaptureFixture[str]):
    path = published.version.folder / "croissant.json"
    data = path.read_bytes()
    try:
        path.write_bytes(data.replace(b"Google LLC", b"Goggle LLC"))
        assert verify.main([str(published.output), "--num_workers", "1"]) == 1
        assert "croissant.json: its SHA-256 is" in capfd.readouterr().out
    finally:
        path.write_bytes(data)
    assert verify.main([str(published.output), "--num_workers", "1"]) == 0
