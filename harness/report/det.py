"""The detection error tradeoff: words missed against false accepts an hour, recordings and synthetic speech apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from harness.report.plots import DPI, png

COLOURS = {"recordings": "#1b6ca8", "synthetic": "#c46a1b"}
NONE = 0.5  # events: where a rate of none stands on a logarithmic axis, as what half an event would be


def plot(curves: Mapping[str, Mapping[str, Any]], title: str) -> bytes:
    """A PNG of ``Listening.tradeoff`` by kind of speech: a curve for each, and where the build operates."""
    figure = Figure(figsize=(7.2, 4.4), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for kind, own in sorted(curves.items()):
        floor = NONE / max(own["hours"], 1e-9)
        points = sorted(((max(rate, floor), missed) for rate, missed in own["curve"]), key=lambda p: (p[0], -p[1]))
        colour = COLOURS.get(kind, "0.3")
        label = f"{kind}: {own['words']} words, {own['hours']:.2f} h"
        axes.step(*zip(*points, strict=True), where="post", color=colour, label=label)
        rate, missed = own["point"]
        axes.plot([max(rate, floor)], [missed], "o", color=colour, mec="black")
        axes.annotate(f"{missed:.1f} % at {rate:.2g}/h", (max(rate, floor), missed), (6, 6), textcoords="offset points")
        axes.axvline(floor, color=colour, linewidth=0.7, linestyle=":")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_ylim(0, 100)
    axes.set_xlabel("false accepts an hour, events (at the dotted line: none in so many hours)")
    axes.set_ylabel("words missed, percent")
    axes.set_title(title, fontsize=10)
    axes.grid(visible=True, which="major", linewidth=0.3)
    axes.legend(fontsize=8)
    return png(figure)


def lines(curves: Mapping[str, Mapping[str, Any]]) -> Sequence[tuple[object, ...]]:
    """The operating points as a table: kind, words, hours, threshold, percent missed, false accepts an hour."""
    return [
        (kind, own["words"], f"{own['hours']:.2f}", f"{own['threshold']:.4g}", f"{own['point'][1]:.1f}",
         f"{own['point'][0]:.2f}")
        for kind, own in sorted(curves.items())
    ]  # fmt: skip


HEAD = ("speech", "words", "hours", "threshold", "missed %", "false accepts an hour")
