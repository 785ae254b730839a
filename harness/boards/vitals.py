"""What a board said of itself while it was measured, and whether that makes its figures its model's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Sample = Mapping[str, Any]

PINNED = "performance"
SLOWER = 0.95  # of the highest clock allowed at the start
WAITED = 0.03  # of the time, ready to run while another process ran


def throttled(samples: Sequence[Sample], governors: Mapping[str, str]) -> str:
    """What slowed the board down between the first and the last sample, in words; empty where nothing did."""
    if len(samples) < 2:
        return ""
    return "; ".join([*_cooled(samples), *_counted(samples), *_clocked(samples, governors), *_crowded(samples)])


def _cooled(samples: Sequence[Sample]) -> Iterable[str]:
    for name in samples[0]["cooling"]:
        most = max(sample["cooling"].get(name, 0) for sample in samples)
        if most > 0:
            yield f"cooling device {name} at step {most}{_hottest(samples)}"


def _counted(samples: Sequence[Sample]) -> Iterable[str]:
    more = samples[-1]["throttles"] - samples[0]["throttles"]
    if more > 0:
        yield f"the CPU throttled itself {more} times{_hottest(samples)}"


def _clocked(samples: Sequence[Sample], governors: Mapping[str, str]) -> Iterable[str]:
    """A clock that is held high and yet fell; a governor that moves clocks at will makes noise, not throttling."""
    for name, (_, most) in samples[0]["mhz"].items():
        clocks = [sample["mhz"][name] for sample in samples if name in sample["mhz"]]
        least = min(now for now, _ in clocks)
        limit = min(limit for _, limit in clocks)
        if limit < SLOWER * most or (governors.get(name) == PINNED and least < SLOWER * most):
            yield f"{name} at {min(least, limit):.0f} of {most:.0f} MHz{_hottest(samples)}"


def _crowded(samples: Sequence[Sample]) -> Iterable[str]:
    first, last = samples[0], samples[-1]
    wall = last["at"] - first["at"]
    if "waited_s" in first and "waited_s" in last and wall > 0:
        share = (last["waited_s"] - first["waited_s"]) / wall
        if share > WAITED:
            yield f"other processes held the CPU {share:.0%} of the time (load {last['load']:.1f})"


def _hottest(samples: Sequence[Sample]) -> str:
    zones = [(value, name) for sample in samples for name, value in sample["celsius"].items()]
    return f" ({max(zones)[1]} {max(zones)[0]:.0f} °C)" if zones else ""


def summary(samples: Sequence[Sample], governors: Mapping[str, str]) -> dict[str, Any]:
    """The same in figures, for the record: ranges of clocks and temperatures, and what happened between."""
    if not samples:
        return {}
    first, last = samples[0], samples[-1]
    found: dict[str, Any] = {
        "seconds": last["at"] - first["at"],
        "cpu_seconds": last["cpu_s"] - first["cpu_s"],
        "governors": dict(governors),
        "mhz": {name: _range([s["mhz"][name][0] for s in samples if name in s["mhz"]]) for name in first["mhz"]},
        "celsius": {
            name: _range([s["celsius"][name] for s in samples if name in s["celsius"]]) for name in first["celsius"]
        },
        "cooling": {name: max(s["cooling"].get(name, 0) for s in samples) for name in first["cooling"]},
        "throttles": last["throttles"] - first["throttles"],
        "load": max(sample["load"] for sample in samples),
    }
    if "waited_s" in first and "waited_s" in last:
        found["waited_seconds"] = last["waited_s"] - first["waited_s"]
    return found


def _range(values: Sequence[float]) -> list[float]:
    return [min(values), max(values)]
