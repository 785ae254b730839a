"""Plots over time and of distributions: a figure over runs, and a build's latency beside its release's. PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.report.plots import DPI, png
from harness.row import Row

OVERALL = "overall"
FEW = 6  # slices that each get a name in one plot
MOST_DATES = 10
WIDE = 5.0  # times the median: slower rounds ask for a logarithmic axis


@dataclass(slots=True)
class Series:
    """One figure over runs. ``at`` are positions on the axis of all runs, ``artifacts`` the keys of what was judged."""

    at: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)


def timeline(slices: Mapping[str, Series], dates: Sequence[str], title: str) -> bytes:
    """Every slice's figure over runs, with the limits; a hollow mark where another artifact was judged than before."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 3.6), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    limits = sorted({row.limit for own in slices.values() for row in own.rows[-1:] if row.limit is not None})
    for limit in limits:
        axes.axhline(limit, color="#aa2222", linestyle="--", linewidth=0.9, label=f"limit {limit:g}")
    for name, own in sorted(slices.items(), key=lambda pair: pair[0] != OVERALL):
        values = [float(row.value or 0.0) for row in own.rows]
        main = name == OVERALL or len(slices) <= FEW
        axes.plot(
            own.at, values, linewidth=1.8 if main else 0.7, alpha=1 if main else 0.5, label=name if main else None
        )
        changed = [i for i in range(1, len(values)) if main and own.artifacts[i] != own.artifacts[i - 1]]
        axes.plot([own.at[i] for i in changed], [values[i] for i in changed], "o", mfc="white", mec="0.3", ms=4)
    shown = sorted({int(i) for i in np.linspace(0, len(dates) - 1, min(len(dates), MOST_DATES))})
    axes.set_xticks(shown, [dates[i][:10] for i in shown], fontsize=8)
    axes.set_xlim(-0.5, max(len(dates) - 0.5, 0.5))
    units = sorted({row.unit for own in slices.values() for row in own.rows})
    axes.set_ylabel(", ".join(units))
    more = f" and {len(slices) - 1} more slices" if len(slices) > FEW else ""
    axes.set_title(f"{title}{more}, {len(dates)} runs", fontsize=10)
    axes.legend(fontsize=7, loc="upper left", ncols=3)
    return png(figure)


def latencies(now_ms: Sequence[float], before_ms: Sequence[float], title: str, date: str) -> bytes:
    """Shares of rounds that took no longer, of this build and of its release; both are percentiles 0 to 100."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(7.5, 3.4), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    shares = np.linspace(0, 100, len(now_ms))
    axes.plot(now_ms, shares, linewidth=1.8, label="this build")
    axes.plot(before_ms, np.linspace(0, 100, len(before_ms)), linewidth=1.4, linestyle="--", label=f"released {date}")
    if max(*now_ms, *before_ms) > WIDE * float(np.median(now_ms)):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("milliseconds")
    axes.set_ylabel("percent of rounds no slower")
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8, loc="lower right")
    return png(figure)
