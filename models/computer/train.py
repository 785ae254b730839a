"""Train the computer model on whole sequences, and export the step.

    python -m models.computer.train --speech DIR --data ../shared/data

Run from the root of the checkout, with the extras ``train`` and ``corpus`` installed, on the sequences that
models/computer/sequences.py lays into DIR. Everything random is seeded. Writes model.onnx and model.tflite.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch

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

HERE = Path(__file__).resolve().parent
SEED = 31
EPOCHS = 20
BATCH = 128
PEAK_RATE = 4e-3
WEIGHT_DECAY = 1e-3
HARD = 0.05  # of the steps without the word, those taken worst count half as much again as all of them
CARRIED = 0.8  # of the sequences begin in the state that another ended in
PARITY = 1e-4

Wave = npt.NDArray[np.float32]
Features = npt.NDArray[np.float16]
Marks = npt.NDArray[np.int8]  # of each step: 1 the word has just ended, 0 it has not, -1 either will do


def main() -> None:
    from models.computer.sequences import ask_for_speech, laid

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask_for_speech(parser)
    asked = parser.parse_args()
    with np.load(laid(asked.speech, asked.data), allow_pickle=False) as made:
        network = learn(made["features"], made["marks"])
    export(network)


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
