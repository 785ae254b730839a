"""What is done before the tests that judge: all they ask for, nothing else, and nothing on a board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.ahead import Asked, ahead
from harness.audio.conditions import Condition
from harness.audio.corpus import Corpus
from harness.boards.local import LocalBoard
from harness.cache import Cache
from harness.candidate import Candidate, find_candidates
from harness.engine import Engine
from harness.errors import ToolchainError
from harness.recipe import FLOAT
from harness.run import Run
from harness.targets.base import Artifact, Board, Evidence, Features, Job, Logits, Scores, Target
from tests.house import accept_golden, make_house, make_listening_house

TALK = """
[[stream]]
name = "talk"
corpora = ["computer"]
hours = 0.02
words = 4
"""


class Noting(Engine):
    """This machine, which notes what it is asked for."""

    def __init__(self, broken: bool = False) -> None:
        self.asked: list[str] = []
        self.broken = broken

    def render(self, folder: Path, corpus: Corpus, condition: Condition, samples: int, cache: Cache, say: Any) -> None:
        self.asked.append(f"render {condition.id}")
        super().render(folder, corpus, condition, samples, cache, say)

    def build(self, target: Target, candidate: Candidate, job: Job) -> Artifact:
        self.asked.append(f"build {job.recipe.id}")
        if self.broken:
            raise ToolchainError("it broke")
        return super().build(target, candidate, job)

    def run(self, board: Board, artifact: Artifact, features: Features, say: Any) -> Logits:
        self.asked.append(f"run {artifact.recipe.id}")
        return super().run(board, artifact, features, say)

    def stream(self, board: Board, artifact: Artifact, features: Features, say: Any) -> Scores:
        self.asked.append(f"stream {artifact.recipe.id}")
        return super().stream(board, artifact, features, say)


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    folder = tmp_path_factory.mktemp("ahead")
    house = make_house(folder / "house", accents=["de"], speakers=1, conditions=["clean"])
    accept_golden(house, folder / "cache", folder / "records")
    return find_candidates([house])[0]


def done(candidate: Candidate, folder: Path, fixtures: Sequence[str], *, broken: bool = False) -> tuple[Run, Noting]:
    engine = Noting(broken)
    run = Run(folder=folder, cache=Cache(folder / "cache"), engine=engine)
    ahead(run, [Asked(candidate, candidate.recipes[0], frozenset(fixtures)), Asked(candidate, None, frozenset())])
    return run, engine


def test_all_that_is_asked_for_is_done(candidate: Candidate, tmp_path: Path) -> None:
    recipe = candidate.recipes[0]
    run, engine = done(candidate, tmp_path, ["judged", "parity", "golden", "record"])
    builds = {"host/golden", "host/int8", "host/int8-float"}
    assert {word for asked in engine.asked for word in asked.split()[:1]} == {"render", "build", "run"}
    assert sorted(asked for asked in engine.asked if "build" in asked) == sorted(f"build {name}" for name in builds)
    assert {asked for asked in engine.asked if "run" in asked} == {f"run {name}" for name in builds}
    count = len(engine.asked)
    run.comparison(candidate, recipe)
    run.comparison(candidate, FLOAT)
    run.parity(candidate, recipe)
    assert len(engine.asked) == count


def test_streams_are_listened_to(tmp_path: Path) -> None:
    candidate = find_candidates([make_listening_house(tmp_path, TALK)])[0]
    run, engine = done(candidate, tmp_path, ["listening", "against", "own_path"])
    heard = sorted(asked for asked in engine.asked if "stream" in asked)
    assert heard == ["stream host/golden", "stream host/int8", "stream host/int8-float"]
    count = len(engine.asked)
    recipe = candidate.recipes[0]
    run.listening(candidate, recipe, "talk")
    run.against(candidate, recipe)
    run.own_path(candidate, recipe)
    assert len(engine.asked) == count


def test_of_a_build_alone_nothing_is_heard(candidate: Candidate, tmp_path: Path) -> None:
    _, engine = done(candidate, tmp_path, ["artifact", "size"])
    assert engine.asked == ["render clean", "render clean", "build host/int8"]  # its calibration: all, and the chosen


def test_boards_are_left_to_their_own_tests(
    candidate: Candidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = candidate.recipes[0]
    silicon = type("Silicon", (LocalBoard,), {"evidence": Evidence.BOARD})()
    kept = Run.board
    monkeypatch.setattr(Run, "board", lambda run, one, recipe: silicon if recipe == own else kept(run, one, recipe))
    _, engine = done(candidate, tmp_path, ["judged", "golden"])
    assert "build host/int8" in engine.asked
    assert {asked for asked in engine.asked if "run" in asked} == {"run host/golden"}


def test_what_fails_is_left_for_its_test_to_tell(candidate: Candidate, tmp_path: Path) -> None:
    run, engine = done(candidate, tmp_path, ["judged"], broken=True)
    count = len(engine.asked)
    with pytest.raises(ToolchainError, match="it broke"):
        run.comparison(candidate, candidate.recipes[0])
    assert len(engine.asked) == count
