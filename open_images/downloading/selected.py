"""Downloads the annotation files of a selection, then only its pictures, PNGs and recordings."""

import dataclasses
import re
from collections.abc import Iterable, Sequence

import numpy as np

from open_images.building import inputs
from open_images.building.choosing import ChosenImages, choose_images
from open_images.building.flags import BuildFlags
from open_images.building.plan import choose_sources
from open_images.building.selection_files import with_selection_file
from open_images.building.selection_flags import SelectionFlags
from open_images.downloading import catalogue, plan
from open_images.downloading.by_list import PicturesByList
from open_images.downloading.catalogue import Entry
from open_images.downloading.client import Client, DownloadError
from open_images.downloading.flags import DownloadFlags
from open_images.downloading.masks import MaskPngs, MaskZip
from open_images.downloading.output import work_folder, write_whole
from open_images.downloading.published import get_files
from open_images.downloading.voices import Voices
from open_images.errors import BuildError
from open_images.progress import Observer
from transforms.dataset.elements import Source
from transforms.dataset.keys import image_keys
from transforms.dataset.naming import SPLITS
from transforms.errors import UsageError
from transforms.kinds.images import IMAGES
from transforms.kinds.registry import TABLES, VOCABULARY
from transforms.selection.conditions import Condition
from transforms.selection.label_types import LABEL_TYPES
from transforms.selection.selection import Selection
from transforms.storage.stores import ObjectOptions
from transforms.wording import bytes_of, counted

#: The images that were chosen, as an image list has them.
_LIST = "image_ids.txt"
_MASK_PNGS = "mask_pngs"
#: Annotation files of fewer bytes are read by one process, which starts sooner than several.
SMALL_BYTES = 64 << 20
_SUBJECT = re.compile(r"\s*(\w+)")
#: Pictures whose addresses are in image tables.
_PUBLISHED = ("original", "thumbnail")


class SelectedDownload:
    """Downloads for one selection.

    Attributes:
        items: the annotation files, and files of `--kinds`.
    """

    def __init__(self, flags: DownloadFlags, entries: Sequence[Entry], observer: Observer) -> None:
        """Finds out which files are needed; downloads nothing yet.

        Args:
            flags: of the download.
            entries: the catalogue.
            observer: is told how far it is, and what came of it.

        Raises:
            UsageError: A flag is wrong, or the release lacks what it names.
        """
        options = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url).hasty()
        flags = with_selection_file(flags, options)
        self._flags, self._observer = flags, observer
        if flags.image_list:
            raise UsageError(
                "--image_list: not together with a selection: give the list by --image_ids"
            )
        self._splits = [split for split in flags.all_splits if split in SPLITS]
        if not self._splits:
            given = ",".join(flags.all_splits)
            raise UsageError(
                f"--splits {given}: a selection is made of annotations, which are of "
                f"{', '.join(SPLITS)}"
            )
        self._entries = find_entries(entries, flags, self._splits)
        zips = [
            each
            for each in entries
            if flags.release in each.releases
            and each.kind == _MASK_PNGS
            and each.split in self._splits
        ]
        self._zips = [
            MaskZip(item, each.split) for item, each in zip(self._plan(zips), zips, strict=True)
        ]
        self.items = self._plan(self._entries)
        # What is wrong with these is said before gigabytes are downloaded.
        places = [each for each in flags.images if each not in _PUBLISHED]
        inputs.find_sources((), places, (), self._object_options.hasty())

    @property
    def _object_options(self) -> ObjectOptions:
        return ObjectOptions(s3_endpoint_url=self._flags.s3_endpoint_url)

    def _plan(self, entries: Iterable[Entry]) -> list[plan.Item]:
        return plan.make_plan(entries, self._flags.output, self._flags.base_url)

    def download(self, client: Client) -> list[str]:
        """Downloads what isn't there, and says what came of it.

        Args:
            client: asks for files.

        Returns:
            A line each for files, pictures and PNGs of which too many can't be had.

        Raises:
            UsageError: The selection or a file is wrong, or the output folder can't be written.
            DownloadError: No image is chosen, or so many pictures can't be had that the rest was
                given up.
            OSError: The disk is full, or something can't be written.
            KeyboardInterrupt: The user wants no more.
        """
        flags, observer = self._flags, self._observer
        small = self._plan(each for each in self._entries if each.kind in VOCABULARY)
        others = self._plan(each for each in self._entries if each.kind not in VOCABULARY)
        files = get_files(flags, small, client, observer)
        if not files.failed:
            self._check_selection(small)
            files += get_files(flags, others, client, observer)
        observer.report(files.report())
        if files.failed:
            return files.complaints()
        chosen = self._choose()
        self._write_list(chosen)
        failures = []
        masks_size = pictures_size = voices_size = 0
        if chosen.masks:
            names = {split: each.to_pylist() for split, each in chosen.mask_names.items()}
            masks = MaskPngs(flags, names, self._zips, client, observer)
            failures += masks.download()
            masks_size = masks.size
        if "none" not in flags.images:
            pictures = PicturesByList(self._picture_flags(), _keys(chosen), observer)
            failures += pictures.download(client.stop)
            pictures_size = pictures.size
        recordings = ""
        if flags.with_voices:
            tables = (str(flags.output / "annotations"), *flags.annotations)
            voices = Voices(flags, tables, _keys(chosen), client, observer)
            failures += voices.download()
            voices_size = voices.size
            recordings = f", recordings {bytes_of(voices_size)}"
        total = files.size + masks_size + pictures_size + voices_size
        observer.report(
            f"downloaded in all: {bytes_of(total)}, of that files {bytes_of(files.size)}, "
            f"mask PNGs {bytes_of(masks_size)}, pictures {bytes_of(pictures_size)}{recordings}"
        )
        return failures

    def _check_selection(self, vocabulary: Sequence[plan.Item]) -> None:
        """Raises UsageError where the selection names what isn't there."""
        flags, options = self._flags, self._object_options.hasty()
        paths = [*(str(item.path) for item in vocabulary), *flags.annotations]
        sources, _, _ = inputs.find_sources(paths, (), (), options)
        tables = [
            Source(0, each.kind, each.name, 0) for each in self._entries if each.kind in TABLES
        ]
        choose_sources(flags, [*sources, *tables], options)

    def _choose(self) -> ChosenImages:
        """Returns the images that are chosen.

        Raises:
            DownloadError: There are none, or the annotations can't be read.
        """
        flags = self._flags
        total = sum(item.path.stat().st_size for item in self.items)
        with work_folder(flags.output) as work:
            chosen = BuildFlags(
                annotations=(str(flags.output / "annotations"), *flags.annotations),
                images="none",
                splits=None if len(self._splits) == len(SPLITS) else self._splits,
                output=str(flags.output),
                s3_endpoint_url=flags.s3_endpoint_url,
                work_folder=work,
                num_workers=1 if total < SMALL_BYTES else None,
                **{
                    field.name: getattr(flags, field.name)
                    for field in dataclasses.fields(SelectionFlags)
                },
            )
            try:
                return choose_images(chosen, self._observer)
            except BuildError as error:
                raise DownloadError(error.message) from error.__cause__

    def _write_list(self, chosen: ChosenImages) -> None:
        """Writes the list of the images that are chosen, and reports how many there are."""
        path = self._flags.output / _LIST
        lines = (
            f"{split}/{image_id}\n"
            for split, image_ids in chosen.image_ids.items()
            for image_id in image_ids.to_pylist()
        )
        write_whole(path, "".join(lines).encode())
        by_split = ", ".join(f"{split} {len(ids):,}" for split, ids in chosen.image_ids.items())
        masks = f" with {counted(chosen.masks, 'mask')}" if chosen.masks else ""
        self._observer.report(
            f"{counted(chosen.images, 'image')} chosen ({by_split}){masks}, listed in {path}"
        )

    def _picture_flags(self) -> DownloadFlags:
        """Returns the flags by which pictures are downloaded: with image tables if need be."""
        tables: tuple[str, ...] = ()
        if not set(_PUBLISHED).isdisjoint(self._flags.images):
            tables = (str(self._flags.output / "annotations"), *self._flags.annotations)
        return dataclasses.replace(self._flags, annotations=tables)


