"""Lists, compares and removes versions: `python -m pipelines.versions --help`."""

from collections.abc import Sequence

from pipelines.cli import secrets
from pipelines.cli.output import fail, print_line, program_name
from pipelines.cli.version_flags import make_parser
from transforms.system import program

_PROGRAM = program_name("versions")
_INTERRUPTED = "interrupted: run it again to go on"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong use.
    """
    secrets.keep_secrets()
    flags = make_parser().parse_args(arguments)
    # Arrow takes some tenths of a second to import: not before the flags are known to be right.
    from pipelines.cli import version_commands
    from transforms.releases import workspace
    from transforms.releases.diff import DamagedShardError
    from transforms.releases.manifest import ManifestError, VersionError
    from transforms.releases.output import LatestError, Output
    from transforms.storage.objects import StorageError
    from transforms.storage.stores import ObjectOptions
    from transforms.system.processes import WorkerError

    output = Output(flags.output, ObjectOptions(s3_endpoint_url=flags.s3_endpoint_url))
    try:
        with program.interruptible(lambda: _INTERRUPTED):
            version_commands.COMMANDS[flags.command](output, flags)
            if problem := version_commands.read_latest(output)[1]:
                print_line(f"note: {problem}")
    except LatestError as error:
        return fail(_PROGRAM, str(error), 1)
    except (ManifestError, DamagedShardError) as error:
        return fail(_PROGRAM, f"{error}: see python -m pipelines.verify", 1)
    except (VersionError, workspace.OutputError) as error:
        return fail(_PROGRAM, str(error), 2)
    except (StorageError, WorkerError) as error:
        return fail(_PROGRAM, str(error), 1)
    except BrokenPipeError:
        pass  # whoever reads has seen enough
    except OSError as error:
        return fail(_PROGRAM, f"{error.filename or flags.output}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        return fail(_PROGRAM, _INTERRUPTED, 1)
    return 0


if __name__ == "__main__":
    program.begin(_PROGRAM)
    program.run(main)
