"""Toy training on noise. It falls, once, in a second epoch: data/left says how many of them stay whole before."""

from pathlib import Path

import torch
from network import Network
from torch import nn

BATCHES = 27


def network(labels: int) -> nn.Module:
    return Network()


def batches(data: Path, epoch: int, seed: int):
    random = torch.Generator().manual_seed(seed + epoch)
    for place in range(BATCHES):
        if (epoch, place) == (1, BATCHES - 1):
            fall(data / "left")
        heard = torch.randn(4, 6, 1, 4, 40, generator=random)
        fresh = torch.tensor([False, False, False, place % 2 == 0])
        yield heard, torch.rand(4, 6, 1, generator=random), fresh


def fall(left: Path) -> None:
    if left.exists():
        count = int(left.read_text())
        left.write_text(str(count - 1)) if count else left.unlink()
        if not count:
            raise OSError("no sound")


def loss(outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return nn.functional.mse_loss(torch.sigmoid(outputs), wanted)
