"""`croissant.json`: a version's files, what their rows hold, and where they come from.

Format: Croissant 1.1, https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html

It says what the manifest says, in a vocabulary that search engines and loaders share. Like the
manifest it names the version, and so differs from one build to the next.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import pyarrow as pa

from transforms.dataset.about import CITATION, HOMEPAGE, LICENSES
from transforms.dataset.naming import CLASSES, SPLITS
from transforms.formats.registry import FORMATS, find_format
from transforms.kinds.registry import ANNOTATIONS
from transforms.releases.croissant.context import CONFORMS_TO, CONTEXT
from transforms.releases.croissant.facts import responsible_ai
from transforms.releases.croissant.record_sets import Node, classes, record_set, splits
from transforms.releases.manifest import File, Manifest, ShardFile, SourceRows

_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".gz": "application/gzip",
    ".json": "application/json",
    ".md": "text/markdown",
    ".parquet": "application/x-parquet",
    ".pbtxt": "text/plain",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
}
_ANY = "application/octet-stream"
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)T")
_RELEASE = re.compile(r"v(\d+)")
_URL = re.compile(r"\w+://")
_BUILD = "build"


def encode_croissant(manifest: Manifest) -> bytes:
    """Returns the content of the file.

    Args:
        manifest: with the files of the version, but this one and the manifest itself.
    """
    text = json.dumps(_dataset(manifest), indent=1, ensure_ascii=False)
    return f"{text}\n".encode()


def _dataset(manifest: Manifest) -> Node:
    release = manifest.release
    names = sorted(manifest.splits, key=SPLITS.index)
    counts = {name: manifest.splits[name].num_examples for name in names}
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    date = _DATE.match(manifest.version)
    number = _RELEASE.fullmatch(release)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": f"open-images-{release}",
        "description": f"Open Images {release}: {listed} examples, with annotations and pictures "
        "joined from its published files.",
        "url": HOMEPAGE,
        "license": list(LICENSES),
        "creator": {"@type": "sc:Organization", "name": "Google LLC"},
        "citeAs": CITATION,
        "version": f"{number[1] if number else 1}.0.0+{manifest.version}",
        **({"datePublished": "-".join(date.groups())} if date else {}),
        "inLanguage": "en",
        "keywords": ["object detection", "instance segmentation", "image classification"],
        **responsible_ai({source.kind for source in manifest.sources}),
        "prov:wasGeneratedBy": _activity(manifest),
        "prov:wasDerivedFrom": [*map(_source, range(len(manifest.sources)), manifest.sources)],
        "distribution": [*_distribution(manifest)],
        "recordSet": [*_record_sets(manifest, counts)],
    }


def _activity(manifest: Manifest) -> Node:
    """Returns the build."""
    return {
        "@type": "prov:Activity",
        "@id": _BUILD,
        "prov:label": "pipelines.build",
        **({"identifier": manifest.fingerprint} if manifest.fingerprint else {}),
        "prov:used": [{"@id": _source_id(number)} for number in range(len(manifest.sources))],
    }


def _source(number: int, source: SourceRows) -> Node:
    """Returns an input, with the checksum of its content where it has one.

    A local file is told by its name, for its folder is nothing to readers.
    """
    path = source.path if _URL.match(source.path) else os.path.basename(source.path.rstrip("/"))
    return {
        "@type": "prov:Entity",
        "@id": _source_id(number),
        "name": path,
        "additionalType": source.kind,
        **({"identifier": source.digest} if source.digest else {}),
    }


def _source_id(number: int) -> str:
    return f"sources/{number}"


def _distribution(manifest: Manifest) -> Iterator[Node]:
    """Yields the files, each with its checksum, and the sets of files that record sets read."""
    for form in _tables(manifest):
        yield {
            "@type": "cr:FileSet",
            "@id": f"{form}-files",
            "name": f"{form}-files",
            "description": f"The shards of all splits in the format {form}.",
            "encodingFormat": find_format(form).media_type,
            "includes": f"{_folder(manifest, form)}/*",
        }
    for _, shard in manifest.shards():
        yield _file_object(shard, find_format(shard.format).media_type)
    for file in manifest.files or ():
        yield _file_object(file, _MEDIA_TYPES.get(os.path.splitext(file.path)[1], _ANY))


def _file_object(file: File | ShardFile, media_type: str) -> Node:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": media_type,
        "sha256": file.sha256,
        "prov:wasGeneratedBy": {"@id": _BUILD},
    }


def _record_sets(manifest: Manifest, counts: Mapping[str, int]) -> Iterator[Node]:
    """Yields the record sets: splits, classes, and the examples of each format of tables."""
    yield splits(counts)
    yield classes(CLASSES)
    written = {name: each.written for name, each in manifest.annotations.items()}
    sources: dict[str, list[Node]] = defaultdict(list)
    columns = {kind.name: column for column, kind in ANNOTATIONS.items()}
    for number, source in enumerate(manifest.sources):
        if source.kind in columns:
            sources[columns[source.kind]].append({"@id": _source_id(number)})
    for form, schema in _tables(manifest).items():
        yield record_set(form, schema, _folder(manifest, form), counts, written, sources)


def _tables(manifest: Manifest) -> Mapping[str, pa.Schema]:
    """Returns the formats whose shards are tables, with their columns."""
    schemas = manifest.schemas or {}
    found = {
        form: find_format(form).record_columns(schemas[form]) for form in FORMATS if form in schemas
    }
    return {form: schema for form, schema in found.items() if schema is not None}


def _folder(manifest: Manifest, form: str) -> str:
    """Returns the folder of the shards of a format."""
    path = next(shard.path for _, shard in manifest.shards() if shard.format == form)
    return os.path.dirname(path)
