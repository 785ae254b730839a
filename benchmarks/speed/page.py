"""docs/speed.md, from what a run measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = """# How fast a gate is

Written by `python -m benchmarks.speed`; evidence: host, {processors} processors, load average {busy}. Where that is
above the number of processors, others used them too: seconds are of a share, and only processor time can be compared.
"""
LOOPS = """
## Against a loop written by hand

The loop: for every condition and clip read it, render it, make its features, run the float and the int8 model once. It
is given its int8 model and judges nothing. `same` uses the gate's effects, so that its outputs can be compared;
`usual` is written with audiomentations alone, a room simulated for every clip (without tracing rays). Both have one
process. The gate is whole: it checks the corpus, simulates its rooms, renders, calibrates, builds, runs, resamples and
judges. It renders and makes features on every processor.

| | renderings | seconds | a second | processor ms each | gate is faster by, seconds | by processor time |
|---|---|---|---|---|---|---|
"""
BOUND = """
What bounds it: effects and features are the loop's own, to the bit, since golden outputs and boards hang on them. A
gate saves by decoding each clip once and by using every processor; it pays once for helpers (some 2 s of processor time
each) and for rooms (5 s), which the loops do not: of a thousand clips that is a third of it. Two processors leave it at
most two to three times as fast as `same`, however many clips there are: five times was the aim, and is not reached.
"""
GROWTH = """
## As clips grow

One condition (clean), cold. RSS is the greatest seen, of the gate's own process and with its helpers.

| clips | renderings | seconds | processor s | processor ms a rendering | RSS MiB | with helpers |
|---|---|---|---|---|---|---|
"""
TIMES = """
## What measuring adds to a latency

The same calls by the gate's clock and by onnxruntime's own (its profile's `model_run`), n = {n} each, p50. The gate's
includes what an application pays to call from Python.

| model | gate ms | onnxruntime ms | difference | added a call |
|---|---|---|---|---|
"""
STAGES = ("rendered", "scored", "judged")


def text(found: Mapping[str, Any]) -> str:
    gate, warm = found["gate"], found["warm"]
    parts = [HEAD.format(busy=_load(found), **found), LOOPS]
    whole = sum(gate["seconds"].values())
    for name, title in (("same", "loop, `same`"), ("usual", "loop, `usual`")):
        loop = found[name]
        faster = " | ".join(_times(loop, gate, what) for what in ("seconds", "processor"))
        parts.append(_line(title, loop["renderings"], loop["seconds"], loop["processor"], faster))
    spent = sum(gate["processor"].values())
    parts.append(_line("gate, cold", gate["renderings"], whole, spent))
    parts.append(
        _line("gate, warm", warm["renderings"], sum(warm["seconds"].values()), sum(warm["processor"].values()))
    )
    parts.append(BOUND)
    same, rows = found["identical"]
    told = "the same" if found["warm_identical"] else "not all the same"
    parts.append(
        f"\n{same} of {rows} verdicts of accuracy are the `same` loop's to the last digit; warm, they are {told}.\n"
    )
    parts.append("\n| stage, cold | seconds | processor s | renderings a second |\n|---|---|---|---|\n")
    for stage, seconds in gate["seconds"].items():
        rate = f"{gate['renderings'] / seconds:,.0f}" if stage in STAGES else ""
        parts.append(f"| {stage} | {seconds:.1f} | {gate['processor'][stage]:.1f} | {rate} |\n")
    parts.append(GROWTH)
    for each in found["grown"]:
        seconds, spent, n = sum(each["seconds"].values()), sum(each["processor"].values()), each["renderings"]
        memory = f"{each['rss_mib']:.0f} | {each['with_helpers_mib']:.0f}"
        parts.append(
            f"| {each['clips']:,} | {n:,} | {seconds:.0f} | {spent:.0f} | {1e3 * spent / n:.2f} | {memory} |\n"
        )
    times = {model: each for model, each in found["latency"].items() if model != "load"}
    parts.append(TIMES.format(n=next(iter(times.values()))["n"]))
    for model, each in times.items():
        share = 100 * (each["gate"] / each["runtime"] - 1)
        figures = f"{each['gate']:.3f} | {each['runtime']:.3f} | {share:+.1f} % | {each['added_us']:.0f} us"
        parts.append(f"| {model} | {figures} |\n")
    return "".join(parts)


def _load(found: Mapping[str, Any]) -> str:
    measured = [*found["load"], *found["latency"]["load"], *(load for each in found["grown"] for load in each["load"])]
    return f"{min(measured):.1f} to {max(measured):.1f}"


def _line(title: str, renderings: int, seconds: float, spent: float, faster: str = " | ") -> str:
    rate, each = renderings / seconds, 1e3 * spent / renderings
    return f"| {title} | {renderings:,} | {seconds:.1f} | {rate:,.0f} | {each:.2f} | {faster} |\n"


def _times(loop: Mapping[str, Any], gate: Mapping[str, Any], what: str) -> str:
    """Of the whole gate, and of those stages alone that the loop has too, a rendering each."""
    whole = gate[what]
    each = loop[what] if isinstance(loop[what], float) else sum(loop[what].values())
    each *= gate["renderings"] / loop["renderings"]
    alike = whole["rendered"] + whole["scored"]
    return f"{each / sum(whole.values()):.2f} (without checks, build and judging {each / alike:.2f})"
