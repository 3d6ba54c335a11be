"""Makes the plan of a build from its flags: inputs, options of each step, buckets and ranges."""

import datetime
import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from open_images.building.build_plan import BuildPlan, ExamplePlan, Vocabulary
from open_images.building.fingerprint import identify, settings_fingerprint
from open_images.building.flags import BuildFlags, ExampleFlags, recorded_flags
from open_images.building.inputs import find_sources
from open_images.building.paths import unreadable
from open_images.building.select_inputs import IMAGE_ROW_BYTES, plan_steps, read_sources
from open_images.building.selecting import Choice, describe, resolve_selection
from open_images.building.selection_files import with_selection_file
from open_images.building.selection_flags import SelectionFlags
from transforms.dataset import failures
from transforms.dataset.classes import ClassFile, build_classes, encode_classes, encode_labels
from transforms.dataset.elements import Failed, Notice, Source, SourceCount
from transforms.dataset.failures import Failure
from transforms.errors import UsageError
from transforms.examples.imaging.process import ImageSpec
from transforms.examples.options import ExampleOptions
from transforms.formats.registry import find_format
from transforms.formats.settings import DEFAULT_SETTINGS, FORMAT_OF_SETTING, FormatSettings
from transforms.kinds import vocabulary
from transforms.kinds.images import IMAGES
from transforms.kinds.masks import MASKS
from transforms.kinds.registry import TABLES, VOCABULARY
from transforms.redaction import redact_value
from transforms.releases.fingerprint import fingerprint
from transforms.releases.manifest import Manifest
from transforms.selection.selection import EVERYTHING
from transforms.sources.limits import HttpOptions
from transforms.storage import archives, files
from transforms.storage.objects import is_remote, normal
from transforms.storage.stores import ObjectOptions
from transforms.work_folder import WorkFolder

#: Annotation text and images that one bucket holds, about: what a worker joins at once. It has
#: fewer images where there wouldn't be enough buckets for all workers.
BUCKET_BYTES = 32 << 20
_BUCKET_IMAGES, _FEW_BUCKET_IMAGES = 2048, 192
_ENOUGH_BUCKETS, _MAX_BUCKETS = 64, 1024
#: Bytes of a table that are read at once, and how many ranges of such chunks there are, at most
#: about.
_CHUNK_BYTES = 8 << 20
_MAX_RANGES = 384
#: Some runners deal buckets out to workers like cards, and none should get more than the others:
#: their number is a multiple of this, unless it is smaller.
_BALANCED = 8
#: What an image costs in annotations where there is no image table, about.
_IMAGE_BYTES = 2500
_GZIP_RATIO = 5


def make_plan(flags: BuildFlags, work: str = "", manifest: Manifest | None = None) -> BuildPlan:
    """Finds and recognises all inputs.

    Args:
        flags: of the build.
        work: the build's own folder.
        manifest: of the version before, which saves the reading of files that haven't changed.

    Raises:
        UsageError: A file is missing or isn't what it should be.
    """
    flags, choice, annotations, needed, notices = _select_inputs(flags)
    hasty = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url).hasty()
    try:
        sources = identify(needed, manifest, hasty)
    except OSError as error:
        raise unreadable(error) from None
    release = flags.release or _release_of(annotations)
    settings = FormatSettings.of_flags(vars(flags), release)
    _check_formats(flags, sources, settings)
    # Those of other formats don't count, so that versions from before a format stay as they are.
    unused = _flags_of_other_formats(flags)
    recorded = {
        name: redact_value(value)
        for name, value in recorded_flags(flags).items()
        if name not in unused
    }
    examples = _plan_examples(flags, sources, choice, flags.exchange or "files", work)
    selection = None if choice.is_everything else describe(choice, flags.splits)
    settings_digest = settings_fingerprint(recorded, release, selection)
    digest = fingerprint(sources, settings_digest, examples.buckets)
    output = normal(flags.output) if is_remote(flags.output) else flags.output
    previous = None
    if manifest and manifest.settings_fingerprint == settings_digest and not flags.rebuild:
        previous = os.path.join(output, "versions", manifest.version)
    now = datetime.datetime.now(datetime.UTC)
    return BuildPlan(
        **vars(examples),
        output=output,
        version=f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}-{digest[:8]}",
        formats=tuple(flags.format),
        settings=settings,
        shard_size=flags.shard_size,
        num_shards=flags.num_shards,
        max_failure_rate=flags.max_failure_rate,
        max_bad_rate=flags.max_bad_rate,
        flags=recorded | {"release": release, "chunk_size": examples.chunk_size},
        fingerprint=digest,
        settings_fingerprint=settings_digest,
        selection=selection,
        class_names=dict(choice.class_names),
        notices=tuple(notices),
        previous=previous,
    )


