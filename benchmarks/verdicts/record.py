"""Decisions of ``commands`` under other seeds, recorded once so that hundreds of repeats need no audio.

``python -m benchmarks.verdicts.record [CACHE] [SEEDS] [HEADS] [BLOCKS]`` writes three files into ``data/``:

- ``reseeded.npz``: what the float model and its host/int8 build decide on every test clip under the noisy conditions,
  each rendered with SEEDS other seeds (noise, talkers, positions, gains drawn anew).
- ``retrained.npz``: what HEADS float models decide under all conditions that share the shipped convolutions and have a
  last layer trained from nothing on calibration clips, each with its own seed, start and four fifths of the speakers.
- ``timed.npz``: milliseconds of one inference of host/int8 and of its float path, in turns, in BLOCKS short runs on a
  machine that did other work meanwhile.

Decisions are stored as 0 for right, else 1 + the label decided.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from harness.audio.clip import Clip
from harness.audio.conditions import CONDITIONS, Condition, render_corpus
from harness.boards.runtimes import open_model
from harness.cache import Cache
from harness.candidate import Candidate, find_candidates
from harness.fitting import conditions
from harness.run import FLOAT, Run
from harness.targets.registry import registry

CHECKOUT = Path(__file__).parents[2]
DATA = Path(__file__).with_name("data")
BUILD = "host/int8"
STEPS, RATE, DECAY = 400, 0.05, 1e-4  # of the last layer's training: full batches, Adam
ROUNDS, PAUSE_S = 200, 2.0  # of one block of timings; between two
KEPT = 0.8  # of the calibration speakers, for each of the retrained

Codes = npt.NDArray[np.uint8]


def codes(logits: npt.NDArray[np.float32], truth: npt.NDArray[np.intp]) -> Codes:
    decided = logits.argmax(axis=1)
    return np.where(decided == truth, 0, decided + 1).astype(np.uint8)


def reseeded(run: Run, candidate: Candidate, truth: npt.NDArray[np.intp], seeds: int, path: Path) -> None:
    """One seed after the other; what is finished is on disk."""
    names = [name for name in conditions(candidate) if name != "clean"]
    recipe, corpus = candidate.recipe(BUILD), run.corpus(candidate).split("test")
    done = dict(np.load(path)) if path.is_file() else {}
    for seed in range(len(done.get("golden", ())), seeds):
        rows: dict[str, list[Codes]] = {"golden": [], "int8": []}
        for name in names:
            # A rendering is seeded by the names of its clip and condition: another name is another seed.
            other: Condition = replace(CONDITIONS[name], id=f"{name}, seed {seed + 1}")
            renditions = render_corpus(corpus, other, candidate.frontend.samples, run.cache, print)
            features = candidate.frontend.batch(renditions.audio)
            rows["golden"].append(codes(run.infer(candidate, FLOAT, features), truth))
            rows["int8"].append(codes(run.infer(candidate, recipe, features), truth))
        for key, own in rows.items():
            done[key] = np.concatenate([done.get(key, np.zeros((0, len(names), len(truth)), np.uint8)), [own]])
        np.savez_compressed(path, allow_pickle=False, **done)


def body(candidate: Candidate, folder: Path) -> Path:
    """The model without its last layer."""
    model = onnx.load(candidate.model)
    last = model.graph.node[-1]
    if last.op_type != "Gemm":
        raise SystemExit(f"{candidate.model} ends in {last.op_type}, not in a Gemm: nothing to retrain.")
    path = folder / "body.onnx"
    onnx.utils.extract_model(str(candidate.model), str(path), [model.graph.input[0].name], [last.input[0]])
    return path


def retrained(run: Run, candidate: Candidate, truth: npt.NDArray[np.intp], heads: int, path: Path) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    infer = open_model(body(candidate, run.folder))
    names = conditions(candidate)
    corpus = run.corpus(candidate).split("calibration")
    spoken = corpus.clips
    heard = [
        candidate.frontend.batch(
            render_corpus(corpus, CONDITIONS[name], candidate.frontend.samples, run.cache, print).audio
        )
        for name in names
    ]
    inputs = np.concatenate([[infer(window).ravel() for window in part] for part in heard])
    tests = [np.stack([infer(window).ravel() for window in run.features(candidate, name)]) for name in names]
    found = [
        [codes(test @ weight + bias, truth) for test in tests]
        for weight, bias in trainings(inputs, spoken, candidate, len(names), heads)
    ]
    np.savez_compressed(path, allow_pickle=False, retrained=np.array(found))


def trainings(
    inputs: npt.NDArray[np.float32], spoken: tuple[Clip, ...], candidate: Candidate, times: int, heads: int
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Weights and bias of one last layer after the other, by softmax regression."""
    labels = np.tile([candidate.labels.index(clip.label) for clip in spoken], times)
    speakers = np.unique([clip.speaker for clip in spoken])
    whose = np.tile([clip.speaker for clip in spoken], times)
    for seed in range(heads):
        random = np.random.default_rng(seed)
        chosen = np.isin(whose, random.choice(speakers, int(KEPT * len(speakers)), replace=False))
        yield softmax_regression(inputs[chosen], labels[chosen], len(candidate.labels), random)


def softmax_regression(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.intp], count: int, random: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    middle, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    scaled = np.hstack([(x - middle) / spread, np.ones((len(x), 1), x.dtype)])
    weight = random.normal(0, 0.1, (scaled.shape[1], count))
    wanted = np.eye(count)[y]
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    for step in range(1, STEPS + 1):
        logits = scaled @ weight
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        slope = scaled.T @ (odds / odds.sum(axis=1, keepdims=True) - wanted) / len(x) + DECAY * weight
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        weight -= RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    plain = weight[:-1] / spread[:, None]
    return plain.astype(np.float32), (weight[-1] - middle @ plain).astype(np.float32)


def timed(run: Run, candidate: Candidate, blocks: int, path: Path) -> None:
    recipe = candidate.recipe(BUILD)
    board, own = run.board(candidate, recipe), registry()["host"].float_recipe(recipe)
    quantized, plain = run.artifact(candidate, recipe), run.artifact(candidate, own)
    windows = run.features(candidate, "clean")[:64]
    found = []
    for _ in range(blocks):
        found.append(board.time_in_turns(quantized, plain, windows, ROUNDS).samples_ms)
        time.sleep(PAUSE_S)
    np.savez_compressed(path, allow_pickle=False, timed=np.array(found, np.float32))


def main(cache: str = ".voxgate/cache", seeds: str = "6", heads: str = "40", blocks: str = "60") -> None:
    [candidate] = [each for each in find_candidates([CHECKOUT]) if each.name == "commands"]
    run = Run(folder=Path(cache).parent / "recorded", cache=Cache(Path(cache)), toolchains=False, say=print)
    truth = np.array([candidate.labels.index(clip.label) for clip in run.clips(candidate)], np.intp)
    DATA.mkdir(exist_ok=True)
    timed(run, candidate, int(blocks), DATA / "timed.npz")
    retrained(run, candidate, truth, int(heads), DATA / "retrained.npz")
    reseeded(run, candidate, truth, int(seeds), DATA / "reseeded.npz")


if __name__ == "__main__":
    main(*sys.argv[1:])
