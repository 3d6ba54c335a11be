"""What each worker of the fork server has imported, whatever the pipeline."""

import logging

from runners import lean

lean.begin_imports()
lean.keep_one_heap()

# Before Beam, which without a handler warns on stderr of what isn't installed.
logging.getLogger().addHandler(logging.NullHandler())

import apache_beam.runners.worker.sdk_worker_main  # noqa: E402, F401
import grpc.experimental  # noqa: E402, F401 - which a worker's first channel needs
