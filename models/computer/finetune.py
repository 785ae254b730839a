"""Fine-tune the shipped weights: what ``voxgate train`` asks of a candidate. See docs/qat.md.

Like ``train.py``, on the same sequences, without dropout and from weights that are already trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch
from network import BINS, CHUNK, WakeNet, folded
from torch import nn
from train import BATCH, CARRIED, Features, Marks, cost, masked

KEPT = "sequences.npz"  # of sequences.py


def network(labels: int) -> nn.Module:
    """The step as it was exported: batch normalization folded, its parameters named as the ONNX's initializers."""
    plain = folded(WakeNet())
    plain.dropout = nn.Identity()
    return plain


def batches(data: Path, epoch: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """``(steps' features (BATCH, steps, 1, 4, 40), marks (BATCH, steps), fresh (BATCH,))``, drawn by seed and epoch."""
    features, marks = sequences(data)
    own, count = np.random.default_rng([seed, epoch]), len(marks) // BATCH
    for index in np.split(own.permutation(len(marks))[: count * BATCH], count):
        heard = masked(features[index].astype(np.float32), own).reshape(len(index), -1, 1, CHUNK, BINS)
        fresh = own.random(len(index)) > CARRIED
        yield torch.from_numpy(heard), torch.from_numpy(marks[index]), torch.from_numpy(fresh)


def loss(outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return cost(outputs.squeeze(2), wanted)


@cache
def sequences(data: Path) -> tuple[Features, Marks]:
    """Features ``(n, frames, bins)`` and marks ``(n, steps)``."""
    with np.load(data / KEPT, allow_pickle=False) as made:
        return made["features"], made["marks"]
