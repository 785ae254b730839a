"""Front end parity: what host and board make of the same audio, bin by bin, and what explains a difference.

A board that computes other features feeds a good model nonsense: no figure of the model shows it, and no change
of the model mends it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

REPEATS = 1e-5  # by which two runs over the same audio may differ where nothing is random
EXPLAINED = 0.1  # of the difference, left over by what explains it
QUIETER = 5.0  # times as wrong in the quiet as in the loud half of the frames
MOST_LAG = 3  # frames
INT16_LOG = 2 * math.log(32768)  # log energy of audio in [-1, 1] below that of int16
LOG10 = 1 / math.log(10)


@dataclass(frozen=True, slots=True)
class Parity:
    """``rms`` ``(bins,)`` of the differences over all frames, in units of the features; None for other shapes.

    ``cause`` says in words what the difference looks like; empty where there is none to explain.
    """

    rms: Values | None
    frames: int
    cause: str

    @property
    def worst(self) -> float:
        """Of the worst bin; infinite where the shapes or the values cannot be compared."""
        return float(self.rms.max()) if self.rms is not None else math.inf


def compare(host: Features, board: Features, again: Features, scale: float, limit: float) -> Parity:
    """Features ``(n, frames, bins)`` of the same audio by host and board, and by the board a second time.

    ``scale`` is what the front end divides by, to tell a missing factor from a changed one; beyond ``limit``
    the cause is looked for.
    """
    frames = int(np.prod(host.shape[:2]))
    if host.shape != board.shape:
        return Parity(None, frames, _shapes(host, board))
    if not np.isfinite(board).all():
        return Parity(None, frames, f"{int((~np.isfinite(board)).sum())} features of the board are not finite")
    x, y = (values.reshape(frames, -1).astype(np.float64) for values in (host, board))
    rms = _rms(y - x, 0)
    if rms.max() <= limit:
        return Parity(rms, frames, "")
    random = float(np.abs(board - again).max()) > REPEATS
    return Parity(rms, frames, _explained(x, y, host.shape, scale, random))


def _shapes(host: Features, board: Features) -> str:
    if host.shape[2:] != board.shape[2:]:
        return (
            f"the mel count differs: the board gives {board.shape[-1]} bins a frame, [frontend] says {host.shape[-1]}; "
            "set mel_bins (or cepstra) alike on both"
        )
    return (
        f"the board gives {board.shape[1]} frames of a window, [frontend] {host.shape[1]}: frame_length_ms, "
        "frame_shift_ms, or padding at the edges differs"
    )


def _explained(x: Values, y: Values, shape: tuple[int, ...], scale: float, random: bool) -> str:
    """The first of the known causes that fits: dither, silence, scaling, a shift in time, a tilt over the bins."""
    if random:
        return (
            "the board's features of the same audio differ from one run to the next: dither is on there. Switch it "
            "off (dither = 0)"
        )
    total = float(_rms(y - x))
    loud = x.mean(axis=1) > np.median(x.mean(axis=1))
    if not loud.any():
        return (
            "no frame of the audio is louder than most, as in digital silence, so nothing tells why: record speech for "
            "device_features"
        )
    quiet_error, loud_error = float(_rms((y - x)[~loud])), float(_rms((y - x)[loud]))
    slope, offset = np.polyfit(x[loud].ravel(), y[loud].ravel(), 1)  # a floor under quiet frames is no part of it
    left = float(_rms(y[loud] - slope * x[loud] - offset))
    if left < EXPLAINED * loud_error and loud_error > total / QUIETER:
        found = f"the board gives {slope:.3g} times the host's features {offset:+.3g}"
        return f"the scaling is wrong: {found}{_hint(slope, offset, scale)}"
    if quiet_error > QUIETER * loud_error:
        return (
            "only quiet frames differ: the board adds noise before the logarithm, as a front end does whose dither "
            "was not switched off (dither = 0), or whose floor is another"
        )
    lag = _lag(x.reshape(shape), y.reshape(shape), total)
    if lag:
        return f"the board's frames come {abs(lag)} {'later' if lag > 0 else 'earlier'}: padding at the edges differs"
    return _tilt((y - x).mean(axis=0), total)


def _hint(slope: float, offset: float, scale: float) -> str:
    if abs(slope - 1) < 0.02 and abs(abs(offset) - INT16_LOG / scale) < 0.05 * INT16_LOG / scale:
        return ": audio in [-1, 1] where the other takes int16 (32,768 times as much)"
    if abs(slope - LOG10) < 0.01:
        return ": a decimal logarithm in place of the natural one"
    if abs(slope - scale) < 0.02 * scale:
        return ": mean and scale of [frontend] are not applied"
    return ": compare mean, scale and the gain of the audio"


def _lag(x: Values, y: Values, total: float) -> int:
    for lag in range(1, min(MOST_LAG, x.shape[1] - 1) + 1):
        if _rms(y[:, lag:] - x[:, :-lag]) < EXPLAINED * total:
            return lag
        if _rms(y[:, :-lag] - x[:, lag:]) < EXPLAINED * total:
            return -lag
    return 0


def _tilt(mean: Values, total: float) -> str:
    bins = np.arange(len(mean))
    if len(mean) > 2 and float(np.ptp(mean)) > 0:
        slope = float(np.corrcoef(bins, mean)[0, 1])
        if abs(slope) > 0.9 and float(np.abs(mean).max()) > total / 2:
            return (
                f"the difference {'rises' if slope > 0 else 'falls'} over the bins, from {mean[0]:+.2g} to "
                f"{mean[-1]:+.2g}: preemphasis, or low_hz and high_hz, differ"
            )
    worst = ", ".join(str(each) for each in np.argsort(-np.abs(mean))[:3])
    return f"no single cause explains it; bins {worst} differ most: compare window, mel filters and preemphasis"


def _rms(values: Values, axis: int | None = None) -> Values:
    found: Values = np.sqrt(np.square(values).mean(axis=axis))
    return found
