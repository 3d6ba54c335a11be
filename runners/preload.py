"""What each worker of the fork server has imported, whatever the pipeline."""

import logging

# Before Beam, which without a handler warns on stderr of what isn't installed.
logging.getLogger().addHandler(logging.NullHandler())

import apache_beam.runners.worker.sdk_worker_main  # noqa: E402, F401
