"""The float model over a whole sequence at once, by onnxruntime: what a streaming step is held to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.agent.ort import session_options
from harness.errors import CandidateError
from harness.targets.base import Features, Scores

LONGEST = 90_000  # steps: two hours of 80 ms, some hundreds of MiB


def whole_scores(model: Path, features: Features) -> Scores:
    """Scores ``(steps,)`` for ``(steps, frames, bins)``; of the first LONGEST steps where there are more.

    Raises CandidateError where the model does not take a sequence of any length, or answers another number of steps.
    """
    import onnxruntime

    heard = np.asarray(features[:LONGEST], np.float32)
    try:
        session = onnxruntime.InferenceSession(str(model), session_options(), providers=["CPUExecutionProvider"])
        ((feed,),) = (session.get_inputs(),)
        said = session.run(None, {feed.name: heard.reshape(1, 1, -1, heard.shape[2])})[0]
    except Exception as error:  # each runtime has its own ways to say no
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CandidateError(f"{model} does not run over {len(heard)} steps at once: {first[:300]}.") from error
    if said.size != len(heard):
        raise CandidateError(f"{model} gives {said.size} scores for {len(heard)} steps; export it anew.")
    return np.asarray(said, np.float32).reshape(-1)
