"""docs/speed.md, from what a run measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = """# How fast a gate is

Written by `python -m benchmarks.speed`; evidence: host, {processors} processors. `load` is the load average a part
began and ended with: where it is above the number of processors, others used them too. Seconds are then of a share,
and processor time can be compared, though it too grows on a busy machine.
"""
LOOPS = """
## Against a loop written by hand

The loop: for every condition and clip read it, render it, make its features, run the float and the int8 model once. It
is given its int8 model and its imports, and judges nothing. `same` renders what the gate renders, to the bit, by
audiomentations, scipy and soundfile (benchmarks/speed/byhand.py), its rooms given; `usual` is written with
audiomentations' classes alone, a room simulated for every clip (without tracing rays). Both have one process. The gate
is whole: it starts, checks the corpus, renders, calibrates, builds, runs, resamples and judges.

| | clips | renderings | seconds | a second | processor ms each | gate: times as fast | by processor time | load |
|---|---|---|---|---|---|---|---|---|
"""
STAGES = """
| stage, cold, {clips:,} clips | seconds | processor s | processor ms a rendering |
|---|---|---|---|
"""
BOUND = """
What bounds it: features are kaldi-native-fbank's, frame by frame, on host and board alike, and take {features:.0f} %
of the cold gate's processor time; noise is drawn number by number from the generator audiomentations draws from, and
the device's codec is libsndfile's. None of them may change, to the bit, since golden outputs hang on them. A gate of
{clips:,} clips spends {fixed:.0f} % of its processor time on what does not grow with them (start, building, judging),
and more on helpers' imports.
{aim}"""
GROWTH = """
## As clips grow

One condition (clean), cold. RSS is the greatest seen, of the gate's own process and with its helpers.

| clips | seconds | processor s | processor ms a rendering | RSS MiB | with helpers | load |
|---|---|---|---|---|---|---|
"""
TIMES = """
## What measuring adds to a latency

The gate's inference by the gate's clock, input and output copied as an application has to, beside onnxruntime's own
`Run` (its C API, tensors ready, as its `onnxruntime_perf_test` times it), in turns; n = {n:,} of each, p50. `by name`
is `session.run` as most Python calls it. Load {load}.

| model | gate ms | onnxruntime ms | added | by name, ms |
|---|---|---|---|---|
"""
RENDERED = ("rendered", "features", "scored")
ONCE = ("start", "built", "judged")
AIM = 5


def text(found: Mapping[str, Any]) -> str:
    parts = [HEAD.format(**found), LOOPS]
    for each in found["compared"]:
        parts += _rows(each)
    for each in found["compared"]:
        if "identical" in each:
            same, rows = each["identical"]
            told = "the same" if each["warm_identical"] else "not all the same"
            parts.append(
                f"\nOf {each['clips']:,} clips {same} of {rows} verdicts of accuracy are the `same` loop's to the last "
                f"digit; warm, they are {told}.\n"
            )
    for each in found["compared"]:
        parts.append(STAGES.format(**each))
        parts += _stages(each["gate"])
    parts.append(_bound(found["compared"], found["processors"]))
    parts.append(GROWTH)
    for each in found["grown"]:
        seconds, spent, n = sum(each["seconds"].values()), sum(each["processor"].values()), each["renderings"]
        memory = f"{each['rss_mib']:.0f} | {each['with_helpers_mib']:.0f}"
        parts.append(
            f"| {each['clips']:,} | {seconds:.0f} | {spent:.0f} | {1e3 * spent / n:.2f} | {memory} | {_load(each)} |\n"
        )
    times = found["latency"]["models"]
    parts.append(TIMES.format(n=next(iter(times.values()))["n"], load=_load(found["latency"])))
    for model, each in times.items():
        share = 100 * (each["gate"] / each["runtime"] - 1)
        parts.append(
            f"| {model} | {each['gate']:.4f} | {each['runtime']:.4f} | {share:+.1f} % | {each['by_name']:.4f} |\n"
        )
    return "".join(parts)


def _rows(each: Mapping[str, Any]) -> list[str]:
    gate, warm = each["gate"], each["warm"]
    told = [_line("gate, cold", each["clips"], gate, ""), _line("gate, warm", each["clips"], warm, "")]
    for name in ("same", "usual"):
        ratios = " | ".join(f"{_times(each[name], gate, what):.2f}" for what in ("seconds", "processor"))
        told.append(_line(f"loop, `{name}`", _clips(each[name]), each[name], ratios))
    return told


def _clips(loop: Mapping[str, Any]) -> int:
    return int(loop["renderings"]) // int(loop["conditions"])


def _line(title: str, clips: int, run: Mapping[str, Any], ratios: str) -> str:
    seconds, spent, n = _whole(run, "seconds"), _whole(run, "processor"), run["renderings"]
    return (
        f"| {title} | {clips:,} | {n:,} | {seconds:.1f} | {n / seconds:,.0f} | {1e3 * spent / n:.2f} "
        f"| {ratios or ' | '} | {_load(run)} |\n"
    )


def _stages(gate: Mapping[str, Any]) -> list[str]:
    told = []
    for stage, seconds in gate["seconds"].items():
        spent = gate["processor"][stage]
        each = f"{1e3 * spent / gate['renderings']:.2f}" if stage in RENDERED else ""
        told.append(f"| {stage} | {seconds:.1f} | {spent:.1f} | {each} |\n")
    return told


def _bound(compared: list[Mapping[str, Any]], processors: int) -> str:
    gate, largest = compared[0]["gate"], compared[-1]
    spent = _whole(gate, "processor")
    aims = []
    for name in ("same", "usual"):
        seconds, share = (_times(largest[name], largest["gate"], what) for what in ("seconds", "processor"))
        word = "reached" if seconds >= AIM else "not reached"
        aims.append(f"against `{name}` {word}: {seconds:.1f} in seconds, at most {share * processors:.1f}")
    told = ";\n".join(aims)
    aim = (
        f"\nThe aim is {AIM} times the loop. Where {processors} processors are free, a gate is at most {processors} "
        f"times as fast\nas by processor time. With {largest['clips']:,} clips it is\n{told}.\n"
    )
    return BOUND.format(
        features=100 * gate["processor"]["features"] / spent,
        fixed=100 * sum(gate["processor"][stage] for stage in ONCE) / spent,
        clips=compared[0]["clips"],
        aim=aim,
    )


def _whole(run: Mapping[str, Any], what: str) -> float:
    return float(run[what]) if isinstance(run[what], float) else float(sum(run[what].values()))


def _times(loop: Mapping[str, Any], gate: Mapping[str, Any], what: str) -> float:
    """How many times as long the loop takes as the whole gate, a rendering each."""
    return _whole(loop, what) / loop["renderings"] * gate["renderings"] / _whole(gate, what)


def _load(run: Mapping[str, Any]) -> str:
    before, after = run["load"]
    return f"{before:.1f} to {after:.1f}"
