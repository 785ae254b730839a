"""A house for the tasks that listen: a wake word, a recognizer of spoken commands, and both as a pipeline.

Words and letters are tones, and the models a few nodes with weights read off the front end: nothing is trained, a
stream of half an hour is heard in a second, and every fault is known. Some letters are slurred into the next tone, so
that letters alone spell some words wrong that the grammar puts right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import soundfile
from onnx import helper

from harness.audio.frontend import FrontEnd
from tests.house import Row, write_manifest
from tests.tones import RATE, save

Wave = npt.NDArray[np.float64]

ACCENTS = ("de", "en", "fr", "sv")
SPEAKERS = {"calibration": 2, "test": 6}  # of each accent
CALL, CALLS = "call", 3  # the word, and how often each speaker says it
WORDS = {CALL: 6600.0, "hum": 400.0, "ring": 1200.0, "beep": 2700.0}
SENTENCES = ("go left", "go up", "stop all", "let us go", "up to us", "go to sleep")
ALPHABET = " aefglopstu"
LETTER_S, GAP_S = 0.07, 0.03
SLURRED = 0.08  # of the letters
STEP, WINDOW = FrontEnd(window_s=0.09, mean=7.0, scale=4.0), FrontEnd(window_s=2.4, mean=7.0, scale=4.0)
FRONT = 'kind = "fbank"\nmean = 7.0\nscale = 4.0\nwindow_s = {:g}\n'
FAST, SLOW = 0.5, 0.98  # of each state that is left after a step of 80 ms
RECIPES = "".join(
    f'\n[[recipe]]\ntarget = "{target}"\nname = "{precision}"\nprecision = "{precision}"\n'
    f'calibration = {{ condition = ["clean", "noise-10db"] }}\n'
    for target, precision in (("silicon", "int8"), ("silicon", "fp16"), ("host", "fp32"))
)
EAR = """
[candidate]
name = "ear"
task = "wakeword"
labels = ["call"]
corpus = "calls"
states = {{ before = "after", floor = "floor_next" }}
threshold = 2.0
refractory_s = 1.0

[frontend]
{front}
[[stream]]
name = "day"
corpora = ["calls"]
hours = 0.55
words = 150
seed = 3
{recipes}
[budgets.wakeword]
frr = {{ overall = 10.0, accent = 25.0 }}
false_accepts_per_hour = 25.0
delay_ms = {{ p50 = 150.0 }}
score_sqnr = 14.0
drift_db = 3.0
"""
VOICE = """
[candidate]
name = "voice"
task = "command"
labels = {labels}
corpus = "orders"
conditions = ["clean", "noise-10db"]
reject = -3.5

[frontend]
{front}
{recipes}
[[floor]]
metric = "accuracy"
min = 85.0

[budgets]
drop = {{ overall = 3.0, accent = 8.0 }}
sqnr = {{ overall = 20.0 }}

[budgets.command]
wer = {{ overall = 30.0 }}
wer_rise = {{ overall = 5.0, accent = 10.0 }}
"""
BOTH = """
[pipeline]
name = "both"
trigger = "ear"
command = "voice"
before_s = 0.05

[[build]]
target = "silicon"
trigger = "int8"
command = "int8"

[stream]
hours = 0.2
utterances = 45
ambiences = ["quiet"]
pause_s = [0.2, 0.3]
seed = 5

[budgets]
success = 80.0
command_accuracy = 80.0
wer = 40.0
false_activations_per_hour = 25.0
"""


def make_house(folder: Path) -> Path:
    """Two corpora, the candidates ``ear`` and ``voice``, and the pipeline ``both``."""
    own = np.random.default_rng(11)
    _corpus(folder / "corpora" / "calls", _calls(own))
    _corpus(folder / "corpora" / "orders", _orders(own))
    ear, voice, both = folder / "models" / "ear", folder / "models" / "voice", folder / "pipelines" / "both"
    for place in (ear, voice, both):
        place.mkdir(parents=True)
    (ear / "model.toml").write_text(EAR.format(front=FRONT.format(STEP.window_s), recipes=RECIPES))
    save_ear(ear / "model.onnx")
    labels = str(["<blank>", *ALPHABET]).replace("'", '"')
    (voice / "model.toml").write_text(VOICE.format(front=FRONT.format(WINDOW.window_s), recipes=RECIPES, labels=labels))
    (voice / "grammar.toml").write_text(f"patterns = {str(list(SENTENCES)).replace(chr(39), chr(34))}\n")
    save_voice(voice / "model.onnx", WINDOW)
    (both / "pipeline.toml").write_text(BOTH)
    return folder


def save_ear(path: Path) -> None:
    """Of the loudest frame's tone: after is a mean of steps, floor of seconds; the score is what stands out of it."""
    nodes = [
        helper.make_node("MatMul", ["features", "tone"], ["each"]),
        helper.make_node("ReduceMax", ["each"], ["most"], axes=[1, 2], keepdims=0),
        helper.make_node("Relu", ["most"], ["now"]),
        *_leaky("before", "after", FAST),
        *_leaky("floor", "floor_next", SLOW),
        helper.make_node("Mul", ["floor_next", "part"], ["under"]),
        helper.make_node("Sub", ["after", "under"], ["score"]),
    ]
    constants = {"tone": tones(STEP, [WORDS[CALL]]), "part": np.float32([0.5])}
    for state, kept in (("before", FAST), ("floor", SLOW)):
        constants |= {f"{state}_kept": np.float32([kept]), f"{state}_taken": np.float32([1 - kept])}
    shapes = {"features": [1, 1, STEP.frames, STEP.bins], "before": [1, 1], "floor": [1, 1]}
    save(path, nodes, constants, shapes, {"score": [1, 1], "after": [1, 1], "floor_next": [1, 1]})


