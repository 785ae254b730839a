"""The spoken commands network: convolutions that listen, self-attention that looks around, a letter a frame.

After the Conformer (Gulati et al., 2020), made of what edge accelerators run: four-dimensional convolutions, batch
normalization that folds away, ReLU, and one softmax a block. Queries and keys are batch-normalized as well, so that
attention scores have unit variance without a layer normalization.
"""

from __future__ import annotations

import torch
from torch import nn

STEM, WIDTH, HEADS, BLOCKS = 24, 96, 3, 3
NARROWER = 4  # bins become so many times fewer at once: the rest of the stem costs that much less
WIDER = 2  # of the convolution's own width
FEED = 2  # of the feed-forward layer's
KERNEL = 11  # output frames of 40 ms


def conv(
    inputs: int, outputs: int, kernel: tuple[int, int] = (1, 1), stride: tuple[int, int] = (1, 1), groups: int = 1
) -> nn.Sequential:
    """A convolution with batch normalization and ReLU, in the shape that ``network.folded`` folds."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel[0] // 2, kernel[1] // 2), groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def linear(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution with batch normalization and nothing after."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.Identity())


class Attention(nn.Module):
    """Self-attention of every frame over all others: ``(n, WIDTH, 1, frames)`` to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (linear(WIDTH, WIDTH) for _ in range(3))
        self.out = linear(WIDTH, WIDTH)
        self.scale = (WIDTH // HEADS) ** -0.5

    def forward(self, heard: torch.Tensor) -> torch.Tensor:
        count, _, _, frames = heard.shape
        heads = (count, HEADS, WIDTH // HEADS, frames)
        query, key, value = (part(heard).reshape(heads) for part in (self.query, self.key, self.value))
        likeness = query.transpose(2, 3) @ key
        if self.scale != 1.0:
            likeness = likeness * self.scale
        seen = torch.softmax(likeness, dim=-1) @ value.transpose(2, 3)  # in this order: rknn-toolkit2 fuses no other
        return self.out(seen.transpose(2, 3).reshape(count, WIDTH, 1, frames))  # type: ignore[no-any-return]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        inside = WIDER * WIDTH
        self.near = nn.Sequential(
            conv(WIDTH, inside), conv(inside, inside, (1, KERNEL), groups=inside), linear(inside, WIDTH)
        )
        self.far = Attention()
        self.feed = nn.Sequential(conv(WIDTH, FEED * WIDTH), linear(FEED * WIDTH, WIDTH))

    def forward(self, heard: torch.Tensor) -> torch.Tensor:
        for part in (self.near, self.far, self.feed):
            heard = heard + part(heard)
        return heard


class SpokenCommandNet(nn.Module):
    """Features ``(n, 1, frames, bins)`` to logits ``(n, frames / 2, tokens)``."""

    def __init__(self, tokens: int, bins: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv(1, STEM, (3, 7), (2, NARROWER)), conv(STEM, STEM, (3, 3), groups=STEM), conv(STEM, 2 * STEM)
        )
        self.join = conv(2 * STEM, WIDTH, (1, bins // NARROWER))
        self.join[0].padding = (0, 0)
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.head = nn.Conv2d(WIDTH, tokens, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        heard = self.join(self.stem(features))  # (n, WIDTH, frames / 2, 1)
        logits = self.head(self.blocks(heard.transpose(2, 3)))
        return logits.squeeze(2).transpose(1, 2)  # type: ignore[no-any-return]


def scaled(network: SpokenCommandNet) -> SpokenCommandNet:
    """The same function with attention's scale in the weights of the queries; after ``network.folded``."""
    for block in network.blocks:
        with torch.no_grad():
            query = block.far.query[0]
            query.weight *= block.far.scale
            query.bias *= block.far.scale
        block.far.scale = 1.0
    return network
