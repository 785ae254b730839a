"""Plots of a verdict: the heatmap accent x condition, and the latency histogram. PNG bytes, deterministic.

matplotlib is imported where something is drawn: every start of pytest would wait for it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from harness.measure import percentile
from harness.report.conclusion import difference
from harness.row import Before, Row
from harness.verdict import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

WEAKEST_SCALE = 5.0  # points; smaller drops must not look alarming
WIDE = 5.0  # times the median: a spike beyond it asks for a logarithmic axis
DPI = 110
NARROWEST, LOWEST = 7.0, 4.0  # inches, so that few slices leave room for title and scale
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
ALL = "all"
OUTLINES: dict[Outcome, tuple[str, Literal["-", "--"]]] = {
    Outcome.FAIL: ("black", "-"),
    Outcome.INCONCLUSIVE: ("#b07000", "--"),
}


def accuracy_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows a heatmap shows: cells and margins of the accuracy drop that have a figure."""
    return [row for row in rows if row.gate == "accuracy" and row.value is not None]


def heatmap(rows: Sequence[Row], title: str, before: Before = MappingProxyType({})) -> bytes:
    """Accuracy drop in points of every cell, with the margins of accents and conditions around it.

    Slices that FAIL are outlined, INCONCLUSIVE ones dashed; cells without a figure are hatched. The
    last column and the rows below the line are margins: each accent, each group, all. Where a slice was released
    ``before``, its change since then stands below its drop.
    """
    own = accuracy_rows(rows)
    return _heatmap(tuple(own), title, tuple(difference(row, before) for row in own))


@lru_cache(maxsize=8)  # every failing slice of a build shows the same one
def _heatmap(rows: tuple[Row, ...], title: str, changes: tuple[float | None, ...]) -> bytes:
    from matplotlib.figure import Figure

    grid = {_place(row.slice): row for row in rows}
    changed = {_place(row.slice): change for row, change in zip(rows, changes, strict=True)}
    accents, groups, conditions = _axes_of(grid)
    ys = [*accents, *groups]
    values = np.full((len(ys), len(conditions)), np.nan)
    for (y, x), row in grid.items():
        values[ys.index(y), conditions.index(x)] = row.value
    size = (max(NARROWEST, 0.95 * len(conditions) + 2.6), max(LOWEST, 0.36 * len(ys) + 2.4))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    scale = max(WEAKEST_SCALE, float(np.nanmax(np.abs(values), initial=0.0)))
    image = axes.imshow(values, cmap="RdBu_r", vmin=-scale, vmax=scale, aspect="auto")
    sizes = sorted({row.n for row in rows if row.screened})
    for j, accent in enumerate(ys):
        for i, condition in enumerate(conditions):
            at = accent, condition
            _cell(axes, i, j, grid.get(at), scale, accent in groups, len(sizes) > 1, changed.get(at))
    _label(axes, accents, groups, conditions)
    figure.colorbar(image, ax=axes, label="points of accuracy lost (red: worse than float)", shrink=0.8, pad=0.02)
    since = "; in brackets the change since the last release" if any(each is not None for each in changes) else ""
    axes.set_title(f"{title}\n{_count(sizes)}{since}", fontsize=10)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return png(figure)


