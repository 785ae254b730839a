"""Latency: inference alone and end to end (audio in, front end, inference, decision)."""

from __future__ import annotations

import pytest

from harness.gates import latency as gates
from harness.measure import device_clock, replay


@pytest.mark.gate("latency_ms")
@pytest.mark.benchmark(timer=device_clock)
def test_inference(build, inference, beside, record, show, benchmark):
    replay(benchmark, inference.samples_ms)
    show.latency(inference, "inference")
    show.beside(beside)
    record(*gates.judge(build, inference, "latency_ms"))


@pytest.mark.gate("end_to_end_ms")
@pytest.mark.benchmark(timer=device_clock)
def test_end_to_end(build, timings, beside, record, show, benchmark):
    replay(benchmark, timings.total.samples_ms)
    show.latency(timings.total, "end to end")
    show.beside(beside)
    record(*gates.judge(build, timings.total, "end_to_end_ms"))


@pytest.mark.gate("slowdown")
def test_slowdown(build, side_by_side, record):
    record(gates.slowdown(build, side_by_side))
