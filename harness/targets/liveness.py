"""Peak memory of the tensors between layers, from shapes and the order of execution alone."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def peak_live(
    steps: Sequence[tuple[Sequence[Name], Sequence[Name]]],
    sizes: Mapping[Name, int],
    results: Collection[Name],
) -> int:
    """Most bytes alive while any step runs; ``steps`` are (inputs, outputs) in execution order.

    ``sizes`` holds the bytes of every activation: what it lacks is a constant. ``results`` stay alive
    to the end. A lower bound for any allocator: no scratch buffers, no alignment.
    """
    last = {name: i for i, (inputs, outputs) in enumerate(steps) for name in (*inputs, *outputs)}
    last.update({name: len(steps) for name in results})
    made = {name for _, outputs in steps for name in outputs}
    alive = {name for name in last if name in sizes and name not in made}  # what the caller feeds
    peak = 0
    for i, (_, outputs) in enumerate(steps):
        alive |= {name for name in outputs if name in sizes}
        peak = max(peak, sum(sizes[name] for name in alive))
        alive = {name for name in alive if last[name] > i}
    return peak
