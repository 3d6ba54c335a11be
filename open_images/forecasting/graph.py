"""The flow of a plan: that of a build as far as the join, and then counts in place of examples."""

from collections.abc import Sequence

import apache_beam as beam

from open_images.building.build_plan import ExamplePlan, Vocabulary
from open_images.building.graph import gather_rows
from open_images.forecasting.counted import AddUpFn
from transforms.dataset.elements import Notice, Source
from transforms.examples.count import SIZED, CountBuckets, add_counts
from transforms.journal import Journal


def define_forecast(
    root: beam.Pipeline, plan: ExamplePlan, vocabulary: Vocabulary, notices: Sequence[Notice]
) -> None:
    """Annotation files, and addresses of pictures → counts of what examples would hold.

    No picture or mask is read, and no archive unpacked.

    Args:
        root: of the pipeline.
        plan: of the examples; its work folder gets the file `COUNTED`.
        vocabulary: what vocabulary files say.
        notices: remarks on the inputs.
    """
    gathered = gather_rows(root, plan, vocabulary, Journal(None), _has_sizes)
    work, rows, members = gathered.work, gathered.rows, gathered.members
    counted = gathered.buckets | CountBuckets(
        plan.examples, plan.work.progress, work.labels, plan.buckets, gathered.cuts
    )
    examples = counted.examples | "AddCounts" >> beam.CombineGlobally(add_counts)
    reports = {
        "source_counts": (work.counts, rows.counts, members.counts),
        "bucket_counts": (counted.counts,),
        "failed": (work.failed, rows.failed, members.failed, counted.failed),
        "funnels": (counted.funnels if gathered.funnels is None else gathered.funnels,),
    }
    named = [(name, report) for name, some in reports.items() for report in some]
    lists = [beam.pvalue.AsList(report) for _, report in named]
    names = [name for name, _ in named]
    add_up = AddUpFn(plan.examples, notices, plan.work)
    once = root | "OnceAddUp" >> beam.Impulse()
    once | "AddUp" >> beam.ParDo(add_up, beam.pvalue.AsSingleton(examples), *lists, names=names)


def _has_sizes(source: Source) -> bool:
    return source.kind == "pictures" and source.medium in SIZED
