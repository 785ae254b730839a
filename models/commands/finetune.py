"""Fine-tune the shipped weights: what ``voxgate train`` asks of a candidate. See docs/qat.md.

Like ``train.py``, on the same training speech, without dropout and from weights that are already trained.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch
from network import CommandNet, folded
from torch import nn
from train import HERE, LABEL_SMOOTHING, Features, Labels, load_features, read_manifest
from train import batches as shuffled

from harness.audio.frontend import FrontEnd


def network(labels: int) -> nn.Module:
    """The network as it was exported: batch normalization folded, its parameters named as the ONNX's initializers."""
    plain = folded(CommandNet(labels))
    plain.dropout = nn.Identity()
    return plain


def batches(data: Path, epoch: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch of ``(windows (BATCH, 1, frames, bins), labels (BATCH,))``, in an order drawn by seed and epoch."""
    features, labels, heard = speech(data)
    return shuffled(features, labels, heard, np.random.default_rng([seed, epoch]))


def loss(outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs, wanted, label_smoothing=LABEL_SMOOTHING)


@cache
def speech(data: Path) -> tuple[Features, Labels, Labels]:
    """Features, labels, and which clips are heard how often."""
    toml = tomllib.loads((HERE / "model.toml").read_text(encoding="utf-8"))
    rows, labels, heard = read_manifest(data, toml["candidate"]["labels"])
    return load_features(data, rows, FrontEnd(**toml["frontend"])), labels, heard