def _leaky(state: str, after: str, kept: float) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Mul", [state, f"{state}_kept"], [f"{state}_left"]),
        helper.make_node("Mul", ["now", f"{state}_taken"], [f"{state}_new"]),
        helper.make_node("Add", [f"{state}_left", f"{state}_new"], [after]),
    ]


def save_voice(path: Path, front: FrontEnd) -> None:
    """A logit a frame for each letter's tone over the mean of all bins; the blank's is the same everywhere."""
    weights = np.pad(6 * tones(front, [hertz(letter) for letter in ALPHABET]), ((0, 0), (1, 0)))
    nodes = [
        helper.make_node("MatMul", ["features", "tones"], ["each"]),
        helper.make_node("Add", ["each", "bias"], ["heard"]),
        helper.make_node("Squeeze", ["heard", "first"], ["logits"]),
    ]
    constants = {
        "tones": weights,
        "bias": np.float32([7.0] + [0.0] * len(ALPHABET)),
        "first": np.array([1], np.int64),
    }
    shapes = {"features": [1, 1, front.frames, front.bins]}
    save(path, nodes, constants, shapes, {"logits": [1, front.frames, len(ALPHABET) + 1]})


def hertz(letter: str) -> float:
    """Of a letter's tone: evenly over the mel scale."""
    return float(700 * (np.exp((700 + 160 * ALPHABET.index(letter)) / 1127) - 1))


def tones(front: FrontEnd, pitches: Iterable[float]) -> npt.NDArray[np.float32]:
    """``(bins, pitches)``: the pitch's own bin less about the mean of all, in steps that int8 has."""
    columns = []
    for pitch in pitches:
        wave = (0.1 * np.sin(2 * np.pi * pitch * np.arange(front.samples) / RATE)).astype(np.float32)
        column = np.full(front.bins, -3 / 127, np.float32)
        column[front.features(wave).mean(axis=0).argmax()] = 1
        columns.append(column)
    return np.stack(columns, axis=1)


Said = Iterator[tuple[Row, Wave]]


def _speakers() -> Iterator[tuple[str, str, str]]:
    for split, count in SPEAKERS.items():
        for accent in ACCENTS:
            for number in range(count):
                yield f"{accent}{number}{split[0]}", accent, split


def _row(clip: str, label: str, speaker: tuple[str, str, str]) -> Row:
    name, accent, split = speaker
    path = f"clips/{clip}.wav"
    return {"clip": clip, "path": path, "label": label, "speaker": name, "accent": accent, "split": split}


def _calls(own: np.random.Generator) -> Said:
    """Every speaker says each word, the one to be heard more often."""
    for speaker in _speakers():
        for take in range(CALLS):
            for word, pitch in WORDS.items():
                if word == CALL or not take:
                    yield _row(f"{speaker[0]}-{word}-{take}", word, speaker), _tone(pitch, own.uniform(0.4, 0.5))


def _orders(own: np.random.Generator) -> Said:
    """Every speaker says each sentence, letter by letter."""
    for speaker in _speakers():
        for number, sentence in enumerate(SENTENCES):
            wave = np.concatenate([_letter(letter, own) for letter in sentence])
            yield _row(f"{speaker[0]}-{number}", sentence, speaker), np.pad(wave, (0, round(0.05 * RATE)))


def _letter(letter: str, own: np.random.Generator) -> Wave:
    """Its tone, or one between it and another's, which is a little louder."""
    wave = _tone(hertz(letter), LETTER_S) * own.uniform(0.8, 1.0)
    if letter != " " and own.random() < SLURRED:
        other = ALPHABET[1 + ALPHABET.index(letter) % (len(ALPHABET) - 1)]
        wave = 0.7 * wave + 0.9 * _tone(hertz(other), LETTER_S)
    return np.pad(wave, (0, round(GAP_S * RATE)))


def _tone(pitch: float, seconds: float) -> Wave:
    time = np.arange(round(seconds * RATE)) / RATE
    wave: Wave = 0.3 * np.sin(2 * np.pi * pitch * time) * np.minimum(1, 200 * np.minimum(time, time[::-1]))
    return wave


def _corpus(folder: Path, said: Said) -> None:
    (folder / "clips").mkdir(parents=True)
    rows = []
    for row, wave in said:
        soundfile.write(folder / row["path"], wave, RATE, subtype="PCM_16")
        rows.append(row)
    write_manifest(folder, rows)
    (folder / "corpus.toml").write_text(f'[corpus]\nname = "{folder.name}"\n')
