"""All faults of the zoo, upstream first. What is tasks' own joins here: streaming, events, CTC."""

from __future__ import annotations

from tests.faults.zoo import boards, builds, speech, streams, upstream
from tests.faults.zoo.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *upstream.FAULTS,
    *builds.FAULTS,
    *boards.FAULTS,
    *streams.FAULTS,
    *speech.FAULTS,
)
