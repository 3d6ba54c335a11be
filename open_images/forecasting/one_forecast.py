"""One plan of a build, from flags to a forecast."""

import json
import os
import uuid
from collections.abc import Collection, Mapping
from functools import partial

from open_images.building.build_plan import ExamplePlan, Vocabulary
from open_images.building.flags import BuildFlags
from open_images.building.monitor import WorkMonitor, tables_of
from open_images.building.one_build import explain_no_images, note_lacking
from open_images.building.plan import make_forecast_plan, read_vocabulary
from open_images.building.temporary_run import TemporaryRun
from open_images.forecasting import estimate
from open_images.forecasting.counted import COUNTED, Counted
from open_images.forecasting.forecast import ClassForecast, Forecast
from open_images.forecasting.graph import define_forecast
from open_images.values import cores
from runners import launch, lean
from transforms.storage import files
from transforms.work_folder import WorkFolder


class ForecastRun(TemporaryRun[BuildFlags, Forecast]):
    """A plan of a build, whose output isn't looked at; it writes to a temporary folder alone."""

    verb = "count"

    def _run(self) -> Forecast:
        launch.check(self._flags, self._beam_arguments)
        self._refuse_later()
        with self._work_folder() as folder:
            plan, notices = make_forecast_plan(self._flags, folder)
            vocabulary = read_vocabulary(plan.examples.sources, self._options)
            run_on_runner = launch.load(self._flags.runner)
            lean.end_imports()
            sources = tables_of(plan.examples.sources)
            show = self._observer.show
            with WorkMonitor(plan.work, sources, self._log, show, "counting") as monitor:
                define = partial(define_forecast, plan=plan, vocabulary=vocabulary, notices=notices)
                named = {"job_name": f"open-images-plan-{uuid.uuid4().hex[:12]}"}
                arguments = launch.with_defaults(self._beam_arguments, named)
                run_on_runner(define, self._flags, arguments, monitor)
            data = files.read_file(os.path.join(folder, COUNTED), self._options)
            exchange_bytes = _size_of(plan.work)
        return self._make_forecast(Counted.decode(data), plan, vocabulary, exchange_bytes)

    def _make_forecast(
        self, counted: Counted, plan: ExamplePlan, vocabulary: Vocabulary, exchange_bytes: int
    ) -> Forecast:
        if not counted.images:
            cause = explain_no_images(counted.failed_images, counted.funnel, plan)
            raise self._error(f"no images to build: {cause}")
        sources, options = plan.examples.sources, plan.examples
        names = {each["label"]: each["name"] for each in json.loads(vocabulary.classes)}
        selected = {label: counted.class_images[label] for label in options.selection.mids}
        if lacking := note_lacking(selected, names):
            self._log(lacking)
        pictures = estimate.forecast_pictures(counted, sources)
        num_workers = self._flags.num_workers or cores()
        seconds = self.seconds
        return Forecast(
            images=counted.images,
            annotations=counted.annotations,
            classes=_name_classes(counted, names, selected),
            pictures=pictures,
            bare_images=counted.bare_images,
            failed_images=counted.failed_images,
            failures=counted.failures,
            funnel=counted.funnel,
            sources=counted.sources,
            warnings=counted.warnings,
            shard_bytes=estimate.estimate_shards(counted, pictures, self._flags),
            work_bytes=estimate.estimate_work(exchange_bytes, sources),
            build_seconds=estimate.estimate_seconds(
                counted, pictures, options, num_workers, seconds
            ),
            num_workers=num_workers,
            seconds=seconds,
            notes=self._notes,
        )


def _name_classes(
    counted: Counted, names: Mapping[str, str | None], selected: Collection[str]
) -> list[ClassForecast]:
    """Returns the classes of examples, those with most images first."""
    labels = {**counted.class_images, **counted.class_annotations}
    found = [
        ClassForecast(
            label,
            names.get(label),
            counted.class_images.get(label, 0),
            counted.class_annotations.get(label, {}),
            label in selected,
        )
        for label in labels
    ]
    return sorted(found, key=lambda each: (-each.images, each.label))


def _size_of(work: WorkFolder) -> int:
    """Returns the bytes of the rows that met in files of a work folder."""
    if work.is_remote:
        return 0
    with os.scandir(work.exchange) as entries:
        return sum(entry.stat().st_size for entry in entries)
