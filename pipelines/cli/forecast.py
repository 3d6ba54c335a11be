"""How a plan of a build is run by a program, and what it says at its end."""

import dataclasses
import json
import logging
from collections.abc import Sequence
from typing import Any

from open_images import forecasting
from open_images.building.flags import BuildFlags
from open_images.errors import BuildError
from open_images.forecasting.forecast import ClassForecast, Forecast
from pipelines.cli.output import fail, print_result
from pipelines.cli.progress import ProgressDisplay
from pipelines.cli.report import COUNTS, DESELECTED, account_of_sources, table
from transforms.dataset import naming
from transforms.errors import UsageError
from transforms.system import program
from transforms.wording import bytes_of, clean_lines, clean_values, counted

#: So many classes are shown, those with most images and those with least.
_SHOWN_CLASSES = 10
_MINUTE, _HOUR = 60, 3600


def run(
    program_name: str,
    flags: BuildFlags,
    beam_arguments: Sequence[str],
    display: ProgressDisplay,
    form: str,
) -> int:
    """Makes a plan, and prints it, or what went wrong; returns the exit code.

    Args:
        program_name: of the program.
        flags: of the build.
        beam_arguments: flags for Beam.
        display: shows how far it is.
        form: `text` or `json`.
    """
    error, forecast, code = "", None, 0
    made = forecasting.start(flags, beam_arguments, display)
    try:
        with display, program.interruptible(lambda: str(made.interrupted())):
            forecast = made.run()
    except UsageError as wrong:
        error, code = str(wrong), 2
    except KeyboardInterrupt:
        error, code = str(made.interrupted()), 1
    except BuildError as failed:
        error, code = str(failed), 1
        if program.is_interrupted():
            error = str(made.interrupted())
        elif failed.__cause__:
            logging.error("the plan failed", exc_info=failed.__cause__)
    if form == "json":
        text = json.dumps(clean_values(document(forecast, code, error or None, made.seconds)))
        print_result(program_name, text, "")
    elif forecast:
        print_result(program_name, clean_lines(render(forecast)), "")
    return fail(program_name, error, code) if error else code


def document(
    forecast: Forecast | None, code: int, error: str | None, seconds: float
) -> dict[str, Any]:
    """Returns a plan for machines; what is null isn't known, for it failed before."""
    content = {field.name: None for field in dataclasses.fields(Forecast)}
    if forecast:
        content = dataclasses.asdict(forecast)
        content["sources"] = [
            {name: source[name] for name in ("kind", "path", *COUNTS, DESELECTED)}
            for source in content["sources"]
        ]
    word = {0: "planned", 1: "failed", 2: "wrong_use"}[code]
    del content["notes"]
    return {
        "outcome": word,
        "exit_code": code,
        "error": error,
        **content,
        "seconds": round(forecast.seconds if forecast else seconds, 3),
    }


def render(forecast: Forecast) -> str:
    """Returns a plan for people."""
    splits = sorted(forecast.images.items(), key=lambda each: naming.SPLITS.index(each[0]))
    annotations = [each for each in forecast.annotations.items() if each[1]]
    lines = [*forecast.notes, *account_of_sources(forecast.sources)]
    lines += ["", *table(("split", "images"), splits)]
    lines += ["", *table(("annotations", "rows"), annotations)] if annotations else []
    selected = [each for each in forecast.classes if each.is_selected]
    if shown := [each for each in selected or forecast.classes if each.images]:
        lines += ["", *_classes(shown)]
    if forecast.pictures:
        header = ("pictures", "images", "size")
        rows = [
            (each.medium, each.images, f"{'about ' * each.is_estimate}{bytes_of(each.bytes)}")
            for each in forecast.pictures
        ]
        lines += ["", *table(header, rows)]
    if forecast.bare_images:
        missing = counted(forecast.bare_images, "image")
        lines.append(f"note: no source of pictures has those of {missing}, which would fail")
    if forecast.failures:
        lines += ["", *table(("failures", "rows"), list(forecast.failures.items()))]
    if forecast.warnings:
        lines += ["", *(f"note: {each.path}: {each.text}" for each in forecast.warnings)]
    sizes = [f"{name} {bytes_of(size)}" for name, size in forecast.shard_bytes.items()]
    work = bytes_of(forecast.work_bytes)
    workers = counted(forecast.num_workers, "worker")
    waits = ", if pictures come as fast as they are worked on" if forecast.pictures else ""
    lines += [
        "",
        f"a build would have {counted(forecast.num_images, 'image')}",
        f"shards, roughly: {', '.join(sizes)}; in the work folder meanwhile {work}, and the shards",
        f"time, roughly: {_time(forecast.build_seconds)} with {workers}{waits}",
        f"planned in {forecast.seconds:.1f} s; nothing was fetched or published",
    ]
    return "\n".join(lines)


def _classes(classes: Sequence[ClassForecast]) -> list[str]:
    """Returns a table of the classes with most images and with least."""
    rows = [(_title(each), each.images, sum(each.annotations.values())) for each in classes]
    if len(rows) > 2 * _SHOWN_CLASSES:
        between = rows[_SHOWN_CLASSES:-_SHOWN_CLASSES]
        sums = (sum(images for _, images, _ in between), sum(rows for _, _, rows in between))
        middle = (f"… {len(between):,} more", *sums)
        rows = [*rows[:_SHOWN_CLASSES], middle, *rows[-_SHOWN_CLASSES:]]
    return table(("class", "images", "annotations"), rows)


def _title(each: ClassForecast) -> str:
    return f"{each.name} ({each.label})" if each.name else each.label


def _time(seconds: float) -> str:
    """Returns a time for people.

    >>> _time(42.3), _time(600), _time(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE:.0f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} h"
