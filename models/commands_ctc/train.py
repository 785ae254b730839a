"""Train the spoken commands model: letters by CTC on log-mel features of synthetic speech.

    python models/commands_ctc/train.py --speech DIR

DIR is made where it does not exist (``voxgate corpus build phrases-training``). Needs the extra ``train``. Everything
random is seeded. Keeps the weights of each finished cycle in DIR: a run that was stopped goes on behind them, and
``--export`` writes model.onnx beside this file from the last ones there.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
import tomllib
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "commands"))  # the rooms, noise and export that the keyword model has

from augment import augment  # noqa: E402
from ctc_network import SpokenCommandNet, scaled  # noqa: E402
from network import export_onnx, folded  # noqa: E402

from harness.audio.frontend import FrontEnd  # noqa: E402
from harness.audio.synth import build_corpus  # noqa: E402

SEED = 21
EPOCHS = 8  # of each cycle
PEAK_RATES = (2e-3, 1.5e-3)  # of the cycles: warm restarts, after Loshchilov and Hutter, 2017
BATCH = 16
WEIGHT_DECAY = 1e-2
CLIPPED = 5.0  # norm of the gradient
RENDERINGS = 3  # of each clip: one clean, the others augmented
HEARD_CLEAN = 0.35
MASKED_FRAMES, MASKED_BINS = 12, 7
HELD_OUT = 20  # of so many speakers one is not trained on, but listened to
PARITY = 1e-3

Features = npt.NDArray[np.float16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of the training speech; built if absent")
    parser.add_argument("--export", action="store_true", help="write model.onnx from DIR, without training")
    arguments = parser.parse_args()
    toml = tomllib.loads((HERE / "model.toml").read_text(encoding="utf-8"))
    frontend, labels = FrontEnd(**toml["frontend"]), toml["candidate"]["labels"]
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    network = SpokenCommandNet(len(labels), frontend.bins).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    cycles = [arguments.speech / f"weights-{n}.pt" for n in range(1, len(PEAK_RATES) + 1)]
    if not arguments.export:
        if not (arguments.speech / "manifest.tsv").exists():
            build_corpus("phrases-training", arguments.speech)
        train(network, cycles, arguments.speech, frontend, labels)
    network.load_state_dict(torch.load([each for each in cycles if each.exists()][-1], weights_only=True))
    export(network, frontend)


def train(network: SpokenCommandNet, cycles: list[Path], speech: Path, frontend: FrontEnd, labels: list[str]) -> None:
    with (speech / "manifest.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    features = load_features(speech, rows, frontend)
    texts = [torch.tensor([labels.index(letter) for letter in row["label"]]) for row in rows]
    speakers = sorted({row["speaker"] for row in rows})
    apart = np.isin([row["speaker"] for row in rows], speakers[::HELD_OUT])
    for cycle, weights in enumerate(cycles):
        if not weights.exists():
            fit(network, features, texts, np.flatnonzero(~apart), np.flatnonzero(apart), cycle)
            torch.save(network.state_dict(), weights)
        network.load_state_dict(torch.load(weights, weights_only=True))


def load_features(speech: Path, rows: list[dict[str, str]], frontend: FrontEnd) -> Features:
    """``(renderings, clips, frames, bins)``, kept in the speech folder for the next run."""
    arithmetic = Path(augment.__code__.co_filename).read_text(encoding="utf-8")
    key = f"{frontend.model_dump_json()}/{arithmetic}/{SEED}/{RENDERINGS}"
    cached = speech / f"features-{zlib.crc32(key.encode()):08x}.npy"
    if not cached.exists():
        work = [(speech / row["path"], row["clip"], frontend) for row in rows]
        with ProcessPoolExecutor() as pool:
            rendered = list(pool.map(render_clip, work, chunksize=64))
        np.save(cached, np.stack(rendered, axis=1))
    found: Features = np.load(cached)
    return found


def render_clip(work: tuple[Path, str, FrontEnd]) -> Features:
    """One clip's features: ``(renderings, frames, bins)``."""
    path, clip, frontend = work
    audio, _ = soundfile.read(path, dtype="float32")
    renderings = [audio, *(augment(audio, f"{SEED}/{clip}/{n}") for n in range(1, RENDERINGS))]
    return np.stack([frontend.features(rendering) for rendering in renderings]).astype(np.float16)


