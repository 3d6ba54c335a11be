"""One selection, carried out as far as the images that it chooses and the PNGs of their masks."""

import glob
import json
import os
from collections.abc import Iterable
from functools import partial

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from open_images.building.build_plan import ExamplePlan, Vocabulary
from open_images.building.choosing import ChosenImages
from open_images.building.flags import BuildFlags
from open_images.building.graph import gather_rows
from open_images.building.monitor import WorkMonitor, tables_of
from open_images.building.one_build import explain_no_images
from open_images.building.one_run import OneRun
from open_images.building.plan import make_choice_plan, read_vocabulary
from runners import launch, lean
from transforms.examples.list_chosen import CHOSEN, SUFFIX, ListChosen
from transforms.journal import Journal
from transforms.releases.counts import add_funnels
from transforms.releases.documents import to_json
from transforms.storage import files
from transforms.storage.temporary import program_folder

_FOLDER, _FUNNEL = "chosen", "funnel.json"


class ImageChoice(OneRun[BuildFlags, ChosenImages]):
    """A selection, carried out; flags as of `choosing.choose_images`."""

    def _run(self) -> ChosenImages:
        flags, observer = self._flags, self._observer
        plan = make_choice_plan(flags, flags.work_folder or "")
        vocabulary = read_vocabulary(plan.examples.sources, plan.examples.object_options)
        folder = os.path.join(plan.work.path, _FOLDER)
        os.makedirs(folder)
        define = partial(_define, plan=plan, vocabulary=vocabulary, folder=folder)
        run_on_runner = launch.load(flags.runner)
        lean.end_imports()
        with (
            WorkMonitor(
                plan.work, tables_of(plan.examples.sources), self._note, observer.show, "choosing"
            ) as monitor,
            program_folder(),
        ):
            run_on_runner(define, flags, self._beam_arguments, monitor)
        chosen = _read_chosen(folder)
        if not chosen.images:
            funnel = json.loads(files.read_file(os.path.join(folder, _FUNNEL)))
            cause = explain_no_images(0, funnel, plan)
            raise self._error(f"no images are chosen: {cause}")
        return chosen


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
