"""TensorFlow Lite Micro's front end, by pymicro-features: what ready-made wake word models were trained with.

It reduces noise and gain by what it has heard before, so that features depend on the whole stream: it is an ear that
goes on listening, not a function of a window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.errors import Unsupported

if TYPE_CHECKING:
    from harness.audio.frontend import FrontEnd

Rows = npt.NDArray[np.float32]

HOP = 160  # samples it takes at a time: 10 ms
BINS = 40
FIXED = {"sample_rate": 16000, "frame_length_ms": 30.0, "frame_shift_ms": 10.0, "mel_bins": BINS}


class MicroEar:
    """Features of int16 audio ``(samples,)`` as it comes: ``(frames, 40)`` float32, then ``(x - mean) / scale``."""

    def __init__(self, front: FrontEnd) -> None:
        try:
            from pymicro_features import MicroFrontend  # lazily: only imported candidates need it
        except ImportError as error:
            raise Unsupported(
                "this front end is TensorFlow Lite Micro's, which is not installed; run: pip install pymicro-features"
            ) from error
        self._inner: Any = MicroFrontend()
        self._mean, self._scale = np.float32(front.mean), np.float32(front.scale)
        self._left = np.zeros(0, np.int16)

    def hear(self, audio: npt.NDArray[np.int16]) -> Rows:
        whole = np.concatenate([self._left, audio])
        count = len(whole) // HOP * HOP
        self._left = whole[count:]
        rows = [
            found.features
            for piece in whole[:count].astype("<i2").reshape(-1, HOP)
            if (found := self._inner.process_samples(piece.tobytes())).features
        ]
        return (np.array(rows, np.float32).reshape(-1, BINS) - self._mean) / self._scale
