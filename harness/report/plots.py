"""Plots of a verdict: the heatmap accent x condition, and the latency histogram. PNG bytes, deterministic."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from harness.row import Row
from harness.verdict import Outcome

WEAKEST_SCALE = 5.0  # points; smaller drops must not look alarming
DPI = 110
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def heatmap(rows: Sequence[Row], title: str) -> bytes:
    """Accuracy drop in points of every cell, with the margins of accents and conditions around it.

    Cells that FAIL are outlined and their figure is bold; cells without data are hatched.
    """
    grid = {_coordinates(row.slice): row for row in rows if row.value is not None}
    accents = [*sorted({accent for accent, _ in grid if accent}), ""]
    conditions = [*dict.fromkeys(condition for _, condition in grid if condition), ""]
    values = np.full((len(accents), len(conditions)), np.nan)
    for (accent, condition), row in grid.items():
        values[accents.index(accent), conditions.index(condition)] = row.value
    figure = Figure(figsize=(1.1 * len(conditions) + 2.6, 0.32 * len(accents) + 1.9), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    scale = max(WEAKEST_SCALE, float(np.nanmax(np.abs(values), initial=0.0)))
    image = axes.imshow(values, cmap="RdBu_r", vmin=-scale, vmax=scale, aspect="auto")
    axes.set_facecolor("0.92")
    axes.set_xticks(range(len(conditions)), [c or "all" for c in conditions], rotation=30, ha="right")
    axes.set_yticks(range(len(accents)), [a or "all" for a in accents])
    axes.axhline(len(accents) - 1.5, color="0.3", linewidth=1)
    axes.axvline(len(conditions) - 1.5, color="0.3", linewidth=1)
    for (accent, condition), row in grid.items():
        _cell(axes, conditions.index(condition), accents.index(accent), row, scale)
    figure.colorbar(image, ax=axes, label="points of accuracy lost (red: worse than float)", shrink=0.8)
    sizes = sorted({row.n for row in grid.values() if row.screened})
    count = f"n = {sizes[0]} to {sizes[-1]} renderings a cell; " if sizes else ""
    axes.set_title(f"{title}\n{count}outlined: FAIL", fontsize=10)
    return _png(figure)


def histogram(samples_ms: npt.NDArray[np.float64], title: str) -> bytes:
    """Every sample in milliseconds, spikes included, with the percentiles marked."""
    figure = Figure(figsize=(7, 3), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.hist(samples_ms, bins=80, color="#4477aa")
    axes.set_yscale("symlog", linthresh=1)  # one spike among hundreds must stay visible
    for (name, q), style in zip(QUANTILES.items(), ("-", "--", ":"), strict=True):
        value = float(np.quantile(samples_ms, q, method="inverted_cdf"))
        axes.axvline(value, color="#aa3333", linestyle=style, label=f"{name} {value:.3g} ms")
    axes.set_xlabel("ms")
    axes.set_ylabel("rounds")
    axes.set_title(f"{title}, n = {len(samples_ms)}", fontsize=10)
    axes.legend()
    return _png(figure)


def _cell(axes: Axes, x: int, y: int, row: Row, scale: float) -> None:
    value = float(row.value or 0.0)
    failed = row.outcome is Outcome.FAIL
    colour = "white" if abs(value) > 0.6 * scale else "black"
    axes.text(
        x, y, f"{value:.1f}", ha="center", va="center", fontsize=7, color=colour,
        fontweight="bold" if failed else "normal",
    )  # fmt: skip
    if failed:
        axes.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, fill=False, edgecolor="black", linewidth=1.8))


def _coordinates(slice_id: str) -> tuple[str, str]:
    """(accent, condition) of a cell or margin; an empty word stands for all."""
    parts = dict(part.split("=", 1) for part in slice_id.split(",") if "=" in part)
    return parts.get("accent", ""), parts.get("condition", "")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", metadata={"Software": "voxgate"})
    return buffer.getvalue()
