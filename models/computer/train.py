"""Train the computer model on whole sequences, and export the step.

    python -m models.computer.train --speech DIR --data ../shared/data

Run from the root of the checkout, with the extras ``train`` and ``corpus`` installed. DIR holds the synthetic training
speech (models/computer/speech.py), and is made where it is absent. Real speech is the train split of corpora/wakewords;
nothing else of it is heard, and no digit. Everything random is seeded. Writes model.onnx and model.tflite.
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
import onnx
import torch
from scipy.signal import resample_poly

from harness.audio.clip import Clip, read_clip
from harness.audio.corpus import load_corpus
from harness.audio.frontend import FrontEnd
from harness.audio.synth.build import build_corpus
from harness.cache import digest
from models.commands.augment import augment
from models.computer.network import (
    BINS,
    HIDDEN,
    WakeNet,
    example,
    export_onnx,
    export_tflite,
    folded,
    silence,
    whole_model,
)
from models.computer.speech import WORD, training_plan

HERE = Path(__file__).resolve().parent
SEED = 31
SEQUENCES = 12000
STEPS = 40  # of a sequence: 3.2 s
EPOCHS = 20
BATCH = 128
PEAK_RATE = 4e-3
WEIGHT_DECAY = 1e-3
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
HARD = 0.05  # of the steps without the word, those taken worst count half as much again as all of them
CARRIED = 0.8  # of the sequences begin in the state that another ended in
PARITY = 1e-4

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
    parser.add_argument("--speech", type=Path, required=True, help="folder of the synthetic speech; built if absent")
    parser.add_argument("--data", type=Path, help="folder that holds wakewords/; default as pytest's --data")
    asked = parser.parse_args()
    frontend = FrontEnd(**tomllib.loads((HERE / "model.toml").read_text(encoding="utf-8"))["frontend"])
    if not (asked.speech / "corpora" / "training" / "manifest.tsv").exists():
        build_corpus(training_plan(), asked.speech / "corpora" / "training")
    synthetic = load_corpus("training", asked.speech).clips
    real = load_corpus("wakewords", HERE.parents[1], asked.data).split("train").clips
    speech = Speech(*(trimmed(clips, word) for word in (True, False) for clips in (real, synthetic)))
    kept = asked.speech / f"sequences-{digest(Path(__file__), frontend.model_dump())}.npz"
    if not kept.exists():
        features, marks = sequences(speech, frontend.lasting(STEPS))
        np.savez(kept, features=features, marks=marks)
    with np.load(kept, allow_pickle=False) as made:
        network = learn(made["features"], made["marks"])
    export(network)


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


def learn(features: Features, marks: Marks) -> WakeNet:
    """Train; an epoch hears each sequence once, in an order drawn by lot, most of them as going on from another."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    network = WakeNet()
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
    batches = len(marks) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=EPOCHS * batches, pct_start=0.2)
    own = np.random.default_rng(SEED)
    state = silence(BATCH)
    for epoch in range(EPOCHS):
        losses = []
        for index in np.split(own.permutation(len(marks))[: batches * BATCH], batches):
            batch = torch.from_numpy(masked(features[index].astype(np.float32), own)).view(BATCH, 1, -1, BINS)
            fresh = torch.from_numpy(own.random(BATCH) > CARRIED)
            mixed = torch.from_numpy(own.permutation(BATCH))
            state = {name: value.detach()[mixed] for name, value in state.items()}
            for value in state.values():
                value[fresh] = 0
            scores, state = network.whole(batch, state)
            loss = cost(scores, torch.from_numpy(marks[index]))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {np.mean(losses):.4f}", flush=True)
    return network.eval()


def masked(features: Wave, own: np.random.Generator) -> Wave:
    """With a band of frequency masked in each example."""
    for each in features:
        bin_ = own.integers(0, BINS)
        each[:, bin_ : bin_ + own.integers(0, 6)] = each.mean()
    return features


def cost(scores: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the steps that matter; the worst of those without the word count again."""
    each = torch.nn.functional.binary_cross_entropy_with_logits(scores, (marks == 1).float(), reduction="none")
    right, wrong = each[marks == 1], each[marks == 0]
    worst = wrong.topk(max(1, round(HARD * len(wrong)))).values
    return right.mean() + wrong.mean() + 0.5 * worst.mean()


def export(network: WakeNet) -> None:
    """Write the step twice and the whole once, and refuse to leave two steps that do not agree."""
    plain, inputs = folded(network), example(SEED)
    onnx.save(whole_model({name: value.numpy() for name, value in plain.state_dict().items()}), HERE / "whole.onnx")
    both = export_onnx(plain, inputs, HERE / "model.onnx"), export_tflite(plain, inputs, HERE / "model.tflite")
    difference = max(float(np.abs(one - other).max()) for one, other in zip(*both, strict=True))
    print(f"model.onnx and model.tflite differ by at most {difference:.1e}; hidden state of {HIDDEN}")
    if difference > PARITY:
        raise SystemExit(f"The two models differ by {difference:.1e}, more than {PARITY:.0e}: do not ship them.")


if __name__ == "__main__":
    main()
