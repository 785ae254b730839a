"""Calibration of a streaming step: what it is fed when it hears windows in their order, state and all.

The ranges of a state can be had in no other way: a state that was never reached by listening has no range, and one
range for the state as it goes in and another as it comes out would requantize it at every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.agent.ort import session_options
from harness.onnxfile import Onnx, as_inputs

Array = npt.NDArray[np.float32]
Feed = dict[str, Array]


def feeds(model: Path, described: Onnx, windows: Array) -> Iterator[Feed]:
    """The inputs of each step by name, as the float step hears ``windows`` ``(n, frames, bins)`` from silence."""
    import onnxruntime

    after = [state.next for state in described.states]
    if not after:  # nothing is remembered, so nothing has to be heard: not every model of a vendor's runs here
        yield from ({described.input_name: window[np.newaxis]} for window in as_inputs(windows, described))
        return
    session = onnxruntime.InferenceSession(str(model), session_options(), providers=["CPUExecutionProvider"])
    state = {each.name: np.zeros(each.shape, np.float32) for each in described.states}
    for window in as_inputs(windows, described):
        feed = {described.input_name: window[np.newaxis], **state}
        yield feed
        state = dict(zip(state, session.run(after, feed), strict=True))


def stacked(model: Path, described: Onnx, windows: Array) -> Feed:
    """The same as one array ``(n, ...)`` for each input."""
    each = list(feeds(model, described, windows))
    return {name: np.concatenate([feed[name] for feed in each]) for name in each[0]} if each else {}


def ranges(model: Path, described: Onnx, windows: Array) -> dict[str, tuple[float, float]]:
    """Least and greatest value of each state, by the names of its input and of its output alike."""
    found: dict[str, tuple[float, float]] = {}
    heard = stacked(model, described, windows)
    for state in described.states:
        values = heard[state.name]
        found[state.name] = found[state.next] = float(values.min()), float(values.max())
    return found
