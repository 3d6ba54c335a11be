"""The base of runs that publish nothing: rows meet in a folder that is removed at the end."""

import abc
import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import Generic, TypeVar

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, TestOptions

from open_images.building.one_run import OneRun
from runners import launch
from transforms import journal
from transforms.errors import UsageError
from transforms.storage import files
from transforms.storage.objects import is_remote, normal
from transforms.storage.temporary import program_folder

_Flags = TypeVar("_Flags", bound=launch.RunnerFlags)
_Result = TypeVar("_Result")


class TemporaryRun(OneRun[_Flags, _Result], abc.ABC, Generic[_Flags, _Result]):
    """A run whose work folder is a temporary one."""

    folder_flag = "--work_folder"
    #: What it does, in an error message.
    verb: str

    def _refuse_later(self) -> None:
        """Raises UsageError where Beam is told to describe a job and not to run it."""
        is_dry = PipelineOptions(self._beam_arguments).view_as(TestOptions).dry_run
        if is_dry or launch.is_run_later(self._beam_arguments):
            flag = "--dry_run with a value" if is_dry else "--template_location"
            raise UsageError(f"{flag}: a job that isn't run {self.verb}s nothing: leave it out")

    @contextlib.contextmanager
    def _work_folder(self) -> Iterator[str]:
        """Makes a folder that all workers see, and removes it at the end."""
        with program_folder() as temporary:
            above = self._flags.work_folder or temporary
            if self._flags.runner == "dataflow":
                cloud = PipelineOptions(self._beam_arguments).view_as(GoogleCloudOptions)
                above = cloud.temp_location or cloud.staging_location or ""
            folder = os.path.join(above, f"open-images-{self.verb}-{uuid.uuid4().hex}")
            if is_remote(folder):
                folder = normal(folder)
                if self._flags.exchange == "files":
                    raise UsageError(
                        f"--work_folder {above}: rows can't meet in an object store: name a local "
                        "folder, or add --exchange engine"
                    )
            else:
                try:
                    os.makedirs(folder)
                except OSError as error:
                    raise UsageError(
                        f"--work_folder {above} can't be written: {error.strerror}: name another "
                        "folder"
                    ) from None
                for name in ("exchange", "progress", journal.FOLDER):
                    os.mkdir(os.path.join(folder, name))
            try:
                yield folder
            finally:
                files.delete_folder(folder, self._options)
