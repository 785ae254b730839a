"""Train the commands model: a DS-CNN on log-mel features of synthetic speech.

    python models/commands/train.py --speech DIR

DIR is made where it does not exist (see ``harness.audio.synth.build_training``). Needs the extras ``train`` and
``corpus``. Everything random is seeded. Writes
model.onnx and model.tflite beside this file and prints how far the two differ.
"""

from __future__ import annotations

import argparse
import csv
import tomllib
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from augment import augment
from network import CommandNet, export_onnx, export_tflite, folded

from harness.audio.frontend import FrontEnd

HERE = Path(__file__).resolve().parent
SEED = 20
EPOCHS = 24
BATCH = 128
PEAK_RATE = 4e-3
WEIGHT_DECAY = 1e-3
LABEL_SMOOTHING = 0.05
RENDERINGS = 4  # of each clip: one clean, the others augmented
HEARD_CLEAN = 0.4
NATURAL_TIMES = 3  # a clip of a natural voice is heard where a formant synthesizer's is heard once
MASKED_FRAMES, MASKED_BINS = 5, 4
PARITY = 1e-4

Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="folder of the training speech; built if absent")
    arguments = parser.parse_args()
    toml = tomllib.loads((HERE / "model.toml").read_text(encoding="utf-8"))
    frontend = FrontEnd(**toml["frontend"])
    if not (arguments.speech / "manifest.tsv").exists():
        from harness.audio.synth import build_training

        build_training(arguments.speech)
    names = toml["candidate"]["labels"]
    rows, labels, heard = read_manifest(arguments.speech, names)
    network = fit(load_features(arguments.speech, rows, frontend), labels, heard, len(names))
    export(network, frontend)


def read_manifest(speech: Path, names: list[str]) -> tuple[list[dict[str, str]], Labels, Labels]:
    """The training clips, the label of each, and their places as often as an epoch hears them."""
    with (speech / "manifest.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    labels = np.array([names.index(row["label"]) for row in rows])
    return rows, labels, np.repeat(np.arange(len(rows)), [NATURAL_TIMES if is_natural(row) else 1 for row in rows])


def is_natural(row: dict[str, str]) -> bool:
    """Whether a recorded person or a neural voice speaks, not a formant synthesizer."""
    return "/espeak-" not in row["speaker"]


def load_features(speech: Path, rows: list[dict[str, str]], frontend: FrontEnd) -> Features:
    """``(renderings, clips, frames, bins)``, kept in the speech folder for the next run."""
    key = f"{frontend.model_dump_json()}/{(HERE / 'augment.py').read_text(encoding='utf-8')}/{SEED}/{RENDERINGS}"
    cached = speech / f"features-{zlib.crc32(key.encode()):08x}.npy"
    if not cached.exists():
        work = [(speech / row["path"], row["clip"], frontend) for row in rows]
        with ProcessPoolExecutor() as pool:
            rendered = list(pool.map(render_clip, work, chunksize=64))
        np.save(cached, np.stack(rendered, axis=1))
    features: Features = np.load(cached)
    return features


def render_clip(work: tuple[Path, str, FrontEnd]) -> Features:
    """One clip's features: ``(renderings, frames, bins)``."""
    path, clip, frontend = work
    audio, _ = soundfile.read(path, dtype="float32")
    renderings = [audio, *(augment(audio, f"{SEED}/{clip}/{n}") for n in range(1, RENDERINGS))]
    return np.stack([frontend.features(rendering) for rendering in renderings])


def fit(features: Features, labels: Labels, heard: Labels, classes: int) -> CommandNet:
    """Train; an epoch is the clips ``heard`` (indices, repeats allowed), each in a rendering drawn by lot."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # faster than two here, and repeatable
    network = CommandNet(classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * (len(heard) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    own = np.random.default_rng(SEED)
    for epoch in range(EPOCHS):
        losses, hits = [], 0
        for batch, wanted in batches(features, labels, heard, own):
            logits = network(batch)
            loss = loss_of(logits, wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            hits += int((logits.argmax(1) == wanted).sum())
        right = hits / (len(losses) * BATCH)
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {np.mean(losses):.3f}, {right:.1%} right", flush=True)
    return network.eval()


def batches(
    features: Features, labels: Labels, heard: Labels, own: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch in a new order, with a band of time and a band of frequency masked in each example."""
    order = own.permutation(heard)
    for start in range(0, len(order) - BATCH + 1, BATCH):
        index = order[start : start + BATCH]
        rendering = np.where(own.random(BATCH) < HEARD_CLEAN, 0, own.integers(1, RENDERINGS, BATCH))
        chosen = features[rendering, index]
        for example in chosen:
            frame, bin_ = own.integers(0, example.shape[0]), own.integers(0, example.shape[1])
            example[frame : frame + own.integers(0, MASKED_FRAMES)] = example.mean()
            example[:, bin_ : bin_ + own.integers(0, MASKED_BINS)] = example.mean()
        batch = torch.from_numpy(chosen)[:, None].contiguous(memory_format=torch.channels_last)
        yield batch, torch.from_numpy(labels[index])


def export(network: CommandNet, frontend: FrontEnd) -> None:
    """Write both files, and refuse to leave two models that do not agree."""
    plain = folded(network)
    count = sum(parameter.numel() for parameter in plain.parameters())
    example = torch.randn(1, 1, frontend.frames, frontend.bins, generator=torch.Generator().manual_seed(SEED))
    onnx_says = export_onnx(plain, example, HERE / "model.onnx")
    tflite_says = export_tflite(plain, example, HERE / "model.tflite")
    difference = float(np.abs(onnx_says - tflite_says).max())
    print(f"{count} parameters; model.onnx and model.tflite differ by at most {difference:.1e}")
    if difference > PARITY:
        raise SystemExit(f"The two models differ by {difference:.1e}, more than {PARITY:.0e}: do not ship them.")


if __name__ == "__main__":
    main()