def fit(
    network: SpokenCommandNet,
    features: Features,
    texts: list[torch.Tensor],
    heard: npt.NDArray[np.intp],
    apart: npt.NDArray[np.intp],
    cycle: int,
) -> None:
    """Train on the clips ``heard`` (indices), each in a rendering drawn by lot; those ``apart`` tell how it goes."""
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATES[cycle], weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * (len(heard) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATES[cycle], total_steps=steps, pct_start=0.2)
    own = np.random.default_rng(SEED + cycle)
    began = time.process_time()
    for epoch in range(EPOCHS):
        network.train()
        losses = []
        for batch, index in batches(features, heard, own):
            loss = loss_of(network(batch), [texts[i] for i in index])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), CLIPPED)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        right = [sentences_right(network, features[n][apart], [texts[i] for i in apart]) for n in range(2)]
        took = (time.process_time() - began) / 60
        print(
            f"cycle {cycle + 1}, epoch {epoch + 1}/{EPOCHS}, {took:.1f} min of one core: loss {np.mean(losses):.3f}; "
            f"of {len(apart)} sentences of held out speakers {right[0]:.1%} right by letters, {right[1]:.1%} augmented",
            flush=True,
        )


def loss_of(logits: torch.Tensor, texts: list[torch.Tensor]) -> torch.Tensor:
    """CTC's loss a sentence, each divided by its letters; the blank is label 0."""
    lengths = torch.tensor([len(text) for text in texts])
    frames = torch.full((len(texts),), logits.shape[1])
    scores = logits.log_softmax(2).transpose(0, 1)
    return torch.nn.functional.ctc_loss(scores, torch.cat(texts), frames, lengths, zero_infinity=True)


def sentences_right(network: SpokenCommandNet, features: Features, texts: list[torch.Tensor]) -> float:
    """Share of sentences that the best token of each frame spells exactly."""
    network.eval()
    with torch.no_grad():
        inputs = torch.from_numpy(features.astype(np.float32))[:, None].split(BATCH)
        best = torch.cat([network(part).argmax(2) for part in inputs])
    spelled = [torch.unique_consecutive(row) for row in best]
    return float(np.mean([torch.equal(row[row > 0], text) for row, text in zip(spelled, texts, strict=True)]))


def batches(
    features: Features, heard: npt.NDArray[np.intp], own: np.random.Generator
) -> Iterator[tuple[torch.Tensor, npt.NDArray[np.intp]]]:
    """One epoch in a new order, with two bands of time and one of frequency masked in each example."""
    order = own.permutation(heard)
    for start in range(0, len(order) - BATCH + 1, BATCH):
        index = order[start : start + BATCH]
        rendering = np.where(own.random(BATCH) < HEARD_CLEAN, 0, own.integers(1, RENDERINGS, BATCH))
        chosen = features[rendering, index].astype(np.float32)
        for example in chosen:
            mean = example.mean()
            for frame in own.integers(0, example.shape[0], 2):
                example[frame : frame + own.integers(0, MASKED_FRAMES)] = mean
            bin_ = own.integers(0, example.shape[1])
            example[:, bin_ : bin_ + own.integers(0, MASKED_BINS)] = mean
        yield torch.from_numpy(chosen)[:, None].contiguous(memory_format=torch.channels_last), index


def export(network: SpokenCommandNet, frontend: FrontEnd) -> None:
    """Write model.onnx, and refuse to leave one that says something else than what was trained."""
    example = torch.randn(1, 1, frontend.frames, frontend.bins, generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        trained = network.eval()(example).numpy()
        plain = scaled(folded(network))
        count = sum(parameter.numel() for parameter in plain.parameters())
        difference = float(np.abs(export_onnx(plain, example, HERE / "model.onnx") - trained).max())
    print(f"{count} parameters; model.onnx differs from what was trained by at most {difference:.1e}")
    if difference > PARITY:
        raise SystemExit(f"model.onnx differs by {difference:.1e}, more than {PARITY:.0e}: do not ship it.")


if __name__ == "__main__":
    main()
