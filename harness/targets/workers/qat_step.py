"""A streaming step in training: heard over sequences, with its states. A room of qat_worker.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

PASSES = 5  # of the first batch, before fake quantization sets in: a moving average is then within 2 % of a range


def begin(kept: Sequence[Any], fresh: Any, shapes: Sequence[Sequence[int]]) -> list[Any]:
    """States a batch begins in: where its place ended before, but silence for ``fresh`` ``(n,)`` or another ``n``."""
    import torch

    if kept and len(kept[0]) == len(fresh):
        return [torch.where(fresh.view(-1, *[1] * (state.dim() - 1)), 0.0, state) for state in kept]
    return [torch.zeros(len(fresh), *shape[1:]) for shape in shapes]


def unrolled(network: Any, inputs: Any, states: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Outputs ``(n, steps, ...)`` of sequences ``(n, steps, ...)``, and the states they end in, without gradient."""
    import torch

    said = []
    for step in range(inputs.shape[1]):
        output, *states = network(inputs[:, step], *states)
        said.append(output)
    return torch.stack(said, 1), [state.detach() for state in states]


def find_ranges(network: Any, batch: tuple[Any, ...], shapes: Sequence[Sequence[int]]) -> None:
    """Let observers see the float step: a state's own begins at nothing, and grows by a hundredth a step."""
    import torch
    from torchao.quantization.pt2e import disable_fake_quant, enable_fake_quant

    inputs, _, fresh = batch
    network.apply(disable_fake_quant)
    states: list[Any] = []
    with torch.no_grad():
        for _ in range(PASSES):
            _, states = unrolled(network, inputs, begin(states, fresh, shapes))
    network.apply(enable_fake_quant)


def said(path: Path, states: dict[str, str], sequences: Any) -> Any:
    """Scores ``(n, steps)`` of an exported step, each sequence from silence."""
    import numpy as np

    from harness.agent.steps import open_step

    step = open_step(path, states)
    scores = []
    for sequence in sequences:
        step.reset()
        scores.append([step(features) for features in sequence])
    return np.array(scores)
