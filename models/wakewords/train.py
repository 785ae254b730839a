"""Train the wakewords model: the commands network on two seconds of real recordings.

    python -m models.wakewords.train --data ../shared/data

Run from the root of the checkout, with the extra ``train`` installed. Learns from the train split, looks at the
calibration split while it does, and never opens the test split. Everything random is seeded; the same versions on the
same machine give the same weights. Writes model.onnx and model.tflite beside this file.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import resample_poly

from harness.audio.clip import Clip, fit, read_clip
from harness.audio.corpus import load_corpus
from harness.audio.frontend import FrontEnd
from models.commands.augment import augment
from models.commands.network import CommandNet, export_onnx, export_tflite, folded

HERE = Path(__file__).resolve().parent
SEED = 21
EPOCHS = 60
BATCH = 64
PEAK_RATE = 4e-3
WEIGHT_DECAY = 1e-2
LABEL_SMOOTHING = 0.05
RENDERINGS = 24  # of each clip; every third only moved, the others also augmented
LIGHT = 3
MASKED_FRAMES, MASKED_BINS = 12, 6
JITTER_S = 0.2
SPEED = (17, 23)  # over 20: 15 % slower to 15 % faster
FLOOR_DB = (-96.0, -50.0)
GATED = 0.4  # how often the pauses are digital silence
SPEECH_DB = -35.0  # below the loudest frame
FRAME = 320
PARITY = 1e-4

Wave = npt.NDArray[np.float32]
Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that holds wakewords/; default as pytest's --data")
    train(HERE, parser.parse_args().data)


def train(folder: Path, data: Path | None) -> None:
    """Train the candidate in ``folder`` on the recordings its model.toml names, and write both files there."""
    toml = tomllib.loads((folder / "model.toml").read_text(encoding="utf-8"))
    frontend, names = FrontEnd(**toml["frontend"]), toml["candidate"]["labels"]
    corpus = load_corpus(toml["candidate"]["corpus"], folder.parents[1], data)
    heard, held = corpus.split("train").clips, corpus.split("calibration").clips
    with ProcessPoolExecutor() as pool:
        features = np.stack(list(pool.map(render_clip, heard, [frontend] * len(heard), chunksize=8)), axis=1)
    network = learn(features, labels_of(heard, names), len(names))
    plain = frontend.batch(np.stack([fit(read_clip(clip, frontend.sample_rate), frontend.samples) for clip in held]))
    right = (decide(network, plain) == labels_of(held, names)).mean()
    print(f"{right:.1%} of {len(held)} calibration clips right")
    export(network, frontend, folder)


def labels_of(clips: tuple[Clip, ...], names: list[str]) -> Labels:
    return np.array([names.index(clip.label) for clip in clips])


def render_clip(clip: Clip, frontend: FrontEnd) -> Features:
    """One clip's features: ``(renderings, frames, bins)``."""
    audio = read_clip(clip, frontend.sample_rate)
    return np.stack([frontend.features(rendering(audio, clip.id, n, frontend)) for n in range(RENDERINGS)])


def rendering(audio: Wave, clip: str, number: int, frontend: FrontEnd) -> Wave:
    """``audio`` at another speed, place and noise floor, in two of three cases also in another room or noise."""
    own = np.random.default_rng(crc32(f"{SEED}/{clip}/{number}".encode()))
    spoken = resample_poly(audio, int(own.integers(*SPEED, endpoint=True)), 20).astype(np.float32)
    spoken = another_floor(spoken, own)
    spare = round(JITTER_S * frontend.sample_rate)
    wide = fit(spoken, frontend.samples + 2 * spare)
    start = own.integers(0, 2 * spare)
    window = wide[start : start + frontend.samples]
    return window if number % LIGHT == 0 else augment(window, f"{SEED}/{clip}/{number}")


def another_floor(audio: Wave, own: np.random.Generator) -> Wave:
    """Pauses of digital silence, or a noise floor of any level.

    Only the recordings of one word come with digital silence; left as it is, a model learns that word by its pauses.
    """
    if own.random() < GATED:
        frames = audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
        level = np.square(frames).mean(axis=1)
        loud = np.flatnonzero(level > level.max() * 10 ** (SPEECH_DB / 10)) * FRAME
        first, last = loud[0] - own.integers(0, 8 * FRAME), loud[-1] + FRAME + own.integers(0, 8 * FRAME)
        gated = np.zeros_like(audio)
        gated[max(0, first) : last] = audio[max(0, first) : last]
        return gated
    noise = own.standard_normal(len(audio)) * 10 ** (own.uniform(*FLOOR_DB) / 20)
    return np.asarray(audio + noise, np.float32)


def learn(features: Features, labels: Labels, classes: int) -> CommandNet:
    """Train; an epoch hears each clip once, in a rendering drawn by lot."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # faster than two here, and repeatable
    network = CommandNet(classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    own = np.random.default_rng(SEED)
    for epoch in range(EPOCHS):
        losses = []
        for batch, wanted in batches(features, labels, own):
            loss = loss_of(network(batch), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {np.mean(losses):.3f}", flush=True)
    return network.eval()


def batches(
    features: Features, labels: Labels, own: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch in a new order, with a band of time and a band of frequency masked in each example."""
    order = own.permutation(len(labels))
    for start in range(0, len(order) - BATCH + 1, BATCH):
        index = order[start : start + BATCH]
        chosen = features[own.integers(0, RENDERINGS, BATCH), index]
        for example in chosen:
            frame, bin_ = own.integers(0, example.shape[0]), own.integers(0, example.shape[1])
            example[frame : frame + own.integers(0, MASKED_FRAMES)] = example.mean()
            example[:, bin_ : bin_ + own.integers(0, MASKED_BINS)] = example.mean()
        batch = torch.from_numpy(chosen)[:, None].contiguous(memory_format=torch.channels_last)
        yield batch, torch.from_numpy(labels[index])


def decide(network: CommandNet, features: Features) -> Labels:
    """The label of each of ``(n, frames, bins)``."""
    with torch.no_grad():
        return np.asarray(network(torch.from_numpy(features)[:, None]).argmax(1))


def export(network: CommandNet, frontend: FrontEnd, folder: Path) -> None:
    """Write both files, and refuse to leave two models that do not agree."""
    plain = folded(network)
    example = torch.randn(1, 1, frontend.frames, frontend.bins, generator=torch.Generator().manual_seed(SEED))
    onnx_says = export_onnx(plain, example, folder / "model.onnx")
    tflite_says = export_tflite(plain, example, folder / "model.tflite")
    difference = float(np.abs(onnx_says - tflite_says).max())
    print(f"model.onnx and model.tflite differ by at most {difference:.1e}")
    if difference > PARITY:
        raise SystemExit(f"The two models differ by {difference:.1e}, more than {PARITY:.0e}: do not ship them.")


if __name__ == "__main__":
    main()
