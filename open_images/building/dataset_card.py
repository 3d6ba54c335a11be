"""The dataset card of an output whose last build was stopped before it wrote it."""

import contextlib

from transforms.releases import latest, workspace
from transforms.releases.manifest import Manifest
from transforms.releases.output import Output
from transforms.storage.objects import StorageError, is_remote


def mend(output: Output, manifest: Manifest) -> None:
    """Writes the card of the latest version, which has this manifest, where it can be written."""
    with contextlib.suppress(StorageError, OSError, workspace.OutputError):
        if latest.has_current_card(output, manifest):
            return
        if is_remote(output.path):
            latest.write_card(output, scratch="")
            return
        with workspace.workspace(output.path) as (work, _):
            latest.write_card(output, work)
