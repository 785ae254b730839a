"""What the benchmark found, as lines, as docs/power.md, and as its plot."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure

from benchmarks.verdicts.power import ALPHA, DROPS, GATES, LIMIT, POWER, Curve, Timing, needed
from benchmarks.verdicts.quiet import EQUAL, Rate
from benchmarks.verdicts.recorded import Recorded, data

ALLOWED = 0.01  # false FAILs
TIMES = 2.0  # the clips that an unpaired gate needs at least
ASKED = (2.0, 3.0, 4.0, 6.0, 9.0)  # points
COLOURS = {
    "paired": "#1b6ca8",
    "unpaired threshold": "#c8553d",
    "compare-fail": "#8a6fa8",
    "same clips, threshold": "#5b8c5a",
}
UNPAIRED = ("unpaired threshold", "compare-fail")


def rate_line(rate: Rate) -> str:
    low, high = rate.interval
    gates = f" ({', '.join(rate.gates)})" if rate.gates else ""
    return (
        f"A/A, {rate.kind}: {rate.failed} of {rate.repeats} FAIL, {100 * rate.failed / rate.repeats:.2f} % "
        f"[{100 * low:.2f}, {100 * high:.2f}]{gates}; {rate.open} INCONCLUSIVE"
    )


def power_lines(curves: Sequence[Curve], timings: Sequence[Timing]) -> str:
    told = [f"clips to catch a drop with {POWER:.0%}: {', '.join(GATES)}"]
    for drop in ASKED:
        told.append(f"  {drop:g} points: " + ", ".join(_clips(needed(curves, gate, drop)) for gate in GATES))
    told += [
        f"latency, {timing.gate} > {timing.threshold:.1f} %: {timing.false:.1%} false, catches {timing.smallest:.1f} %"
        for timing in timings
    ]
    return "\n".join(told)


def gains(curves: Sequence[Curve]) -> list[float]:
    """How many times the paired gate's clips the unpaired ones need, wherever both are known."""
    found = []
    for drop in ASKED:
        own = needed(curves, "paired", drop)
        found += [needed(curves, gate, drop) / own for gate in UNPAIRED]
    return [gain for gain in found if math.isfinite(gain)]


def good(rate: Rate, curves: Sequence[Curve]) -> bool:
    """Whether health is quiet enough, and pairing worth its clips. ``rate`` is that of all kinds together."""
    found = gains(curves)
    return rate.failed <= ALLOWED * rate.repeats and bool(found) and min(found) >= TIMES


def _clips(count: float) -> str:
    return f"{count:.0f}" if math.isfinite(count) else "-"


def plot(curves: Sequence[Curve]) -> str:
    """Smallest drop caught over clips, one line a gate, as SVG."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for gate in GATES:
        own = [curve for curve in curves if curve.gate == gate]
        axes.plot([c.clips for c in own], [c.smallest for c in own], marker="o", color=COLOURS[gate], label=gate)
    axes.axhline(LIMIT, color="#999999", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = [curve.clips for curve in curves if curve.gate == GATES[0]]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_yticks(DROPS, [f"{drop:g}" for drop in DROPS])
    axes.minorticks_off()
    axes.set_xlabel("source clips, each under 7 conditions")
    axes.set_ylabel(f"smallest drop caught with {POWER:.0%}, points")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "voxgate", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


HEAD = """# Quiet when healthy, loud when not

Written by `python -m tox run -e faults`; do not edit. Evidence: host. All of it is resampled from recorded decisions of
one model, `commands` on host/int8: {clips} test clips of {speakers} speakers under {conditions} conditions.

## False alarms

A corpus of the same make is drawn anew (as many speakers of each accent, with replacement), the gates of
`harness.gates` judge it with the limits of `models/commands`, and any FAIL on any slice counts. The interval is the
exact one (Clopper-Pearson, 95 %).

| nothing is wrong: | repeats | FAIL | rate | interval | INCONCLUSIVE |
|---|---|---|---|---|---|
"""
NOTES = """
- *The same artifact twice*: drop, flips, cells and floors against golden, and `regression` against itself, paired.
- *Conditions re-seeded*: {seeds} seeds of every noisy condition were rendered and run through both models; each repeat
  takes one seed, judges int8 against its own golden, and `regression` against a release judged under another seed,
  which is not paired.
- *Trained again*: {heads} last layers trained from nothing on calibration clips, each with its own seed and speakers,
  over the shipped convolutions; a repeat takes two whose overall accuracy differs by at most {equal} points, and
  judges one against the other as released (`regression`). The convolutions were not trained again, and two such
  models may truly differ on an accent: such a FAIL counts as false here.
- INCONCLUSIVE is no FAIL but does fail a run unless `--inconclusive=skip`: in so many repeats some slice lies too near
  its limit for this corpus to decide; where nothing is paired, some accent always does.
