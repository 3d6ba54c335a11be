"""Side inputs that steps on buckets share."""

from typing import Any

import apache_beam as beam


def bucket_inputs(
    labels: beam.PCollection, cuts: beam.PCollection | None, **others: Any
) -> dict[str, Any]:
    """Returns the side inputs of a DoFn on buckets, by the names that its `process` has for them.

    Args:
        labels: that class files name, encoded; one element.
        cuts: where the quotas of the selection are reached, one; None where it has none.
        others: further side inputs.
    """
    inputs = {"encoded_labels": beam.pvalue.AsSingleton(labels), **others}
    if cuts is not None:
        inputs["cuts"] = beam.pvalue.AsSingleton(cuts)
    return inputs
