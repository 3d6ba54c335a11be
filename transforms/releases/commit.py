"""The commit: a version is put in its place, and `latest` names it.

Whoever follows `latest` sees one whole version at any time; `docs/releases.md` says why.

On a file system a version is put together in the work folder, moved to its place by one rename, and
named in `latest` by another. In an object store nothing can be moved: shards are written to their
places, then the files beside them, then the manifest, without which a version is none, and
`latest`. The dataset card comes last.

A build that another one took for dead may come back, and so may a commit that an engine tries
twice. So it checks its lease before each change that others see. Should it lose the lease between
check and change, the change fails: renames start from a folder that the other build has removed,
and in an object store `latest` isn't as it was read before the check.
"""

import contextlib
import dataclasses
import json
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa

from transforms.dataset import naming
from transforms.dataset.classes import NO_CLASSES, ClassTable, complete_encoded
from transforms.dataset.elements import BucketCount, Failed, Shard, SourceCount
from transforms.formats.format import Content
from transforms.formats.registry import find_format
from transforms.kinds.registry import example_columns
from transforms.releases import card, counts, failure_table, lease, listed_images
from transforms.releases.croissant.document import encode_croissant
from transforms.releases.failure_table import FailureTable
from transforms.releases.fingerprint import fingerprint
from transforms.releases.loss_limits import find_losses
from transforms.releases.manifest import MANIFEST_VERSION, File, Manifest, describe_file
from transforms.releases.outcome import Outcome
from transforms.releases.publication import Publication
from transforms.reuse import recording
from transforms.reuse.recording import Etags
from transforms.storage import conditional, files
from transforms.storage.objects import StorageError, is_remote
from transforms.storage.stores import ObjectOptions

_FAILURES = "failures/failures-00000-of-00001.parquet"


def commit(
    config: Publication,
    shards: Sequence[Shard],
    source_counts: Sequence[SourceCount],
    bucket_counts: Sequence[BucketCount],
    failed: Sequence[Failed],
    classes: Sequence[bytes],
    labels: Iterable[frozenset[str]],
    funnels: Iterable[tuple[tuple[str, int], ...]] = (),
) -> Outcome:
    """Publishes a version, unless it has no examples or `find_losses` finds a loss.

    It may be called again, by an engine that tries a step twice.

    Args:
        config: the build; the shards lie in its `version_folder`.
        shards: all shards.
        source_counts: of all blocks.
        bucket_counts: of all buckets.
        failed: all failures.
        classes: the content of `classes.json`, as far as files of classes tell.
        labels: those that annotations have.
        funnels: how many images of a bucket each condition of the selection leaves.

    Raises:
        LostLeaseError: Another build has taken over the output.
        StorageError: The object store lacks a shard, or can't be written to.
    """
    failures = FailureTable(failed, source_counts, config.examples.sources)
    inputs = counts.add_digests(config.examples.sources, source_counts)
    sources = counts.count_sources(inputs, source_counts, bucket_counts)
    unread = counts.count_unread_images(inputs, sources, config.row_splits)
    counted: dict[str, Any] = {
        "splits": counts.count_splits(shards),
        "dropped": counts.count_dropped(shards),
        "sources": sources,
        "annotations": counts.count_annotations(bucket_counts),
        "warnings": counts.collect_warnings(config.notices, source_counts, sources),
        "exif_reset": sum(bucket.exif_reset for bucket in bucket_counts),
        "failures": failure_table.count_reasons(failures.tables()),
        "class_images": counts.count_class_images(config.examples.selection.mids, bucket_counts),
        "class_names": config.class_names,
    }
    outcome = Outcome(
        version=None,
        images=sum(bucket.images for bucket in bucket_counts) + unread,
        failed_images=sum(bucket.failed for bucket in bucket_counts) + unread,
        examples_of_failures=tuple(failure_table.first_rows(failures.tables(), 5)),
        losses=(),
        taken_over=counts.count_taken_over(bucket_counts),
        funnel=counts.add_funnels(funnels),
        **counted,
    )
    losses = tuple(find_losses(config, outcome, source_counts, bucket_counts, failures))
    if losses or not shards:
        files.delete_folder(config.version_folder, config.object_options)
        return dataclasses.replace(outcome, losses=losses)
    manifest = Manifest(
        manifest_version=MANIFEST_VERSION,
        version=config.version,
        fingerprint=fingerprint(inputs, config.settings_fingerprint, config.buckets),
        settings_fingerprint=config.settings_fingerprint,
        config=config.flags,
        schemas={form: find_format(form).schema(_content(config)) for form in config.formats},
        selection=config.selection,
        reuse=tuple(
            File(shard.path, shard.bytes, shard.sha256)
            for shard in sorted(shards)
            if shard.format == naming.LINEAGE
        ),
        **counted,
    )
    others = frozenset().union(*labels)
    all_classes = complete_encoded(classes[0], others, config.examples.class_order is None)
    parts = partial(recording.parts_table, shards, bucket_counts, config.buckets)
    draft = _Draft(config, manifest, parts, failures, all_classes)
    if is_remote(config.output):
        _publish_in_store(draft, shards)
    else:
        _publish_in_folder(draft)
    return dataclasses.replace(outcome, version=config.version)