- SQNR, placement, size and time are not in it: decisions alone were recorded.
- Repeats share the recorded decisions: they tell how often chance in *which speakers are heard* misleads the gates, not
  what another corpus or model would do. The gates' constants were not set on these figures.

## Power

The smallest drop that FAILs in {power:.0%} of repeats, per number of clips. All gates keep one promise: a build whose
true drop is the limit of {limit:g} point FAILs at most {alpha:.0%} of the time. The paired gate keeps it by its
interval; the others get the threshold that does from an oracle, which knows the truth and no user has. Harm is noise
on golden's logits, louder for some speakers, so that decisions are lost and gained.

![power](power.svg)

| clips | {gates} |
|---|{rule}|
"""
NEED = """
Clips needed to catch a drop with {power:.0%} (between those tried; - beyond them), and how many times the paired
gate's:

| drop, points | {gates} |
|---|{rule}|
"""
LATENCY = """
The unpaired gate is what a CI has that keeps one accuracy a run; `compare-fail` is pytest-benchmark's own check
(`--benchmark-compare-fail=mean:N%`) on the error rates of the same two runs. A threshold on the drop over the same
clips needs no more clips than the interval does, half as many at best: pairing is what counts, and the interval is
what spares the oracle. Up to 19 speakers (247 clips) the interval is Student's t, wide for what it does not know.

## Latency

{blocks} recorded blocks of {rounds} inferences of int8 and float in turns, on a machine that did other work
meanwhile; every inference slowed down by so much. `in turns` is the gate `slowdown`, against the median ratio
to float of all blocks; `compare-fail` compares a figure of one block with another's. Thresholds: 5 %, and the one
that lets one A/A comparison in twenty FAIL.

| gate | threshold | false FAIL | n | catches with {power:.0%} |
|---|---|---|---|---|
"""


def page(whole: Recorded, rates: Sequence[Rate], curves: Sequence[Curve], timings: Sequence[Timing]) -> str:
    gates, rule = " | ".join(GATES), "---|" * (len(GATES) - 1) + "---"
    blocks, rounds, _ = data("timed")["timed"].shape
    common = {"power": POWER, "gates": gates, "rule": rule, "blocks": blocks, "rounds": rounds}
    common |= {"limit": LIMIT, "alpha": ALPHA, "equal": EQUAL}
    common |= {"seeds": len(data("reseeded")["golden"]), "heads": len(data("retrained")["retrained"])}
    head = HEAD.format(
        clips=len(whole.clips),
        speakers=len({clip.speaker for clip in whole.clips}),
        conditions=len(whole.table.truth) // len(whole.clips),
    )
    parts = [head, *map(_rate_row, rates), NOTES.format(**common)]
    parts += [_smallest_row(curves, clips) for clips in dict.fromkeys(curve.clips for curve in curves)]
    parts.append(_kept(curves))
    parts += [NEED.format(**common), *(_needed_row(curves, drop) for drop in ASKED)]
    parts += [LATENCY.format(**common), *map(_timing_row, timings)]
    return "".join(parts)


def _kept(curves: Sequence[Curve]) -> str:
    """How the paired gate keeps its promise on these data."""
    found = {curve.clips: curve.caught[0] for curve in curves if curve.gate == "paired"}
    told = ", ".join(f"{share:.1%} with {clips} clips" for clips, share in found.items())
    return f"\nAt the limit itself the paired gate FAILs {told}.\n"


def _rate_row(rate: Rate) -> str:
    low, high = rate.interval
    share = f"{100 * rate.failed / rate.repeats:.2f} %"
    interval = f"{100 * low:.2f} to {100 * high:.2f} %"
    return f"| {rate.kind} | {rate.repeats} | {rate.failed} | {share} | {interval} | {rate.open} |\n"


def _smallest_row(curves: Sequence[Curve], clips: int) -> str:
    own = {curve.gate: curve.smallest for curve in curves if curve.clips == clips}
    cells = (f"{own[gate]:.1f}" if math.isfinite(own[gate]) else f"> {DROPS[-1]:g}" for gate in GATES)
    return f"| {clips} | {' | '.join(cells)} |\n"


def _needed_row(curves: Sequence[Curve], drop: float) -> str:
    own = needed(curves, "paired", drop)
    cells = []
    for gate in GATES:
        count = needed(curves, gate, drop)
        times = f" ({count / own:.1f}x)" if gate != "paired" and math.isfinite(count / own) else ""
        cells.append(f"{_clips(count)}{times}")
    return f"| {drop:g} | {' | '.join(cells)} |\n"


def _timing_row(timing: Timing) -> str:
    smallest = f"{timing.smallest:.0f} % slower" if math.isfinite(timing.smallest) else "nothing tried"
    return f"| {timing.gate} | {timing.threshold:.1f} % | {timing.false:.1%} | {timing.n} | {smallest} |\n"
