"""The stages of many builds at once, on an engine that has room for it; what judges them then finds them done.

Whatever is not done ahead is done when it is asked for. What fails is remembered by the run, and told by the tests
whose stage it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from harness.candidate import Candidate, Stream
from harness.errors import VoxgateError
from harness.recipe import FLOAT, Recipe
from harness.run import Run
from harness.streaming import golden_stream, streams_of
from harness.targets.base import Evidence
from harness.targets.registry import registry

AT_ONCE = 32  # stages that are waited for
OF_WINDOWS = frozenset({"golden", "float_judged", "judged", "parity"})  # what rests on the outputs of all conditions
OF_STREAMS = frozenset({"listening", "against", "own_path", "whole", "released"})
OF_BUILDS: dict[str, Callable[[Run, Candidate, Recipe], object]] = {
    "judged": Run.comparison,
    "parity": Run.parity,
    "against": Run.against,
    "own_path": Run.own_path,
    "whole": Run.whole,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What tests ask of one build, by the names of the fixtures; ``recipe`` is None for the candidate's own."""

    candidate: Candidate
    recipe: Recipe | None
    fixtures: frozenset[str]


def ahead(run: Run, asked: Sequence[Asked]) -> None:
    """Do all that is asked for and needs no board: builds go on elsewhere while clips are rendered.

    What is spread over helpers of this process is done by this thread alone.
    """
    asked = [each for each in asked if _done(partial(run.ready, each.candidate))]
    for candidate, recipe in _recipes(asked):
        if recipe.calibrated and not candidate.imported:
            _done(partial(run.calibration, candidate, recipe))
    with _at_once() as begin:
        for candidate, recipe in _recipes(asked):
            begin(partial(run.artifact, candidate, recipe))
        for each in asked:
            for condition in run.conditions(each.candidate) if each.fixtures & OF_WINDOWS else ():
                _done(partial(run.features, each.candidate, condition))
            for stream in _streams(each):
                _done(partial(run.heard_stream, each.candidate, stream))
        for each in asked:
            for stage in _last(run, each):
                begin(stage)


def _last(run: Run, asked: Asked) -> Iterator[Callable[[], object]]:
    """Outputs of one build, and what is decided by them."""
    candidate, recipe, names = asked.candidate, asked.recipe, asked.fixtures
    if names & OF_WINDOWS:
        yield partial(run.comparison, candidate, FLOAT)
    if "released" in names:
        yield partial(run.golden_scores, candidate)
    if recipe is None or not _off_board(run, candidate, recipe):
        return
    for name in names & OF_BUILDS.keys():
        yield partial(OF_BUILDS[name], run, candidate, recipe)
    for stream in _streams(asked) if "listening" in names else ():
        yield partial(run.scores, candidate, recipe, stream)


def _streams(asked: Asked) -> list[Stream]:
    if not asked.fixtures & OF_STREAMS:
        return []
    return streams_of(asked.candidate, asked.recipe) if asked.recipe else [golden_stream(asked.candidate)]


def _recipes(asked: Sequence[Asked]) -> list[tuple[Candidate, Recipe]]:
    """All that is built, each once: what is asked for, the float path it is held to, and the float model itself."""
    found: dict[tuple[str, str], tuple[Candidate, Recipe]] = {}
    for each in asked:
        recipes = [FLOAT] if each.fixtures & OF_WINDOWS else []
        if each.recipe is not None:
            recipes.append(each.recipe)
            if "parity" in each.fixtures:
                recipes.append(registry()[each.recipe.target].float_recipe(each.recipe))
        found |= {(each.candidate.name, recipe.id): (each.candidate, recipe) for recipe in recipes}
    return list(found.values())


def _off_board(run: Run, candidate: Candidate, recipe: Recipe) -> bool:
    """Whether it runs on no board: those are asked by their own tests, one after another."""
    with suppress(VoxgateError):
        return run.lab is None and run.board(candidate, recipe).evidence is not Evidence.BOARD
    return False


def _done(stage: Callable[[], object]) -> bool:
    with suppress(Exception):  # the run remembers it
        stage()
        return True
    return False


@contextmanager
def _at_once() -> Iterator[Callable[[Callable[[], object]], object]]:
    """Begins stages side by side, and waits for them at the end; not where it is broken off."""
    threads = ThreadPoolExecutor(AT_ONCE)
    try:
        yield lambda stage: threads.submit(_done, stage)
        threads.shutdown(wait=True)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