def _content(config: Publication, classes: ClassTable = NO_CLASSES) -> Content:
    """Returns what formats know of the examples."""
    examples = config.examples
    columns = example_columns(with_image=examples.with_pictures, maps=examples.map_columns)
    return Content(columns, config.settings, classes)


class _Draft(NamedTuple):
    """A version whose shards are there.

    Attributes:
        config: the build.
        manifest: without the checksums of what isn't written yet.
        parts: returns the content of `parts.parquet`, given the ETags of objects by path.
        failures: all failures.
        classes: the content of `classes.json`.
    """

    config: Publication
    manifest: Manifest
    parts: Callable[[Etags], pa.Table]
    failures: FailureTable
    classes: bytes

    def render_card(self) -> bytes:
        """Returns the dataset card."""
        return card.render(self.manifest.version, self.manifest.splits)

    def encode(self, etags: Etags) -> tuple[dict[str, bytes], bytes]:
        """Returns the contents of the files beside the shards, by path, and of the manifest."""
        contents = {
            naming.CLASSES: self.classes,
            recording.PARTS: recording.encode_parts(self.parts(etags)),
            _FAILURES: failure_table.encode(self.failures.tables()),
        }
        if self.config.image_keys is not None:
            contents[naming.IMAGE_IDS] = listed_images.encode(self.config.image_keys)
        content = _content(self.config, ClassTable(json.loads(self.classes)))
        for form in self.config.formats:
            shards = counts.shard_sizes(self.manifest.splits, form)
            for path, document in find_format(form).documents(content, shards).items():
                contents[path] = _encode_document(document)
        described = [describe_file(path, data) for path, data in sorted(contents.items())]
        reuse = [file for file in described if file.path == recording.PARTS]
        listed = [file for file in described if file not in reuse]
        manifest = dataclasses.replace(
            self.manifest,
            reuse=(*self.manifest.reuse, *reuse),
            files=tuple(listed),
            card=describe_file(card.NAME, self.render_card()),
        )
        contents[naming.CROISSANT] = croissant = encode_croissant(manifest)
        listed.append(describe_file(naming.CROISSANT, croissant))
        return contents, dataclasses.replace(manifest, files=tuple(listed)).encode()


def _encode_document(document: Any) -> bytes:
    """Returns the content of a file that a format writes beside its shards."""
    if isinstance(document, str):
        return document.encode()
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    return f"{text}\n".encode()


