"""One clip: where its audio lies, how it is read, how it is cut to a model's window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from harness.errors import CorpusError

Wave = npt.NDArray[np.float32]
Split = Literal["test", "calibration", "train"]

MAX_CLIP_BYTES = 20 * 1024 * 1024
MAX_CLIP_S = 60.0


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance. ``resample`` is true where a layout allows audio of another rate than its corpus', ``mixed``
    where it allows several channels: their mean is heard.
    """

    id: str
    path: Path
    label: str
    speaker: str
    accent: str
    split: Split
    sha256: str | None = None
    resample: bool = False
    mixed: bool = False


def read_clip(clip: Clip, sample_rate: int) -> Wave:
    """The audio of a clip: ``(samples,)`` float32, mono, full scale 1, at ``sample_rate``.

    Raises CorpusError for audio that is missing, unreadable, too large, of several channels, or of another
    rate where the layout does not resample.
    """
    audio, rate = decode(clip)
    if rate == sample_rate:
        return audio
    if not clip.resample:
        raise CorpusError(
            f"wrong rate: clip {clip.id!r} ({clip.path}) is at {rate} Hz, its corpus at {sample_rate} Hz. "
            f"Convert it (ffmpeg -i IN -ar {sample_rate} OUT), or state sample_rate = {rate} in corpus.toml."
        )
    import soxr  # lazily: only corpora of another rate need it

    return np.asarray(soxr.resample(audio, rate, sample_rate, quality="HQ"), np.float32)


def decode(clip: Clip) -> tuple[Wave, int]:
    """``(samples,)`` float32 and the file's own rate, within the limits of size and length."""
    import soundfile

    if not clip.path.is_file():
        raise CorpusError(f"clip {clip.id!r}: {clip.path} is missing. Restore it, or drop its row.")
    size = clip.path.stat().st_size
    if size > MAX_CLIP_BYTES:
        raise CorpusError(
            f"clip {clip.id!r}: {clip.path} is {size >> 20} MiB, more than {MAX_CLIP_BYTES >> 20}; "
            "cut it to utterances."
        )
    try:
        with soundfile.SoundFile(clip.path) as file:
            if file.channels != 1 and not clip.mixed:
                raise CorpusError(
                    f"clip {clip.id!r}: {clip.path} has {file.channels} channels; which one the device hears "
                    "is yours to say. Convert it to mono (ffmpeg -i IN -ac 1 OUT)."
                )
            if file.frames > MAX_CLIP_S * file.samplerate:
                raise CorpusError(
                    f"clip {clip.id!r}: {clip.path} lasts {file.frames / file.samplerate:.0f} s, more than "
                    f"{MAX_CLIP_S:.0f} s; cut it to utterances."
                )
            audio = file.read(dtype="float32", always_2d=True)
            return np.asarray(audio.mean(axis=1) if clip.mixed else audio[:, 0], np.float32), file.samplerate
    except soundfile.SoundFileError as error:
        raise CorpusError(
            f"clip {clip.id!r}: {clip.path} is no readable audio ({error}); convert it to WAV or FLAC."
        ) from error


def write_clip(path: Path, audio: npt.NDArray[np.int16], sample_rate: int) -> None:
    """One rendering ``(samples,)`` as FLAC, to be listened to."""
    import soundfile

    soundfile.write(path, audio, sample_rate, format="FLAC", subtype="PCM_16")


def fit(audio: Wave, samples: int) -> Wave:
    """Exactly ``samples`` long: zero-padded on both sides, or the window of most energy."""
    spare = samples - audio.shape[0]
    if spare == 0:
        return audio
    if spare > 0:
        return np.pad(audio, (spare // 2, spare - spare // 2))
    energy = np.concatenate(([0.0], np.cumsum(np.square(audio, dtype=np.float64))))
    start = int(np.argmax(energy[samples:] - energy[:-samples]))
    return audio[start : start + samples]