def make_example_plan(flags: ExampleFlags, work: str) -> ExamplePlan:
    """Finds and recognises the inputs of examples that aren't published.

    Args:
        flags: of the examples.
        work: a folder that all workers see, by whose files rows meet; if it is empty, they meet in
            the engine's shuffle.

    Raises:
        UsageError: A file is missing or isn't what it should be, or a folder is needed.
    """
    hasty = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url).hasty()
    flags = with_selection_file(flags, hasty)
    annotations, pixels, _ = find_inputs(flags, hasty)
    packed = [source.name for source in pixels if source.medium == "tar.gz"]
    if packed and not work:
        raise UsageError(
            f"--work_folder: {packed[0]} has to be unpacked: name a folder that all workers see"
        )
    exchange = "files" if work else "engine"
    choice, needed = choose_sources(flags, [*annotations, *pixels], hasty)
    return _plan_examples(flags, needed, choice, exchange, work)


def make_forecast_plan(flags: BuildFlags, work: str) -> tuple[ExamplePlan, list[Notice]]:
    """Finds and recognises the inputs of a build that is only planned.

    Args:
        flags: of the build; its output isn't looked at.
        work: a folder that all workers see.

    Returns:
        The plan, and remarks on the inputs.

    Raises:
        UsageError: A file is missing or isn't what it should be.
    """
    flags, choice, annotations, needed, notices = _select_inputs(flags)
    release = flags.release or _release_of(annotations)
    _check_formats(flags, needed, FormatSettings.of_flags(vars(flags), release))
    return _plan_examples(flags, needed, choice, flags.exchange or "files", work), notices


class _Selected(NamedTuple):
    """The inputs that a build selects.

    Attributes:
        flags: with those of a selection file.
        choice: of images and annotations.
        annotations: all annotation files.
        needed: the sources that the choice needs.
        notices: remarks on the inputs.
    """

    flags: BuildFlags
    choice: Choice
    annotations: list[Source]
    needed: list[Source]
    notices: list[Notice]


def _select_inputs(flags: BuildFlags) -> _Selected:
    """Finds, recognises and selects the inputs of a build."""
    # Impatiently: what is wrong shall be told in seconds.
    hasty = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url).hasty()
    flags = with_selection_file(flags, hasty)
    annotations, pixels, notices = find_inputs(flags, hasty)
    choice, needed = choose_sources(flags, [*annotations, *pixels], hasty)
    if not flags.masks:
        notices += [
            Notice(source.name, "its masks have no pixels: name their PNGs by --masks")
            for source in needed
            if source.kind == MASKS.name
        ]
    return _Selected(flags, choice, annotations, needed, notices)


def choose_sources(
    flags: SelectionFlags, sources: Sequence[Source], options: ObjectOptions
) -> tuple[Choice, list[Source]]:
    """Returns what flags select, and the sources that it needs.

    Args:
        flags: with those of a selection file.
        sources: as of `find_inputs`.
        options: how object stores are reached.

    Raises:
        StorageError: The object store can't be read.
        UsageError: A flag or a file isn't what it should be.
    """
    if not flags.selects:  # to look for names takes a quarter of a second
        return Choice(EVERYTHING), read_sources(sources, EVERYTHING)
    class_files = [each for each, _ in _read_class_files(sources, options)]
    choice = resolve_selection(flags, class_files, sources, options)
    return choice, read_sources(sources, choice.selection)


def _plan_examples(
    flags: ExampleFlags, sources: Sequence[Source], choice: Choice, exchange: str, work: str
) -> ExamplePlan:
    examples = ExampleOptions(
        sources=tuple(sources),
        splits=None if flags.splits is None else tuple(flags.splits),
        image_spec=check_image_flags(flags),
        verify_pixels=flags.verify_pixels,
        map_columns=tuple(f"{name}_map" for name in flags.mask_maps),
        http_options=HttpOptions(allow_private_hosts=flags.allow_private_hosts),
        object_options=ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url),
        selection=choice.selection,
        class_order=choice.class_order,
        verify_voices=flags.verify_voices,
    )
    chunk_size = flags.chunk_size or _CHUNK_BYTES
    steps = plan_steps(choice, sources, examples.object_options)
    return ExamplePlan(
        examples=examples,
        exchange=exchange,
        chunk_size=chunk_size,
        range_size=_choose_range_size(sources, chunk_size),
        buckets=_count_buckets(sources, examples.with_pictures, steps.share),
        work=WorkFolder(work),
        steps=steps,
        image_keys=choice.image_keys,
    )


