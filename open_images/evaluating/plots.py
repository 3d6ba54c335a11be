"""Plots of an evaluation; the same bytes for the same figures."""

import io
from collections.abc import Iterator, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from open_images.evaluating.evaluation import ProtocolResult
from transforms.evaluation.reasons import Reason

_BLUE, _GREY, _RED = "#2b6cb0", "#8a94a6", "#c2410c"
#: Colours that people tell apart whose eyes do so less well (Okabe and Ito, 2008).
_LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#d8dde6",
    "grid.linewidth": 0.6,
    "figure.facecolor": "white",
    "svg.hashsalt": "open-images",
    "svg.fonttype": "none",
}


def draw(results: Sequence[ProtocolResult]) -> Iterator[tuple[str, str, Figure]]:
    """Yields plots with their names and what they show.

    Args:
        results: of the first threshold.
    """
    with mpl.rc_context(_STYLE):
        curves = [each for each in results if any(one.curve for one in each.classes)]
        if curves:
            yield "precision_recall", "Precision by recall, mean of the classes", _curves(curves)
        for each in results:
            if any(one.average_precision is not None for one in each.classes):
                name = f"classes_{each.protocol}"
                yield name, f"Average precision of the classes, {each.protocol}", _classes(each)
            if each.slices:
                yield f"slices_{each.protocol}", f"Slices, {each.protocol}", _slices(each)
            if each.reasons():
                title = f"Why detections are wrong, {each.protocol}"
                yield f"reasons_{each.protocol}", title, _reasons(each)


def encode(figure: Figure, form: str) -> bytes:
    """Returns a plot as `svg` or `png`."""
    sink = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    with mpl.rc_context(_STYLE):
        figure.savefig(sink, format=form, metadata=metadata, dpi=144)
    return sink.getvalue()


def _curves(results: Sequence[ProtocolResult]) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for colour, each in zip(_LINES, results, strict=False):
        curves = np.array([one.curve for one in each.classes if one.curve])
        recalls = np.linspace(0, 1, curves.shape[1])
        mean = each.mean_average_precision or 0.0
        label = f"{each.protocol}, {each.threshold}: {100 * mean:.2f}"
        axes.plot(recalls, curves.mean(axis=0), color=colour, label=label)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False)
    return figure


def _classes(result: ProtocolResult) -> Figure:
    """Each class by how much ground truth it has, and the mean by frequency."""
    known = [each for each in result.classes if each.average_precision is not None]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    counts = np.array([each.truths for each in known])
    precisions = np.array([each.average_precision for each in known], np.float64)
    axes.scatter(counts, precisions, 12, _BLUE, alpha=0.6, lw=0)
    axes.axhline(result.mean_average_precision or 0.0, color=_RED, lw=1, label="mean")
    axes.set(xscale="log", xlabel="ground truth of the class", ylabel="average precision")
    axes.set_ylim(-0.02, 1.02)
    axes.legend(frameon=False, loc="lower right")
    return figure


def _slices(result: ProtocolResult) -> Figure:
    some = [each for each in result.slices if each.mean_average_precision is not None]
    figure = Figure(figsize=(6, 0.24 * len(some) + 0.8), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(some))[::-1]
    precisions = np.array([each.mean_average_precision for each in some], np.float64)
    recalls = np.array([each.recall for each in some], np.float64)
    axes.barh(places + 0.2, precisions, 0.38, color=_BLUE)
    axes.barh(places - 0.2, recalls, 0.38, color=_GREY)
    names = [f"{each.kind.replace('_', ' ')}: {each.value}" for each in some]
    axes.set_yticks(places, names)
    axes.set_xlim(0, 1)
    axes.grid(visible=False, axis="y")
    measures = ["mean average precision", "recall"]
    figure.legend(measures, frameon=False, loc="outside upper left", ncols=2)
    return figure


def _reasons(result: ProtocolResult) -> Figure:
    sums = result.reasons()
    names = [reason.name.lower() for reason in Reason]
    figure = Figure(figsize=(6, 1.8), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(names))[::-1]
    bars = axes.barh(places, [sums[name] for name in names], color=_RED)
    axes.bar_label(bars, [f" {sums[name]:,}" for name in names], fontsize=8)
    axes.set_yticks(places, [name.replace("_", " ") for name in names])
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("detections")
    return figure
