"""A step of three states, of every kind: a window of features, a gated unit written another way, a slow mean of it."""

import torch
from torch import nn

BINS, HIDDEN = 40, 16
STATES = {"past": (1, 1, 2, BINS), "hidden": (1, HIDDEN), "slow": (1, HIDDEN)}


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, (3, 5), (1, 2))
        self.dense = nn.Linear(8, HIDDEN)
        self.update = nn.Linear(2 * HIDDEN, HIDDEN)
        self.candidate = nn.Linear(2 * HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, 1)

    def forward(
        self, features: torch.Tensor, past: torch.Tensor, hidden: torch.Tensor, slow: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        window = torch.cat((past, features), 2)
        heard = torch.relu(self.dense(torch.relu(self.conv(window)).mean(dim=(2, 3))))
        both = torch.cat((heard, hidden), 1)
        update = torch.sigmoid(self.update(both))
        hidden = (1 - update) * hidden + update * torch.tanh(self.candidate(both))
        slow = slow * 0.9 + hidden * 0.1
        return self.head(hidden - slow), window[:, :, -2:], hidden, slow