def make_choice_plan(flags: ExampleFlags, work: str) -> ExamplePlan:
    """Finds the inputs by which images are chosen, and those that name the PNGs of their masks.

    Args:
        flags: of the examples that could be made of these images.
        work: a folder that all workers see.

    Raises:
        UsageError: A file is missing or isn't what it should be.
    """
    hasty = ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url).hasty()
    annotations, _, _ = find_inputs(flags, hasty)
    choice, _ = choose_sources(flags, annotations, hasty)
    choice = choice._replace(selection=choice.selection.with_masks_alone())
    sources = read_sources(annotations, choice.selection)
    return _plan_examples(flags, sources, choice, "files", work)


def find_inputs(
    flags: ExampleFlags, options: ObjectOptions
) -> tuple[list[Source], list[Source], list[Notice]]:
    """Finds and recognises all inputs; checks that there is a table, and a split for each table.

    Raises:
        UsageError: There isn't, a file is missing, or it isn't what it should be.
    """
    annotations, pixels, notices = find_sources(
        flags.annotations, flags.images, flags.masks, options, flags.voices
    )
    if not any(source.kind in TABLES for source in annotations):
        skipped = f" ({notices[0].path}: {notices[0].text})" if notices else ""
        raise UsageError(
            f"--annotations: no table of annotations there{skipped}: name a folder that holds the "
            "CSV files, or what a file is (KIND=PATH)"
        )
    _check_splits(annotations)
    if flags.mask_maps and not flags.masks:
        raise UsageError("--mask_maps draws the PNGs of masks: name them by --masks")
    _check_decoder(flags)
    return annotations, pixels, notices


def _check_decoder(flags: ExampleFlags) -> None:
    """Raises UsageError where recordings are to be decoded and nothing here can."""
    if not flags.verify_voices:
        return
    if not flags.voices:
        raise UsageError("--verify_voices decodes recordings: name them by --voices")
    if importlib.util.find_spec("soundfile") is None:
        raise UsageError(
            "--verify_voices: soundfile is missing: pip install soundfile, here and where workers "
            "run, or drop --verify_voices"
        )


def check_image_flags(flags: ExampleFlags) -> ImageSpec:
    """Returns the size, encoding and rotation of pictures by the flags.

    Raises:
        UsageError: Flags contradict each other.
    """
    if (flags.resize == "none") != (flags.image_size is None):
        raise UsageError("--resize and --image_size go together: give both, or neither")
    return ImageSpec(
        resize=flags.resize,
        image_size=flags.image_size or 0,
        apply_rotation=flags.apply_rotation,
        image_encoding=flags.image_encoding,
        quality=flags.quality,
        allow_upscale=flags.allow_upscale,
        keep_exif_orientation=flags.keep_exif_orientation,
    )


def _check_formats(flags: BuildFlags, sources: Iterable[Source], settings: FormatSettings) -> None:
    """Raises UsageError where a format lacks what it needs, pictures are such that it can't hold
    them, or a flag is for a format that isn't written."""
    kinds = {source.kind for source in sources}
    for name in flags.format:
        if lacking := find_format(name).missing(kinds, settings):
            chosen = ",".join(flags.label_types or ())
            only = f"; --label_types selects {chosen} alone" if chosen else ""
            raise UsageError(f"--format {name}: {lacking}{only}")
    refusals = {name: find_format(name).refusal(flags.image_encoding) for name in flags.format}
    if refusing := [name for name in flags.format if refusals[name]]:
        others = [name for name in flags.format if not refusals[name]] or ["parquet"]
        raise UsageError(
            f"--image_encoding {flags.image_encoding}: {refusals[refusing[0]]}: leave "
            f"{', '.join(refusing)} out (--format {','.join(others)}), or use jpeg"
        )
    for flag, name in _flags_of_other_formats(flags).items():
        if getattr(settings, flag) != getattr(DEFAULT_SETTINGS, flag):
            raise UsageError(
                f"--{flag} is for --format {name}: add it (--format "
                f"{','.join([*flags.format, name])}), or drop --{flag}"
            )


def _flags_of_other_formats(flags: BuildFlags) -> dict[str, str]:
    """Returns the flags of formats that aren't written, and the format of each."""
    return {flag: name for flag, name in FORMAT_OF_SETTING.items() if name not in flags.format}