def find_entries(
    entries: Iterable[Entry], flags: DownloadFlags, splits: Sequence[str]
) -> list[Entry]:
    """Returns the annotation files that a selection needs, and the files of `--kinds`.

    Args:
        entries: the catalogue.
        flags: of the download.
        splits: of the annotations.

    Raises:
        UsageError: The release has none of a label type, or none of one of the kinds.
    """
    ours = [
        each
        for each in entries
        if flags.release in each.releases and (not each.split or each.split in splits)
    ]
    kinds = flags.file_kinds
    more = catalogue.select(ours, flags.release, kinds, splits) if kinds else []
    subjects = _subjects(flags.where_images)
    named = dict.fromkeys([*(flags.label_types or ()), *(flags.match_in or ()), *subjects])
    if flags.label_types is None:
        named |= dict.fromkeys(_subjects(flags.where))
    named = [name for name in named if name in LABEL_TYPES]
    selection = _outline(flags, subjects)

    def is_needed(entry: Entry) -> bool:
        if entry.kind in (IMAGES.name, *VOCABULARY) or entry in more:
            return True
        if entry.kind in catalogue.OPTIONAL_KINDS and entry.kind not in named:
            return False
        return entry.kind in TABLES and selection.reads(TABLES[entry.kind], entry.name)

    needed = list(filter(is_needed, ours))
    for name in named:
        label_type = LABEL_TYPES[name]
        if not any(
            each.kind == label_type.kind.name and label_type.may_hold(each.name) for each in needed
        ):
            raise UsageError(
                f"--label_types, --match_in, --where or --where_images: {flags.release} has no "
                f"{name} of {', '.join(splits)}: choose another --release, or leave it out"
            )
    return needed


def _subjects(conditions: Iterable[str]) -> list[str]:
    """Returns what conditions are on."""
    return [found[1] for text in conditions if (found := _SUBJECT.match(text))]


def _outline(flags: SelectionFlags, subjects: Iterable[str]) -> Selection:
    """Returns a selection that needs the same label types, before names of classes are known.

    Args:
        flags: of the selection.
        subjects: of the conditions that no annotation of an image may fail.
    """
    return Selection(
        label_types=None if flags.label_types is None else tuple(flags.label_types),
        classes=((),) if flags.classes else None,
        match_in=None if flags.match_in is None else tuple(flags.match_in),
        where_images=tuple(Condition(subject, "", "=", (), "") for subject in subjects),
        max_per_class=flags.max_per_class,
    )


def _keys(chosen: ChosenImages) -> dict[str, np.ndarray]:
    """Returns the sorted keys of the images that are chosen, by split."""
    return {
        split: np.sort(image_keys(image_ids)[0]) for split, image_ids in chosen.image_ids.items()
    }
