"""The front end's arithmetic, one for host and board: audio in, features out, by kaldi-native-fbank.

``front`` is anything with the fields of ``harness.audio.frontend.FrontEnd``.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Features = npt.NDArray[np.float32]
    Audio = npt.NDArray[Any]


def computer(front: Any) -> Any:
    """kaldi-native-fbank's own object for one window. Raises ValueError for options it cannot take."""
    import kaldi_native_fbank as knf  # lazily: the import costs more than parsing a model.toml

    options = knf.MfccOptions() if front.kind == "mfcc" else knf.FbankOptions()
    frame = options.frame_opts
    frame.dither = 0.0  # dither is random: figures would not repeat
    frame.samp_freq = front.sample_rate
    frame.frame_length_ms = front.frame_length_ms
    frame.frame_shift_ms = front.frame_shift_ms
    frame.preemph_coeff = front.preemphasis
    frame.window_type = front.window
    frame.snip_edges = True
    frame.remove_dc_offset = True
    options.mel_opts.num_bins = front.mel_bins
    options.mel_opts.low_freq = front.low_hz
    options.mel_opts.high_freq = front.high_hz
    if front.kind == "mfcc":
        options.num_ceps = front.cepstra
    return knf.OnlineMfcc(options) if front.kind == "mfcc" else knf.OnlineFbank(options)


def compute(front: Any, fresh: Any, audio: Audio) -> Features:
    """Features ``(frames, bins)`` of ``(samples,)`` int16, or float32 in [-1, 1], by a fresh ``computer``."""
    fresh.accept_waveform(front.sample_rate, numbers(audio))
    fresh.input_finished()
    rows = [fresh.get_frame(i) for i in range(fresh.num_frames_ready)]
    if not rows:
        raise ValueError(f"{audio.shape[0]} samples are shorter than one frame of {front.frame_length_ms:g} ms")
    return normal(front, np.stack(rows))


def numbers(audio: Audio) -> Any:
    """Samples as the library takes them: of this kind of array faster than of a list, or of NumPy's."""
    wave = audio.astype(np.float32)
    if audio.dtype != np.int16:
        wave *= 32768.0
    found = array("f")
    found.frombytes(wave.tobytes())
    return found


def normal(front: Any, rows: Features) -> Features:
    """Frames ``(..., bins)`` as the library gives them, by the front end's mean and scale."""
    found: Features = (rows.astype(np.float32) - np.float32(front.mean)) / np.float32(front.scale)
    return found


def features(front: Any, audio: Audio) -> Features:
    """Features of one window."""
    return compute(front, computer(front), audio)
