"""Which board of the lab a build runs on: by target and capability, the same one in every worker."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.boards import labfile
from harness.boards.energy import Meter
from harness.boards.hold import LEASE_S, Hold, unheld
from harness.boards.labfile import LabBoard
from harness.boards.labgrid import lease
from harness.boards.remote import RemoteBoard
from harness.errors import InfraError, NotMeasured, nearest
from harness.targets.base import Artifact, Board, Evidence, Features, Infer, Logits, Profile, Progress
from harness.targets.registry import known_target


class NoBoard(Board):
    """In the place of a board that the lab has and nobody may use now: whatever needs one is not measured."""

    def __init__(self, target: str, reason: str) -> None:
        self.name = f"no board ({target})"
        self.evidence = Evidence.STATIC
        self.reason = reason

    def identity(self) -> dict[str, str]:
        raise NotMeasured(f"outputs of this build: {self.reason}")  # nor are kept ones of another board taken

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        raise NotMeasured(f"outputs of {artifact.candidate} on {artifact.recipe.id}: {self.reason}")

    def open(self, artifact: Artifact) -> Infer:
        raise NotMeasured(f"latency of {artifact.candidate} on {artifact.recipe.id}: {self.reason}")

    def profile(self, artifact: Artifact) -> Profile:
        raise NotMeasured(f"time share of {artifact.candidate} on {artifact.recipe.id}: {self.reason}")

    def meter(self, artifact: Artifact) -> Meter:
        raise NotMeasured(f"energy of {artifact.candidate} on {artifact.recipe.id}: {self.reason}")

    @property
    def _no_device_memory(self) -> str:
        return self.reason

    @property
    def _not_measured(self) -> str:
        return self.reason


@dataclass(slots=True)
class Lab:
    """The boards of one lab.toml, each held at most once by this process."""

    path: Path
    boards: tuple[LabBoard, ...]
    wait_s: float = 0.0
    lease_s: float = LEASE_S
    needs: tuple[str, ...] = ()  # capabilities a board must have
    say: Progress = lambda _: None
    _holds: dict[str, Hold] = field(default_factory=dict)

    def chosen(self, target: str, build: str) -> LabBoard | str | None:
        """The board for a build, why there is none to be had, or None where the lab has no board of the target.

        Builds spread over the boards by their names alone, so that every worker and every run chooses alike.
        """
        own = [board for board in self.boards if target in board.targets]
        if not own:
            return None
        able = [board for board in own if set(self.needs) <= set(board.capabilities)]
        free = [board for board in able if not board.out_of_order()]
        if free:
            return free[zlib.crc32(build.encode()) % len(free)]
        lacks = [f"{board.id} lacks {', '.join(sorted(set(self.needs) - set(board.capabilities)))}" for board in own]
        return "; ".join(board.out_of_order() for board in able) or "; ".join(lacks)

    def board(self, target: str, build: str) -> Board | None:
        """The board for a build, or a NoBoard that says why, or None where the lab has none of the target."""
        found = self.chosen(target, build)
        if isinstance(found, str):
            return NoBoard(target, f"no board of {self.path.name} is to be had for {target}: {found}.")
        return None if found is None else RemoteBoard(found, target, self.hold(found), self.say)

    def hold(self, entry: LabBoard) -> Hold:
        if entry.id not in self._holds:
            home = self.path.parent
            at, power = labfile.address(entry, home), labfile.power(entry)
            hold = Hold(entry, at, power, self.wait_s, self.say, self.lease_s)
            if entry.labgrid is not None:
                abandoned = partial(unheld, entry)
                hold.leasing = partial(lease, entry.labgrid, home=home, abandoned=abandoned, say=self.say)
            self._holds[entry.id] = hold
        return self._holds[entry.id]

    def entry(self, name: str) -> LabBoard:
        """The board of that id. Raises InfraError naming the nearest."""
        for board in self.boards:
            if board.id == name:
                return board
        known = [board.id for board in self.boards]
        raise InfraError(f"{self.path} has no board {name!r}{nearest(name, known)}; it has {', '.join(known)}.")

    def release(self) -> None:
        """Give back every board this process holds."""
        for hold in self._holds.values():
            hold.release()
        self._holds.clear()


def load(path: Path, needs: Sequence[str] = (), say: Progress = lambda _: None) -> Lab:
    """The lab of a lab.toml. Raises InfraError with every fault of the file."""
    parsed = labfile.read(path)
    for board in parsed.board:
        for target in board.targets:
            known_target(target, f"{path}, board {board.id}", "Correct its targets =.")
    return Lab(path.absolute(), parsed.board, parsed.wait_s, parsed.lease_s, tuple(needs), say)
