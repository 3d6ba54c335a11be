"""What a Dataflow job is in these tests: a pipeline as submitted, run by the Python of a worker.

`python dataflow_worker.py PIPELINE OPTIONS` runs in an environment where the staged packages have
been installed, and in a folder without the project.
"""

import json
import sys
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner


def main(pipeline_path: str, options_path: str) -> None:
    """Runs a pipeline to its end, or raises what a worker raised."""
    pipeline = beam_runner_api_pb2.Pipeline.FromString(Path(pipeline_path).read_bytes())
    options = json.loads(Path(options_path).read_text())
    for environment in pipeline.components.environments.values():
        environment.urn = python_urns.EMBEDDED_PYTHON
        environment.payload = b""
        del environment.dependencies[:]
    # Numbers come back from the API as Python's floats.
    options = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in options.items()
    }
    FnApiRunner().run_via_runner_api(pipeline, PipelineOptions.from_dictionary(options))


if __name__ == "__main__":
    main(*sys.argv[1:])
