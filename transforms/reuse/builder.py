"""Reuse of the version before: a layer around the builder of buckets."""

import dataclasses
import os
import uuid
from collections.abc import Generator, Mapping

import numpy as np

from transforms import metrics, progress
from transforms.dataset.classes import ClassTable
from transforms.dataset.elements import BuiltPart
from transforms.examples.join import Joined
from transforms.examples.options import ExampleOptions, PartOptions
from transforms.examples.report import BuiltBucket
from transforms.examples.splits import split_table
from transforms.examples.voices.read import count_recordings
from transforms.examples.write import PartBuilder
from transforms.formats.registry import find_format
from transforms.kinds.registry import count_annotations
from transforms.reuse import recording
from transforms.reuse.finished import FinishedImages
from transforms.reuse.identity import voice_identities
from transforms.reuse.lineage import digest_of, lineage_of, written_rows
from transforms.reuse.previous import Previous


@dataclasses.dataclass
class ReusingBuilder:
    """A `BucketBuilder` that reuses the version before, and writes lineage rows for the next build.

    Buckets whose input is the same are reused whole. In other buckets, pictures and masks that are
    the same are reused, and another builder makes the examples.

    Attributes:
        builder: makes the examples of the other buckets.
        options: of making examples.
        parts: options of writing them.
        folder: of the version before; None where there is nothing to take over.
        progress_folder: where images are counted; None for nowhere.
    """

    builder: PartBuilder
    options: ExampleOptions
    parts: PartOptions
    folder: str | None
    progress_folder: str | None

    def open(self) -> None:
        self.builder.open()
        self._has_loose_files = any(
            find_format(form).has_loose_files for form in self.parts.formats
        )
        self._previous = None
        if self.folder:
            options = self.options.object_options
            self._previous = Previous.open(self.folder, self.parts.parts_folder, options)

    def close(self) -> None:
        self.builder.close()

    def build(
        self, bucket: int, joined: Joined, classes: ClassTable
    ) -> Generator[BuiltPart, None, BuiltBucket]:
        turned = self.options.image_spec.apply_rotation
        lineage = {
            split: lineage_of(images, self.options.sources, turned)
            for split, images in split_table(joined.table)
        }
        given = [rows.view(np.uint8) for rows in lineage.values()]
        given += [
            voice_identities(images, self.options.sources)
            for _, images in split_table(joined.table)
            if self.options.with_voices
        ]
        digest = digest_of(joined.table, [*given, classes.as_bytes])
        parts = self._reuse_bucket(bucket, digest, len(joined.table))
        if parts:
            yield from parts
            built = self._account_for(joined)
        else:
            finished = self._find_finished(lineage)
            built = yield from self.builder.build(bucket, joined, classes, finished)
            for split in built.splits:
                if self.options.with_pictures and split.split in finished:
                    split.reused_pictures = int(finished[split.split].pictures.sum())
            lineage = {
                split.split: written_rows(lineage[split.split], split.image_ids, split.failures)
                for split in built.splits
            }
        if not any(split.failures for split in built.splits):
            built.digest = digest
        for split, rows in lineage.items():
            if len(rows):
                path = os.path.join(self.parts.parts_folder, uuid.uuid4().hex)
                options = self.options.object_options
                yield recording.write_rows(rows, path, split, bucket, options)
        return built

    def _reuse_bucket(self, bucket: int, digest: str, images: int) -> list[BuiltPart] | None:
        """Returns the parts of a bucket whose input is that of the version before."""
        if not self._previous or not images or self._has_loose_files:
            return None
        reused = self._previous.bucket(
            bucket, self.parts.buckets, digest, images, self.parts.formats
        )
        if reused:
            metrics.IMAGES.inc(images)
            progress.add(self.progress_folder, images=images)
        return reused

    def _account_for(self, joined: Joined) -> BuiltBucket:
        """Returns the account of a bucket that is reused as a whole."""
        built = BuiltBucket(is_reused=True)
        for split, images in split_table(joined.table):
            account = built.add_split(split)
            account.annotations = count_annotations(images)
            account.reused_pictures = len(images) if self.options.with_pictures else 0
            if self.options.with_voices:
                account.recordings = count_recordings(images)
        return built

    def _find_finished(self, lineage: Mapping[str, np.ndarray]) -> dict[str, FinishedImages]:
        """Returns, by split, the images whose pictures and masks haven't changed."""
        if not self._previous:
            return {}
        matches = {split: self._previous.match(split, rows) for split, rows in lineage.items()}
        return {
            split: FinishedImages(match, lineage[split], self.options.object_options)
            for split, match in matches.items()
            if match
        }
