"""Training sequences: words with pauses between them, in rooms and noise, some of them the wake word.

    python -m models.computer.sequences --speech DIR --data ../shared/data

Run from the root of the checkout, with the extras ``train`` and ``corpus`` installed. DIR holds the synthetic training
speech (models/computer/speech.py), and is made where it is absent. Real speech is the train split of corpora/wakewords;
nothing else of it is heard, and no digit. Everything random is seeded. Writes DIR/sequences.npz, which ``train.py`` and
``finetune.py`` read.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from harness.audio.clip import Clip, read_clip
from harness.audio.corpus import load_corpus
from harness.audio.frontend import FrontEnd
from harness.audio.synth.build import build_corpus
from harness.cache import digest
from models.commands.augment import augment
from models.computer.speech import WORD, training_plan

HERE = Path(__file__).resolve().parent
KEPT = "sequences.npz"
SEED = 31
SEQUENCES = 12000
STEPS = 40  # of a sequence: 3.2 s
WITH_WORD = 0.4  # of the sequences
REAL_WORD, REAL_OTHER = 0.4, 0.25  # of the words in them, where real speech is at hand
GAP_S = (0.03, 0.7)
SPEED = (17, 23)  # over 20
LEVEL_DB = (-6.0, 6.0)  # of one word against another
FLOOR_DB = (-96.0, -45.0)
SPEECH_DB = -35.0  # below the loudest frame
FRAME = 160
FIRES_S = 0.35  # after the word's end: wanted
BEFORE_S, AFTER_S = 0.3, 1.0  # around its end: neither wanted nor wrong

Wave = npt.NDArray[np.float32]
Features = npt.NDArray[np.float16]
Marks = npt.NDArray[np.int8]  # of each step: 1 the word has just ended, 0 it has not, -1 either will do


@dataclass(frozen=True, slots=True)
class Speech:
    """Trimmed recordings: the wake word and others, real and synthetic."""

    word_real: list[Wave]
    word: list[Wave]
    other_real: list[Wave]
    other: list[Wave]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask_for_speech(parser)
    asked = parser.parse_args()
    print(laid(asked.speech, asked.data))


def ask_for_speech(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--speech", type=Path, required=True, help="folder of the synthetic speech; built if absent")
    parser.add_argument("--data", type=Path, help="folder that holds wakewords/; default as pytest's --data")


def laid(folder: Path, data: Path | None) -> Path:
    """The file of ``features`` ``(n, frames, bins)`` and ``marks`` ``(n, steps)``, made where it is absent or old."""
    frontend = FrontEnd(**tomllib.loads((HERE / "model.toml").read_text(encoding="utf-8"))["frontend"])
    kept, made_by = folder / KEPT, digest(Path(__file__), frontend.model_dump())
    if kept.exists():
        with np.load(kept, allow_pickle=False) as made:
            if str(made["made_by"]) == made_by:
                return kept
    training = folder / "corpora" / "training"
    if not (training / "manifest.tsv").exists():
        build_corpus(training_plan(), training)
    synthetic = load_corpus("training", folder).clips
    real = load_corpus("wakewords", HERE.parents[1], data).split("train").clips
    speech = Speech(*(trimmed(clips, word) for word in (True, False) for clips in (real, synthetic)))
    features, marks = sequences(speech, frontend.lasting(STEPS))
    np.savez(kept, features=features, marks=marks, made_by=np.array(made_by))
    return kept


def trimmed(clips: Sequence[Clip], word: bool) -> list[Wave]:
    """The clips that say the wake word (or that do not), without the silence around them."""
    return [trim(read_clip(clip, 16000)) for clip in clips if (clip.label == WORD) == word]


def trim(audio: Wave) -> Wave:
    frames = audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    level = np.square(frames).mean(axis=1)
    loud = np.flatnonzero(level > level.max() * 10 ** (SPEECH_DB / 10))
    speech = audio[loud[0] * FRAME : (loud[-1] + 1) * FRAME]
    return speech / np.float32(np.sqrt(np.square(speech).mean()) + 1e-9) * np.float32(0.05)


def sequences(speech: Speech, frontend: FrontEnd) -> tuple[Features, Marks]:
    """``(n, frames, bins)`` and ``(n, steps)``."""
    global _speech  # forked: the recordings are not sent with each piece of work
    _speech = speech
    with ProcessPoolExecutor(2) as pool:
        made = list(pool.map(sequence, range(SEQUENCES), [frontend] * SEQUENCES, chunksize=64))
    return np.stack([features for features, _ in made]), np.stack([marks for _, marks in made])


_speech: Speech


def sequence(number: int, frontend: FrontEnd) -> tuple[Features, Marks]:
    """Words with pauses between them, in a room with noise; in some of them the wake word."""
    own = np.random.default_rng([SEED, number])
    audio = (own.standard_normal(frontend.samples) * 10 ** (own.uniform(*FLOOR_DB) / 20)).astype(np.float32)
    marks = np.zeros(STEPS, np.int8)
    wanted = own.random() < WITH_WORD
    place = -int(own.uniform(0, 1.0) * 16000)  # the first word may have begun before
    while place < len(audio):
        now = wanted and own.random() < 0.5 and place >= 0
        spoken = draw(_speech, now, own)
        if now and place + len(spoken) > len(audio):
            break
        lay(audio, spoken, place)
        place += len(spoken)
        if now:
            mark(marks, place / 16000, frontend)
            wanted = False
        place += int(own.uniform(*GAP_S) * 16000)
    heard = augment(audio, f"{SEED}/{number}") if own.random() < 0.8 else audio
    return frontend.features(heard).astype(np.float16), marks


def draw(speech: Speech, word: bool, own: np.random.Generator) -> Wave:
    """One recording at another speed and level."""
    real, made = (speech.word_real, speech.word) if word else (speech.other_real, speech.other)
    pile = real if own.random() < (REAL_WORD if word else REAL_OTHER) else made
    spoken = resample_poly(pile[own.integers(len(pile))], int(own.integers(*SPEED, endpoint=True)), 20)
    return np.asarray(spoken * 10 ** (own.uniform(*LEVEL_DB) / 20), np.float32)


def lay(audio: Wave, spoken: Wave, place: int) -> None:
    begin, end = max(0, place), min(len(audio), place + len(spoken))
    if end > begin:
        audio[begin:end] += spoken[begin - place : end - place]


def mark(marks: Marks, end_s: float, frontend: FrontEnd) -> None:
    """What each step should say of a word that ends at ``end_s``. A step speaks when its last frame is over."""
    step = frontend.hop // STEPS  # of one chunk: the front end is of all of them
    spoken_s = (step * (1 + np.arange(STEPS)) + frontend.overlap) / frontend.sample_rate
    late = spoken_s - end_s
    marks[(late >= -BEFORE_S) & (late <= AFTER_S)] = -1
    marks[(late >= 0) & (late <= FIRES_S)] = 1


if __name__ == "__main__":
    main()
