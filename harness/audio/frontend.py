"""The front end: audio in, features out, one definition for host and board.

The arithmetic is kaldi-native-fbank's (Apache-2.0, wheels for x86_64 and aarch64), called by
``harness.agent.frontend``: the board runs the very same lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.agent.frontend import compute, computer, normal, numbers
from harness.audio import pool
from harness.audio.micro import FIXED, MicroEar
from harness.errors import CandidateError, Unsupported

Features = npt.NDArray[np.float32]
Audio = npt.NDArray[np.int16] | npt.NDArray[np.float32]


class FrontEnd(BaseModel):
    """Parameters of a log-mel or MFCC front end, or of TensorFlow Lite Micro's (``micro``), whose own are fixed.

    ``window_s`` seconds of mono audio become a ``frames x bins`` matrix of float32: natural-log
    mel energies (``fbank``) or cepstra (``mfcc``), then ``(x - mean) / scale``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["fbank", "mfcc", "micro"] = "fbank"
    sample_rate: int = Field(16000, ge=4000, le=48000)
    window_s: float = Field(1.0, gt=0, le=30)
    frame_length_ms: float = Field(30.0, gt=1, le=200)
    frame_shift_ms: float = Field(20.0, gt=1, le=200)
    mel_bins: int = Field(40, ge=4, le=128)
    cepstra: int = Field(10, ge=1, le=128)
    low_hz: float = Field(20.0, ge=0)
    high_hz: float = Field(7600.0, gt=0)
    preemphasis: float = Field(0.97, ge=0, lt=1)
    window: Literal["povey", "hanning", "hamming"] = "hanning"
    mean: float = 0.0
    scale: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> FrontEnd:
        if self.high_hz > self.sample_rate / 2:
            raise ValueError(
                f"high_hz = {self.high_hz:g} lies above half the sample rate ({self.sample_rate / 2:g} Hz)"
            )
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz = {self.low_hz:g} is not below high_hz = {self.high_hz:g}")
        if self.frames < 1:
            raise ValueError(f"window_s = {self.window_s:g} is shorter than one frame of {self.frame_length_ms:g} ms")
        if self.kind == "mfcc" and self.cepstra > self.mel_bins:
            raise ValueError(f"cepstra = {self.cepstra} exceeds mel_bins = {self.mel_bins}")
        if self.kind == "micro" and any(getattr(self, name) != value for name, value in FIXED.items()):
            fixed = ", ".join(f"{name} = {value:g}" for name, value in FIXED.items())
            raise ValueError(f"TensorFlow Lite Micro's front end is made for {fixed}; state those")
        return self

    @property
    def samples(self) -> int:
        """Samples of audio in one window."""
        return round(self.window_s * self.sample_rate)

    @property
    def bins(self) -> int:
        return self.cepstra if self.kind == "mfcc" else self.mel_bins

    @property
    def frames(self) -> int:
        """Whole frames in one window (Kaldi's snip_edges: no padding at the edges)."""
        length, shift = self._samples_in(self.frame_length_ms), self._samples_in(self.frame_shift_ms)
        return 1 + (self.samples - length) // shift if self.samples >= length else 0

    @property
    def hop(self) -> int:
        """Samples from one window to the next of a stream, so that their frames follow each other."""
        return self.frames * self._samples_in(self.frame_shift_ms)

    @property
    def overlap(self) -> int:
        """Samples that a window of a stream shares with the next."""
        return self._samples_in(self.frame_length_ms) - self._samples_in(self.frame_shift_ms)

    @property
    def step_s(self) -> float:
        """Seconds from one window of a stream to the next."""
        return self.hop / self.sample_rate

    def lasting(self, steps: int) -> FrontEnd:
        """The same front end over the frames of ``steps`` windows at once."""
        return self.model_copy(update={"window_s": (steps * self.hop + self.overlap) / self.sample_rate})

    @property
    def made_by(self) -> str:
        """What computes the features, with its version."""
        name = "pymicro-features" if self.kind == "micro" else "kaldi-native-fbank"
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError as error:
            raise Unsupported(f"a front end needs {name}, which is not installed; run: pip install {name}") from error

    def _samples_in(self, milliseconds: float) -> int:
        """As the library counts: single precision, cut off rather than rounded."""
        return int(self.sample_rate * 0.001 * float(np.float32(milliseconds)))

    def features(self, audio: Audio) -> Features:
        """Features of one window.

        ``audio`` is ``(samples,)``, int16 or float32 in [-1, 1]; returns ``(frames, bins)``.
        """
        if self.kind == "micro":
            pcm = audio if audio.dtype == np.int16 else np.rint(audio * np.float32(32768)).clip(-32768, 32767)
            return MicroEar(self).hear(pcm.astype(np.int16))
        return compute(self, self._computer(), audio)

    def batch(self, audio: Audio) -> Features:
        """Features of many windows: ``(n, samples)`` to ``(n, frames, bins)``."""
        found = np.zeros((len(audio), self.frames, self.bins), np.float32)
        for number, part in enumerate(self.parts(audio)):
            found[number * pool.SIZE :][: pool.SIZE] = part
        return found

    def parts(self, audio: Audio) -> Iterator[Features]:
        """As :meth:`batch`, some windows at a time: more may be asked for than memory holds."""
        asked = self.model_dump()
        if self.kind != "micro":
            self._computer()  # raises here what no part could compute
        for part in pool.over(features_part, ((asked, rows) for rows in pool.rows(audio)), len(audio)):
            yield np.frombuffer(part, np.float32).reshape(-1, self.frames, self.bins)

    def together(self, audio: Audio) -> Features:
        """As :meth:`batch`, here and at once: windows are laid end to end, and frames across two of them left out."""
        shift = self._samples_in(self.frame_shift_ms)
        if self.kind == "micro" or audio.shape[1] != self.samples:
            return np.stack([self.features(wave) for wave in audio]).astype(np.float32)
        steps = -(-self.samples // shift)
        ear, silence = self._computer(), np.zeros(steps * shift - self.samples, audio.dtype)
        for wave in audio:
            ear.accept_waveform(self.sample_rate, numbers(np.concatenate((wave, silence))))
        own = (window * steps + frame for window in range(len(audio)) for frame in range(self.frames))
        frames = np.stack([ear.get_frame(index) for index in own])
        return normal(self, frames).reshape(-1, self.frames, self.bins)

    def _computer(self) -> Any:
        try:
            return computer(self)
        except ValueError as error:
            raise CandidateError(
                f"[frontend] cannot be computed by kaldi-native-fbank: {error} With frames of "
                f"{self.frame_length_ms:g} ms at {self.sample_rate} Hz take fewer mel_bins than "
                f"{self.mel_bins}, or longer frames."
            ) from error


def features_part(request: tuple[dict[str, Any], pool.Rows]) -> bytes:
    """Features of some windows ``(n, samples)``: builtin values, for whatever process does it."""
    asked, rows = request
    return FrontEnd(**asked).together(pool.taken(rows)).tobytes()