def histogram(samples_ms: npt.NDArray[np.float64], title: str) -> bytes:
    """Every sample in milliseconds, spikes included, with the percentiles that so many samples support."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(7.2, 3.2), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    least, most = float(samples_ms.min()), float(samples_ms.max())
    wide = least > 0 and most > WIDE * float(np.median(samples_ms))
    edges = np.geomspace(least, most, 81) if wide else np.linspace(least, most + 1e-9, 81)
    axes.hist(samples_ms, bins=edges.tolist(), color="#6699cc")
    if wide:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(ScalarFormatter())
        axes.tick_params(axis="x", which="minor", labelsize=7)
    axes.set_yscale("symlog", linthresh=1)  # one spike among hundreds must stay visible
    axes.set_ylim(0)
    axes.yaxis.set_major_formatter(ScalarFormatter())
    for (name, found), style in zip(quantiles(samples_ms).items(), ("-", "--", ":"), strict=False):
        axes.axvline(found, color="#aa2222", linestyle=style, label=f"{name} {found:.3g} ms")
    axes.axvline(most, color="0.4", linewidth=0.8, label=f"worst {most:.3g} ms")
    axes.set_xlabel("milliseconds")
    axes.set_ylabel("rounds")
    axes.set_title(f"{title}, n = {len(samples_ms)} rounds", fontsize=10)
    axes.legend(fontsize=8)
    return png(figure)


def quantiles(samples_ms: npt.NDArray[np.float64]) -> dict[str, float]:
    """The percentiles in milliseconds that so many samples support, by name."""
    found = {name: percentile(samples_ms, q).value for name, q in QUANTILES.items()}
    return {name: value for name, value in found.items() if value is not None}


def _axes_of(grid: dict[tuple[str, str], Row]) -> tuple[list[str], list[str], list[str]]:
    accents = sorted({y for y, _ in grid if y != ALL and not y.endswith(" accents")})
    groups = [y for y in dict.fromkeys(y for y, _ in grid) if y.endswith(" accents")]
    conditions = [x for x in dict.fromkeys(x for _, x in grid) if x != ALL]
    return accents, [*groups, ALL], [*conditions, ALL]


def _cell(
    axes: Axes, x: int, y: int, row: Row | None, scale: float, group: bool, sized: bool, change: float | None
) -> None:
    from matplotlib.patches import Rectangle

    if row is None:
        if not group:  # a group is judged over all conditions alone: its empty cells lack nothing
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="0.93", edgecolor="0.75", hatch="///", lw=0))
        return
    value = float(row.value or 0.0)
    text = f"{value:.1f}".replace("-0.0", "0.0") + (f"\nn={row.n}" if sized and row.screened else "")
    text += "" if change is None else f"\n({change:+.1f})".replace("-0.0", "+0.0")
    axes.text(
        x,
        y,
        text,
        ha="center",
        va="center",
        fontsize=6 if text.count("\n") else 8,
        color="white" if math.isfinite(value) and abs(value) > 0.55 * scale else "black",
        fontweight="bold" if row.outcome is Outcome.FAIL else "normal",
    )
    if row.outcome in OUTLINES:
        colour, style = OUTLINES[row.outcome]
        box = Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor=colour, linestyle=style, lw=1.8)
        axes.add_patch(box)


def _label(axes: Axes, accents: list[str], groups: list[str], conditions: list[str]) -> None:
    names = [*conditions[:-1], "all conditions"]
    axes.set_xticks(range(len(names)), names, rotation=25, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(accents) + len(groups)), [*accents, *groups[:-1], "all accents"], fontsize=8)
    axes.tick_params(length=0)
    axes.axhline(len(accents) - 0.5, color="0.2", linewidth=1.2)
    axes.axvline(len(conditions) - 1.5, color="0.2", linewidth=1.2)
    for side in axes.spines.values():
        side.set_visible(False)


def _legend() -> list[Patch | Line2D]:
    from matplotlib.patches import Patch

    handles: list[Patch | Line2D] = [
        Patch(fill=False, edgecolor=colour, linestyle=style, linewidth=1.8, label=outcome.value)
        for outcome, (colour, style) in OUTLINES.items()
    ]
    return [*handles, Patch(facecolor="0.93", edgecolor="0.75", hatch="///", label="no figure")]


def _count(sizes: list[int]) -> str:
    if not sizes:
        return "margins only: no cell has a limit"
    return (
        f"n = {sizes[0]} renderings a cell" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]} renderings a cell"
    )


def _place(slice_id: str) -> tuple[str, str]:
    """(accent, condition) of a slice, ``all`` where it names none; a group stands as ``unseen accents``."""
    parts = dict(part.split("=", 1) for part in slice_id.split(",") if "=" in part)
    group = f"{parts['accents']} accents" if "accents" in parts else ALL
    return parts.get("accent", group), parts.get("condition", ALL)


def png(figure: Figure) -> bytes:
    """The figure as bytes, the same for the same figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", metadata={"Software": "voxgate"})
    return buffer.getvalue()
