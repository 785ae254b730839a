"""pipeline.toml to Pipeline: a trigger that always listens, and the recognizer that it wakes.

Both are candidates of the same house, each built by a recipe of its own for one target. Unknown keys are refused
with the nearest known name, as in a model.toml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from harness.audio.ambience import AMBIENCES, Ambience
from harness.budgets import LatencyBudget, overlaid
from harness.candidate import Candidate, house_of
from harness.errors import CandidateError, nearest
from harness.recipe import Recipe
from harness.strict import Strict, faults, read_toml

COMMAND_TASKS = ("command", "keyword")


class PipelineHead(Strict):
    """``window_s`` after the trigger are heard by the command model (its own window where it is not given)."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    trigger: str
    command: str
    before_s: float = Field(0.0, ge=0, le=2)  # how much of the window lies before the detection
    chunk_ms: float = Field(20.0, gt=1, le=1000)  # in which the audio driver delivers


class Couple(Strict):
    """One build: recipes of trigger and command by their names, on one target. ``hours``: of the stream's begin."""

    target: str
    trigger: str
    command: str
    hours: float | None = Field(None, gt=0, le=24)

    @property
    def name(self) -> str:
        """As rows and reports call it."""
        return f"{self.trigger}+{self.command}"

    @property
    def id(self) -> str:
        return f"{self.target}/{self.name}"


class Said(Strict):
    """The stream: so many times the word, and after a pause a command, among all else that the corpora say."""

    corpora: tuple[str, ...] = ()  # beside those of trigger and command: who talks meanwhile
    hours: float = Field(gt=0, le=24)
    utterances: int = Field(gt=0, le=10_000)
    pause_s: tuple[float, float] = (0.2, 0.6)
    ambiences: tuple[str, ...] = ()  # where it is heard; empty: everywhere (harness.audio.ambience)
    seed: int = 1

    @field_validator("ambiences")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = [each.id for each in AMBIENCES]
        for name in names:
            if name not in known:
                raise ValueError(f"no ambience is named {name!r}{nearest(name, known)}; there are {', '.join(known)}")
        return names

    @field_validator("pause_s")
    @classmethod
    def _ascending(cls, pause: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= pause[0] <= pause[1]:
            raise ValueError("the shortest pause, then the longest, in seconds")
        return pause

    @property
    def places(self) -> list[Ambience]:
        return [each for each in AMBIENCES if not self.ambiences or each.id in self.ambiences]


class PipelineBudgets(Strict):
    """What trigger and recognizer must keep together."""

    confidence: float = Field(0.95, gt=0.5, lt=1)
    success: float | None = Field(None, ge=0, le=100)  # least percent of utterances understood, end to end
    command_accuracy: float | None = Field(None, ge=0, le=100)  # least percent understood of those that woke it
    wer: float | None = Field(None, gt=0)  # most percent of words wrong in what was written, of those that woke it
    false_activations_per_hour: float | None = Field(None, gt=0)  # upper bound: commands done that nobody gave
    response_ms: LatencyBudget = LatencyBudget()  # from the end of speech to the result
    memory_mib: float | None = Field(None, gt=0)  # resident, of both together


class PipelineToml(Strict):
    pipeline: PipelineHead
    build: tuple[Couple, ...] = Field(min_length=1)
    stream: Said
    budgets: dict[str, Any] = Field({})


MODELS = (PipelineToml, PipelineHead, Couple, Said, PipelineBudgets, LatencyBudget)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline.toml, its candidates found."""

    folder: Path
    house: Path
    head: PipelineHead
    pairs: tuple[Couple, ...]
    said: Said
    _budgets: dict[str, Any]
    trigger: Candidate
    command: Candidate

    @property
    def name(self) -> str:
        return self.head.name

    def pair(self, target: str, name: str) -> Couple:
        return next(pair for pair in self.pairs if (pair.target, pair.name) == (target, name))

    def budgets(self, pair: Couple) -> PipelineBudgets:
        """The limits of one build: general, then the target's, then its own."""
        return PipelineBudgets.model_validate(overlaid(self._budgets, (pair.target, pair.id)))

    def recipes(self, pair: Couple) -> tuple[Recipe, Recipe]:
        """Of trigger and command."""
        return self.trigger.recipe(f"{pair.target}/{pair.trigger}"), self.command.recipe(
            f"{pair.target}/{pair.command}"
        )


def find_pipelines(folders: Sequence[Path], candidates: Mapping[str, Candidate]) -> list[Pipeline]:
    """Every ``pipelines/*/pipeline.toml`` of the houses given, by name. Raises CandidateError."""
    found: dict[str, Pipeline] = {}
    for folder in folders:
        house, _ = house_of(folder.resolve())
        for path in sorted((house / "pipelines").glob("*/pipeline.toml")):
            pipeline = load(path, house, candidates)
            if pipeline.name in found or pipeline.name in candidates:
                raise CandidateError(f"{path}: another pipeline or candidate is named {pipeline.name!r}; rename it.")
            found[pipeline.name] = pipeline
    return list(found.values())


def load(path: Path, house: Path, candidates: Mapping[str, Candidate]) -> Pipeline:
    """Read one pipeline.toml. Raises CandidateError with every fault of it."""
    raw = read_toml(path, CandidateError)
    try:
        parsed = PipelineToml.model_validate(raw)
        for pair in parsed.build:
            PipelineBudgets.model_validate(overlaid(parsed.budgets, (pair.target, pair.id)))
    except ValidationError as error:
        raise CandidateError(f"{path}: {'; '.join(faults(error, MODELS))}.") from error
    head = parsed.pipeline
    trigger = _candidate(path, "trigger", head.trigger, ("wakeword",), candidates)
    command = _candidate(path, "command", head.command, COMMAND_TASKS, candidates)
    if trigger.frontend.sample_rate != command.frontend.sample_rate:
        raise CandidateError(
            f"{path}: {trigger.name} hears {trigger.frontend.sample_rate} Hz and {command.name} "
            f"{command.frontend.sample_rate}; one microphone has one rate: train both at it."
        )
    pipeline = Pipeline(path.parent, house, head, parsed.build, parsed.stream, parsed.budgets, trigger, command)
    ids = [pair.id for pair in pipeline.pairs]
    if len(set(ids)) < len(ids):
        raise CandidateError(f"{path}: two [[build]] are the same pair of recipes on one target; keep one.")
    for pair in pipeline.pairs:
        pipeline.recipes(pair)
    builds = [*dict.fromkeys(pair.target for pair in pipeline.pairs), *ids]
    for name in parsed.budgets.get("for", {}):
        if name not in builds:
            raise CandidateError(
                f"{path}: budgets.for.{name!r} is no target or build declared here{nearest(name, builds)}; declared: "
                f"{', '.join(builds)}."
            )
    return pipeline


def _candidate(
    path: Path, role: str, name: str, tasks: Sequence[str], candidates: Mapping[str, Candidate]
) -> Candidate:
    if name not in candidates:
        raise CandidateError(
            f"{path}: its {role} {name!r} is no candidate of this run{nearest(name, candidates)}; there are "
            f"{', '.join(sorted(candidates)) or 'none'}."
        )
    found = candidates[name]
    if found.task not in tasks:
        raise CandidateError(
            f"{path}: its {role} {name!r} is of task {found.task!r}; a {role} is of task {' or '.join(tasks)}."
        )
    return found
