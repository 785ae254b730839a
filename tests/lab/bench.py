"""What the tests of the lab measure with: small models, a candidate to judge them as, and a board of lab.toml."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from harness.boards import lab
from harness.boards.local import LocalBoard
from harness.boards.remote import RemoteBoard
from harness.boards.virtual import command
from harness.boards.virtual.board import VirtualBoard
from harness.candidate import Candidate, load
from harness.gates import latency
from harness.gates.base import Build
from harness.measure import ratio
from harness.row import Row
from harness.targets.base import Artifact, Features
from tests.boards.conftest import artifact
from tests.house import make_house
from tests.targets.models import ds_cnn

SLOWDOWN = 1.025  # allowed: half of the slowdown that is seeded
ROUNDS = 31
WINDOWS = 8
LIMITS = f"[budgets]\nslowdown = {SLOWDOWN}\n"


def window_features(count: int = WINDOWS) -> Features:
    return np.random.default_rng(5).standard_normal((count, 49, 10)).astype(np.float32)


def plain_model(path: Path, mark: str) -> Path:
    """A small DS-CNN; ``mark`` makes it another file, and so another session, of the same work."""
    model = onnx.load(ds_cnn(path, channels=16, blocks=2))
    model.doc_string = mark
    onnx.save(model, path)
    return path


def burdened_model(source: Path, path: Path, pairs: int) -> Path:
    """The same function with so many pairs of sign changes before it: more work, the same outputs."""
    model = onnx.load(source)
    name = model.graph.input[0].name
    chain = [f"burden{i}" for i in range(2 * pairs)]
    nodes = [onnx.helper.make_node("Neg", [a], [b]) for a, b in zip([name, *chain], chain, strict=False)]
    for node in model.graph.node:
        node.input[:] = [chain[-1] if each == name else each for each in node.input]
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *kept])
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@dataclass(frozen=True)
class Bench:
    """A candidate and its baseline, of the same work, and the limit that one may be slower than the other."""

    folder: Path
    candidate: Candidate
    ours: Artifact
    baseline: Artifact
    features: Features

    def judge(self, board: RemoteBoard, ours: Artifact | None = None) -> Row:
        """One verdict on the slowdown, as the latency suite reaches it."""
        build = Build(self.candidate, self.candidate.recipes[0], board.evidence.value, 0, board.name)
        taken = board.time_in_turns(ours or self.ours, self.baseline, self.features, ROUNDS)
        return latency.slowdown(build, ratio(taken))

    def expected(self) -> Features:
        """The candidate's outputs on this host."""
        return LocalBoard().run(self.ours, self.features, lambda _: None)


def make_bench(folder: Path) -> Bench:
    house = make_house(folder / "house", accents=("de",), speakers=1, conditions=("clean",), limits=LIMITS)
    baseline = artifact(plain_model(folder / "baseline.onnx", "baseline"))
    ours = artifact(plain_model(folder / "ours.onnx", "candidate"))
    return Bench(folder, load(house / "models" / "small", house), ours, baseline, window_features())


def write_lab(path: Path, boards: Sequence[VirtualBoard], head: str = "", power: bool = True) -> Path:
    """A lab.toml of these boards, with their power switches or without."""
    text = "\n".join(command.entry(board) for board in boards)
    if not power:
        lines = text.splitlines()
        text = "\n".join(line for line in lines if not line.startswith(("[board.power]", "on =", "off =", "cycle =")))
    path.write_text(f"{head}\n{text}\n")
    return path


@contextmanager
def opened(
    path: Path, name: str, kind: type[RemoteBoard] = RemoteBoard, say: Callable[[str], None] = print
) -> Iterator[RemoteBoard]:
    """One board of a lab.toml, given back in the end."""
    found = lab.load(path, say=say)
    entry = found.entry(name)
    try:
        yield kind(entry, "host", found.hold(entry), say)
    finally:
        found.release()