def _check_splits(annotations: list[Source]) -> None:
    """Checks that the names of files tell their splits, where there is no image table."""
    tables = [source for source in annotations if source.kind in TABLES]
    if any(source.kind == IMAGES.name for source in tables):
        return
    for source in tables:
        if source.split is None:
            raise UsageError(
                f"--annotations {source.name}: which split? Put train, validation or test into its "
                "name or folder, or give an image table"
            )


def read_vocabulary(
    sources: Iterable[Source],
    options: ObjectOptions = files.DEFAULTS,
    class_order: Sequence[str] | None = None,
) -> Vocabulary:
    """Reads class names, lists and hierarchies: small files, needed before anything else is read.

    Args:
        sources: of which the vocabulary files are read.
        options: how object stores are reached.
        class_order: as of `build_classes`.

    Raises:
        StorageError: The object store can't be read.
        UsageError: A file isn't what its kind says.
    """
    class_files, counts, failed = [], [], []
    for file, (source, bad) in _read_class_files(sources, options):
        class_files.append(file)
        rows = len(file.entries) + len(bad)
        counts.append(SourceCount(source.index, 0, rows, len(bad), 0))
        if bad:
            failed.append(Failed(source.index, 0, failures.pack(failures.to_table(bad))))
    classes = build_classes(class_files, (), class_order)
    encoded = encode_classes(classes), encode_labels(classes)
    return Vocabulary(*encoded, tuple(counts), tuple(failed))


def _read_class_files(
    sources: Iterable[Source], options: ObjectOptions
) -> Iterator[tuple[ClassFile, tuple[Source, list[Failure]]]]:
    """Yields what each vocabulary file says, with the file and the failures of its rows.

    Raises:
        StorageError: The object store can't be read.
        UsageError: A file isn't what its kind says.
    """
    for source in sources:
        if source.kind not in VOCABULARY:
            continue
        kind = VOCABULARY[source.kind]
        try:
            good, bad = kind.read(_content(source, options), source.name)
        except ValueError as error:
            raise UsageError(f"--annotations {error}") from None
        yield ClassFile(kind.rank, source.name, good), (source, bad)


def _content(source: Source, options: ObjectOptions) -> bytes:
    """Reads a small file, or a small member of an archive, up to what it may hold at most.

    Raises:
        ValueError: Its archive is damaged.
    """
    size = vocabulary.MAX_BYTES + 1
    if not source.member:
        with files.open_file(source.path, options, stamp=source.stamp) as file:
            return file.read(size)
    try:
        with archives.open_inflated(source.path, source.member, options, source.stamp) as stream:
            return stream.read(size)
    except archives.DAMAGE as error:
        raise ValueError(f"{source.name}: damaged archive: {error}") from None


def _release_of(annotations: list[Source]) -> str:
    tables = [source for source in annotations if source.kind == IMAGES.name]
    return "v3" if tables and not any("Rotation" in source.columns for source in tables) else "v7"


def _choose_range_size(sources: Sequence[Source], chunk_size: int) -> int:
    """Returns the bytes of a range, more for large inputs.

    Every range has rows for every bucket, and each such pair takes time to write and to read: with
    ranges of one size that time would grow with the square of the input.
    """
    tables = [source for source in sources if source.kind in TABLES]
    total = sum(source.size * TABLES[source.kind].spilled_a_byte for source in tables)
    return max(chunk_size, round(total / _MAX_RANGES))


def _count_buckets(sources: Sequence[Source], with_pictures: bool, share: float = 1.0) -> int:
    """Depends on the inputs and the selection alone, so that bytes don't on where or how it runs.

    Args:
        sources: all.
        with_pictures: whether examples carry pictures.
        share: of the images, those whose rows come together.
    """
    sizes = {
        # The size of a member of an archive is that without compression.
        source: share
        * source.size
        * (_GZIP_RATIO if source.compressed and not source.member else 1)
        for source in sources
        if source.kind in TABLES
    }
    total = sum(sizes.values())
    buckets = total / BUCKET_BYTES
    if with_pictures:
        tables = sum(size for source, size in sizes.items() if source.kind == IMAGES.name)
        images = tables / IMAGE_ROW_BYTES if tables else total / _IMAGE_BYTES
        few = min(images / _FEW_BUCKET_IMAGES, _ENOUGH_BUCKETS)
        buckets = max(buckets, few, images / _BUCKET_IMAGES)
    count = min(max(1, round(buckets)), _MAX_BUCKETS)
    return count - count % _BALANCED if count > _BALANCED else count
