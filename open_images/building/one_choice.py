"""One selection, carried out as far as the images that it chooses and the PNGs of their masks."""

import dataclasses
import glob
import json
import os
from collections.abc import Iterable
from functools import partial

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from open_images.building import selecting
from open_images.building.build_plan import ExamplePlan, Vocabulary
from open_images.building.choosing import ChosenImages
from open_images.building.flags import BuildFlags
from open_images.building.graph import gather_rows
from open_images.building.monitor import BuildMonitor
from open_images.building.one_build import explain
from open_images.building.plan import make_example_plan, read_vocabulary
from open_images.building.select_inputs import plan_steps, read_sources
from open_images.errors import BuildError
from open_images.progress import Observer
from runners import launch, lean
from transforms.errors import UsageError
from transforms.examples.list_chosen import CHOSEN, SUFFIX, ListChosen
from transforms.journal import Journal
from transforms.kinds.masks import MASKS
from transforms.redaction import redact
from transforms.releases.counts import add_funnels
from transforms.releases.documents import to_json
from transforms.selection.label_types import LABEL_TYPES
from transforms.selection.selection import Selection
from transforms.storage import files
from transforms.storage.temporary import program_folder

_FOLDER, _FUNNEL = "chosen", "funnel.json"


class Choice:
    """A selection, which is carried out once; arguments as of `choosing.choose_images`."""

    def __init__(self, flags: BuildFlags, work: str, observer: Observer) -> None:
        self._flags, self._work, self._observer = flags, work, observer

    def run(self) -> ChosenImages:
        """Returns the images that are chosen.

        Raises:
            UsageError: A flag or an input is wrong.
            BuildError: No images are chosen, or the annotations can't be read.
        """
        try:
            return self._choose()
        except (UsageError, BuildError):
            raise
        except Exception as error:
            cause, is_explained = explain(error)
            raise BuildError(redact(cause)) from (None if is_explained else error)

    def interrupted(self) -> BuildError:
        """Returns the error that tells of an interrupt."""
        return BuildError("interrupted")

    def _choose(self) -> ChosenImages:
        flags, observer = self._flags, self._observer
        plan = narrow(make_example_plan(flags, self._work))
        vocabulary = read_vocabulary(plan.examples.sources, plan.examples.object_options)
        folder = os.path.join(self._work, _FOLDER)
        os.makedirs(folder)
        define = partial(_define, plan=plan, vocabulary=vocabulary, folder=folder)
        run_on_runner = launch.load(flags.runner)
        lean.end_imports()
        with BuildMonitor(plan, observer.say, observer.show) as monitor, program_folder():
            run_on_runner(define, flags, [], monitor)
        chosen = _read_chosen(folder)
        if not chosen.images:
            funnel = json.loads(files.read_file(os.path.join(folder, _FUNNEL)))
            raise BuildError(f"no images are chosen: {_why_none(funnel, plan)}")
        return chosen


def narrow(plan: ExamplePlan) -> ExamplePlan:
    """Returns a plan by which the same images are chosen, and no rows carried but their masks."""
    selection = narrow_selection(plan.examples.selection)
    options = plan.examples.object_options
    sources = read_sources(plan.examples.sources, selection)
    steps = plan_steps(selecting.Choice(selection, plan.image_keys), sources, options)
    examples = dataclasses.replace(plan.examples, sources=tuple(sources), selection=selection)
    return dataclasses.replace(plan, examples=examples, **steps._asdict())


def narrow_selection(selection: Selection) -> Selection:
    """Returns a selection of the same images that carries their masks alone, if it carries any."""
    masks = [name for name, each in LABEL_TYPES.items() if each.kind is MASKS]
    return dataclasses.replace(
        selection,
        label_types=tuple(name for name in masks if selection.carries(name)),
        match_in=selection.match_in or selection.label_types or tuple(LABEL_TYPES),
        hierarchy=None,
    )


def _define(root: beam.Pipeline, plan: ExamplePlan, vocabulary: Vocabulary, folder: str) -> None:
    """Annotation files → files of the images that are chosen, and of what each condition leaves."""
    gathered = gather_rows(root, plan, vocabulary, Journal(None))
    labels = gathered.work.labels
    listing = ListChosen(plan.examples, plan.buckets, folder, labels, gathered.cuts)
    funnels = gathered.buckets | listing
    if gathered.funnels is not None:
        funnels = gathered.funnels
    once = root | "OnceFunnel" >> beam.Impulse()
    once | "WriteFunnel" >> beam.Map(_write_funnel, beam.pvalue.AsList(funnels), folder)


def _write_funnel(_: bytes, funnels: Iterable[tuple[tuple[str, int], ...]], folder: str) -> None:
    files.write_file(os.path.join(folder, _FUNNEL), to_json(add_funnels(funnels)), folder)


def _read_chosen(folder: str) -> ChosenImages:
    """Reads the files of `ListChosen`."""
    paths = glob.glob(os.path.join(glob.escape(folder), f"*{SUFFIX}"))
    tables = [pa.ipc.open_stream(files.read_file(path)).read_all() for path in paths]
    table = pa.concat_tables([CHOSEN.empty_table(), *tables])
    image_ids, mask_names = {}, {}
    for split in sorted(table["split"].unique().to_pylist()):
        rows = table.filter(pc.equal(table["split"], split)).combine_chunks()
        image_ids[split] = _sorted_once(rows["image_id"])
        mask_names[split] = _sorted_once(pc.list_flatten(rows["masks"]))
    return ChosenImages(image_ids, mask_names)


def _sorted_once(texts: pa.ChunkedArray) -> pa.StringArray:
    texts = texts.unique()
    return texts.take(pc.sort_indices(texts))


def _why_none(funnel: dict[str, int], plan: ExamplePlan) -> str:
    """Returns which condition left no images, and the remedy."""
    if emptied := next((name for name, left in funnel.items() if name and not left), ""):
        return f"none is left by {emptied}: loosen it"
    if plan.image_keys is not None:
        return "the annotations have none of --image_ids: check the list"
    if plan.examples.splits:
        return f"none is of --splits {','.join(plan.examples.splits)}"
    return "the annotations hold no row that can be read"
