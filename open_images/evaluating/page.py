"""The page of a report: everything in one file, that needs no network."""

import re
from collections.abc import Sequence
from importlib import resources

import jinja2

from open_images import evaluating
from open_images.evaluating.evaluation import Evaluation
from open_images.evaluating.mistakes import Mistake

#: Titles and explanations of the galleries of mistakes.
_GALLERIES = (
    (
        "Wrong detections with the highest scores",
        "Red is what was detected, green the object of its class that it overlaps most, if any.",
    ),
    ("The largest objects that none has found", "Green is the object."),
)


def render_page(
    evaluation: Evaluation,
    plots: Sequence[tuple[str, bytes]],
    mistakes: Sequence[Sequence[Mistake]],
) -> bytes:
    """Returns the content of `report.html`.

    Args:
        evaluation: what it shows.
        plots: titles and SVGs.
        mistakes: wrong detections, and objects that none has found.
    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"percent": _percent, "change": _change, "count": _count}
    template = resources.files(evaluating).joinpath("page.html").read_text(encoding="utf-8")
    first = evaluation.results[0]
    mean = _percent(first.mean_average_precision) or "no ground truth"
    page = environment.from_string(template).render(
        headline=f"{first.protocol} {mean}",
        evaluation=evaluation,
        has_intervals=any(each.interval for each in evaluation.results),
        plots=[(title, _inline(svg)) for title, svg in plots],
        galleries=[
            (*texts, some) for texts, some in zip(_GALLERIES, mistakes or [[], []], strict=True)
        ],
    )
    return page.encode()


def _inline(svg: bytes) -> str:
    """Returns an SVG for the inside of a page: without what comes before its element."""
    return re.sub(r"^.*?(?=<svg)", "", svg.decode(), flags=re.DOTALL)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _change(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.2f}"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
