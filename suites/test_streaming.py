"""Streaming: a wake word in hours of audio; and the state that makes it a stream."""

from __future__ import annotations

import pytest

from harness.gates import streaming as gates
from harness.gates import wakeword

pytestmark = pytest.mark.task("wakeword")


@pytest.mark.gate("stream")
def test_words(build, candidate, listening, run, record, show):
    heard, point = listening
    show.tradeoff(heard, point)
    record(*wakeword.judge(build, heard, point, run.words(candidate, heard)))


@pytest.mark.gate("whole")
def test_whole(build, whole, record):
    record(gates.whole(build, whole))


@pytest.mark.gate("float path")
def test_float_path(build, own_path, record):
    record(gates.converted(build, own_path))


@pytest.mark.gate("reset")
def test_reset(build, probe, record):
    record(gates.reset(build, probe))


@pytest.mark.gate("state")
def test_state(build, states, record):
    record(gates.scales(build, states))


@pytest.mark.gate("drift_db")
def test_drift(build, against, record):
    record(gates.aligned(build, against), *gates.drift(build, against))


def test_golden(golden_build, released, house, record):
    record(gates.golden(golden_build, released, house.options.golden))
