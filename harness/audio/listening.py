"""The front end of a stream: chunks of audio in, the features of each step out, nothing heard twice or lost.

A step has ``frontend.frames`` frames. Frames of kaldi-native-fbank depend on their own samples alone, so that those of
a stream are those of its windows, whatever the chunks were; TFLite Micro's front end keeps a state of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from harness.audio.conditions import Pcm
from harness.audio.frontend import Features, FrontEnd
from harness.audio.micro import MicroEar


def steps(frontend: FrontEnd, chunks: Iterable[Pcm]) -> Iterator[Features]:
    """Features ``(steps, frames, bins)`` of as many whole steps as each chunk of int16 ``(samples,)`` completes.

    Chunks may have any length; samples behind the last whole step are not heard.
    """
    if frontend.kind == "micro":
        yield from _micro(frontend, chunks)
        return
    left = np.zeros(0, np.int16)
    for chunk in chunks:
        left = np.concatenate([left, chunk])
        count = max(0, (len(left) - frontend.overlap) // frontend.hop)
        if count:
            yield _block(frontend, left[: count * frontend.hop + frontend.overlap], count)
            left = left[count * frontend.hop :]


def _micro(frontend: FrontEnd, chunks: Iterable[Pcm]) -> Iterator[Features]:
    ear, left = MicroEar(frontend), np.zeros((0, frontend.bins), np.float32)
    for chunk in chunks:
        left = np.concatenate([left, ear.hear(chunk)])
        count = len(left) // frontend.frames
        if count:
            yield left[: count * frontend.frames].reshape(count, frontend.frames, frontend.bins)
            left = left[count * frontend.frames :]


def _block(frontend: FrontEnd, audio: Pcm, count: int) -> Features:
    return frontend.features(audio).reshape(count, frontend.frames, frontend.bins)