def _publish_in_folder(draft: _Draft) -> None:
    config = draft.config
    target = os.path.join(config.output, "versions", config.version)
    folder = config.version_folder
    scratch = os.path.dirname(folder)  # which goes when another build takes over
    # A retried commit finds the version where the first attempt moved it.
    if not os.path.exists(target):
        contents, manifest = draft.encode(etags={})
        write_metadata(folder, scratch, contents, config.object_options)
        files.write_file(os.path.join(folder, naming.MANIFEST), manifest, scratch)
        os.makedirs(os.path.dirname(target), exist_ok=True)
    # Before there is a version, which would stay where the disk is too full for its name.
    pointer = os.path.join(scratch, f"latest.{uuid.uuid4().hex}")
    files.write_file(pointer, f"{config.version}\n".encode(), scratch)
    card_path = os.path.join(scratch, f"card.{uuid.uuid4().hex}")
    files.write_file(card_path, draft.render_card(), scratch)
    if not os.path.exists(target):
        lease.check(config.output, config.lease, config.object_options)
        os.rename(folder, target)
        files.sync(os.path.dirname(target))
    lease.check(config.output, config.lease, config.object_options)
    latest = os.path.join(config.output, "latest")
    files.move_folder_away(latest, scratch)
    os.replace(pointer, latest)
    with contextlib.suppress(OSError):  # it is published; see `card` for what comes of that
        if card.may_write(card.read(config.output, config.object_options)):
            os.replace(card_path, os.path.join(config.output, card.NAME))
    files.sync(config.output)


def _publish_in_store(draft: _Draft, shards: Iterable[Shard]) -> None:
    config = draft.config
    options = config.object_options
    # An empty manifest keeps its place. It goes with the shards if another build takes these for
    # leftovers, and then can't be written any more.
    manifest_path = os.path.join(config.version_folder, naming.MANIFEST)
    conditional.write(manifest_path, b"", None, options)
    place = conditional.read(manifest_path, options)
    found = {
        os.path.relpath(status.path, config.version_folder): status
        for status in files.walk(config.version_folder, options)
    }
    for shard in shards:
        if shard.path not in found or found[shard.path].size != shard.bytes:
            path = os.path.join(config.version_folder, shard.path)
            if place and not place[0]:
                files.delete_file(manifest_path, options)
            raise StorageError(f"{path} has gone, or isn't as it was written: build again")
    etags = {path: each.version for path, each in found.items()}
    contents, data = draft.encode(etags)
    write_metadata(config.version_folder, "", contents, options)
    lease.check(config.output, config.lease, config.object_options)
    if place is None or not conditional.write(manifest_path, data, place[1], options):
        place = conditional.read(manifest_path, options)
        if place is None or place[0] != data:  # which another attempt may have written
            raise lease.LostLeaseError(f"{config.version_folder} was cleared away: build again")
    seen = conditional.read(os.path.join(config.output, card.NAME), options)
    _point_in_store(config)
    with contextlib.suppress(StorageError):  # it is published; see `card` for what comes of that
        card.write_as_seen(config.output, draft.render_card(), seen, options)


def _point_in_store(config: Publication) -> None:
    """Lets `latest` name a version, unless somebody else has written it meanwhile.

    Raises:
        LostLeaseError: Another build has taken over, or somebody has led readers elsewhere.
    """
    pointer = os.path.join(config.output, "latest")
    data = f"{config.version}\n".encode()
    found = conditional.read(pointer, config.object_options)
    lease.check(config.output, config.lease, config.object_options)
    if conditional.write(pointer, data, found[1] if found else None, config.object_options):
        return
    found = conditional.read(pointer, config.object_options)
    if found is None or found[0] != data:
        raise lease.LostLeaseError(f"{pointer} was changed by somebody else just now: build again")


def write_metadata(
    folder: str, scratch: str, contents: Mapping[str, bytes], options: ObjectOptions
) -> None:
    """Writes the files beside the shards; see `files.write_file`."""
    for path, data in contents.items():
        target = os.path.join(folder, path)
        if not is_remote(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
        files.write_file(target, data, scratch, options)
