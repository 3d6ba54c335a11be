"""What each worker of the fork server has imported, whatever the pipeline."""

import logging

from runners import lean

lean.save_imports()
lean.keep_one_heap()

# Before Beam, which without a handler warns on stderr of what isn't installed.
logging.getLogger().addHandler(logging.NullHandler())

import apache_beam.runners.worker.sdk_worker_main  # noqa: E402, F401

# Which gRPC itself imports with a worker's first channel.
import grpc._channel  # noqa: E402
import grpc.experimental  # noqa: E402, F401
