"""model.toml to Candidate: what wants to be released, and the limits it must keep.

A candidate is one folder. Unknown keys are refused with the nearest known name, and no path may
leave the folder: a model.toml is untrusted input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from harness.audio.frontend import FrontEnd
from harness.audio.grammar import Grammar, read_grammar
from harness.budgets import (
    Budgets,
    CommandBudget,
    Floor,
    LatencyBudget,
    Margins,
    Since,
    WakewordBudget,
    layered,
)
from harness.errors import CandidateError, nearest
from harness.recipe import Allow, Calibration, Recipe, Training
from harness.strict import Strict, faults, read_toml

MAX_MODEL = 256 * 1024 * 1024


class Head(Strict):
    """What candidates of every task say of themselves. ``labels`` name the model's outputs in their order."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    model: str = "model.onnx"
    tflite: str | None = None
    labels: tuple[str, ...] = Field(min_length=1)
    corpus: str
    unseen_accents: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()  # empty: every condition of the house
    device_features: str | None = None  # audio and what the device's own front end made of it: .safetensors

    @model_validator(mode="after")
    def _labels_differ(self) -> Head:
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if twice:
            raise ValueError(f"labels listed twice: {', '.join(twice)}")
        return self


class KeywordHead(Head):
    """One decision a window: the label of its greatest output."""

    task: Literal["keyword"]
    labels: tuple[str, ...] = Field(min_length=2)
    background: tuple[str, ...] = ("unknown", "silence")  # labels that are not keywords


class WakewordHead(Head):
    """A score a step, from audio that never ends: ``labels`` holds the one word that the score is of.

    The model is a step: it takes ``frontend.frames`` frames and its state, and gives a score and its next state.
    ``states`` names each state's input and the output it comes from; they stand in the model's order behind the
    features and the score. ``whole`` is the same model over whole sequences, from silence: what streaming is held to.
    An ``imported`` model is a ready .tflite that keeps its state to itself, of which nobody here has a float source.
    """

    task: Literal["wakeword"]
    labels: tuple[str, ...] = Field(min_length=1, max_length=1)
    states: dict[str, str] = Field({})
    whole: str | None = None
    imported: bool = False
    average: int = Field(1, ge=1, le=100)  # steps whose scores are averaged before they are held to the threshold
    threshold: float  # a score that reaches it wakes the device
    refractory_s: float = Field(1.5, gt=0, le=60)  # after it has woken: deaf

    @model_validator(mode="after")
    def _state_somewhere(self) -> WakewordHead:
        if self.imported == bool(self.states):
            raise ValueError(
                "a streaming step passes its state in and out: name every state as states = { input = "
                '"output" }; only an imported .tflite, with imported = true, keeps it inside and names none'
            )
        if self.imported != self.model.endswith(".tflite"):
            raise ValueError("an imported model is a ready .tflite; every other is an .onnx with its float weights")
        if self.whole and self.imported:
            raise ValueError("whole is a float source, which an imported model lacks")
        return self


class CommandHead(Head):
    """A token a frame, by CTC: ``labels`` are letters and the blank, the outputs ``(frames, labels)``."""

    task: Literal["command"]
    labels: tuple[str, ...] = Field(min_length=3)
    blank: str = "<blank>"
    grammar: str = "grammar.toml"  # the sentences it may hear
    reject: float = Field(-2.0, lt=0)  # nats a letter: a likeliest sentence that is less likely is none

    @model_validator(mode="after")
    def _letters(self) -> CommandHead:
        if self.blank not in self.labels:
            raise ValueError(f"blank = {self.blank!r} is not among the labels{nearest(self.blank, self.labels)}")
        longer = [label for label in self.labels if label != self.blank and len(label) != 1]
        if longer:
            raise ValueError(f"a label beside the blank is one letter, or the space, not {longer[0]!r}")
        return self


AnyHead = KeywordHead | WakewordHead | CommandHead


class Stream(Strict):
    """Audio to listen to: utterances of the word among all else that its corpora say."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    corpora: tuple[str, ...] = Field(min_length=1)  # recordings only, or synthetic speech only
    word_from: tuple[str, ...] = ()  # those of which only the word is heard, and nothing else they say
    hours: float = Field(gt=0, le=24)
    words: int = Field(ge=0, le=10_000)
    seed: int = 1
    targets: tuple[str, ...] = ()  # whose builds hear it; empty: all

    def heard_by(self, target: str) -> bool:
        return not self.targets or target in self.targets


class ModelToml(Strict):
    candidate: Annotated[AnyHead, Field(discriminator="task")]
    frontend: FrontEnd
    stream: tuple[Stream, ...] = ()
    recipe: tuple[Recipe, ...] = Field(min_length=1)
    training: Training | None = None
    allow: tuple[Allow, ...] = ()
    floor: tuple[Floor, ...] = ()
    budgets: dict[str, Any] = Field({})


TASKS = ("keyword", "wakeword", "command")
MODELS = (
    *(ModelToml, KeywordHead, WakewordHead, CommandHead, Stream, Recipe, Calibration, Training, Allow, Floor, Since),
    *(Margins, LatencyBudget, WakewordBudget, CommandBudget, Budgets, FrontEnd),
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that wants to be released. ``house`` holds its golden and corpora."""

    folder: Path
    house: Path
    head: AnyHead
    frontend: FrontEnd
    streams: tuple[Stream, ...]
    recipes: tuple[Recipe, ...]
    allow: tuple[Allow, ...]
    floors: tuple[Floor, ...]
    _budgets: dict[str, Any]
    training: Training | None = None

    @property
    def name(self) -> str:
        return self.head.name

    @property
    def task(self) -> str:
        return self.head.task

    @property
    def labels(self) -> tuple[str, ...]:
        return self.head.labels

    @property
    def model(self) -> Path:
        return inside(self.folder, self.head.model)

    @property
    def tflite(self) -> Path | None:
        return inside(self.folder, self.head.tflite) if self.head.tflite else None

    @property
    def device_features(self) -> Path | None:
        return inside(self.folder, self.head.device_features) if self.head.device_features else None

    @property
    def background(self) -> tuple[str, ...]:
        """Labels that are not keywords."""
        return self.head.background if isinstance(self.head, KeywordHead) else ()

    @property
    def whole(self) -> Path | None:
        """The model over whole sequences, where a streaming candidate has one."""
        name = self.head.whole if isinstance(self.head, WakewordHead) else None
        return inside(self.folder, name) if name else None

    @property
    def states(self) -> dict[str, str]:
        """Each state's input and the output it comes from; none of a model that hears windows."""
        return self.head.states if isinstance(self.head, WakewordHead) else {}

    @property
    def imported(self) -> bool:
        """Whether the model came ready and quantized, without a float source."""
        return isinstance(self.head, WakewordHead) and self.head.imported

    @property
    def grammar(self) -> Grammar | None:
        """What a command model may hear; None for other tasks. Raises CandidateError where it is none."""
        if not isinstance(self.head, CommandHead):
            return None
        found = read_grammar(inside(self.folder, self.head.grammar))
        strange = sorted({letter for text in found.sentences for letter in text} - set(self.labels))
        if strange:
            raise CandidateError(
                f"{self.name}: its grammar has the letters {strange}, which its labels lack; list every letter that "
                "the model was trained to write."
            )
        return found

    def budgets(self, recipe: Recipe) -> Budgets:
        """The limits for one build: general, then the target's, then the recipe's own."""
        return layered(self._budgets, recipe)

    def recipe(self, recipe_id: str) -> Recipe:
        for recipe in self.recipes:
            if recipe.id == recipe_id:
                return recipe
        known = [recipe.id for recipe in self.recipes]
        raise CandidateError(
            f"{self.name} has no recipe {recipe_id!r}{nearest(recipe_id, known)}; "
            f"its model.toml declares {', '.join(known)}."
        )


def inside(folder: Path, name: str) -> Path:
    """``name`` resolved within ``folder``; a path that leaves it (also by a link) is refused."""
    try:
        path = (folder / name).resolve()
        path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name too long, a null byte
        why = getattr(error, "strerror", None) or error  # with the name, an OSError is as long as the name
        raise CandidateError(f"{name!r:.60} in {folder} is no file name ({why}); rename it.") from error
    if not path.is_relative_to(folder.resolve()):
        raise CandidateError(f"{name!r:.200} in {folder} leads out of its folder; move the file into it.")
    return path


def house_of(folder: Path) -> tuple[Path, Path]:
    """``(house, models folder)`` of a --candidates DIR: a house has models/, else DIR is both."""
    return (folder, folder / "models") if (folder / "models").is_dir() else (folder, folder)


def find_candidates(folders: Sequence[Path]) -> list[Candidate]:
    """Every candidate below the given folders, by name; two of one name are refused."""
    found: dict[str, Candidate] = {}
    for folder in folders:
        if not folder.is_dir():
            raise CandidateError(f"--candidates {folder}: no such folder. Name one that holds */model.toml.")
        house, models = house_of(folder.resolve())
        for path in sorted(models.glob("*/model.toml")):
            candidate = load(path.parent, house)
            if candidate.name in found:
                raise CandidateError(
                    f"two candidates are named {candidate.name!r}: {found[candidate.name].folder} and "
                    f"{candidate.folder}; rename one in its model.toml."
                )
            found[candidate.name] = candidate
    return list(found.values())


def load(folder: Path, house: Path | None = None) -> Candidate:
    """Read one candidate folder. Raises CandidateError with every fault of its model.toml."""
    path = folder / "model.toml"
    if not path.is_file():
        raise CandidateError(f"{folder} has no model.toml; see docs/bring-your-own-model.md for one to start from.")
    raw = read_toml(path, CandidateError)
    try:
        parsed = ModelToml.model_validate(raw)
        candidate = Candidate(
            folder=folder.resolve(),
            house=(house or folder.parent).resolve(),
            head=parsed.candidate,
            frontend=parsed.frontend,
            streams=parsed.stream,
            recipes=parsed.recipe,
            allow=parsed.allow,
            floors=parsed.floor,
            _budgets=parsed.budgets,
            training=parsed.training,
        )
        for recipe in candidate.recipes:
            candidate.budgets(recipe)
    except ValidationError as error:
        raise CandidateError(f"{path}: {'; '.join(faults(error, MODELS, TASKS))}.") from error
    _check(candidate, path)
    return candidate


def _check(candidate: Candidate, path: Path) -> None:
    ids = [recipe.id for recipe in candidate.recipes]
    builds = [*dict.fromkeys(recipe.target for recipe in candidate.recipes), *ids]
    for name in candidate._budgets.get("for", {}):
        if name not in builds:
            raise CandidateError(
                f"{path}: budgets.for.{name!r} is no target or recipe declared here{nearest(name, builds)}; "
                f"declared: {', '.join(builds)}."
            )
    twice = sorted({recipe_id for recipe_id in ids if ids.count(recipe_id) > 1})
    if twice:
        raise CandidateError(f"{path}: recipes declared twice: {', '.join(twice)}; give each its own name.")
    candidate.grammar  # noqa: B018 -- read, so that its faults are told at once
    files = [file for file in (candidate.model, candidate.tflite, candidate.whole, candidate.device_features) if file]
    names = [stream.name for stream in candidate.streams]
    if (candidate.task == "wakeword") != bool(names) or len(names) != len(set(names)):
        raise CandidateError(
            f"{path}: a wakeword candidate is judged on streams, and no other is: declare one [[stream]] or more, each "
            "of another name, as docs/streaming.md shows."
        )
    _check_streams(candidate, path)
    for file in files:
        if not file.is_file():
            raise CandidateError(f"{path} names {file.name}, which is not in {candidate.folder}; export it there.")
        if file.stat().st_size > MAX_MODEL:
            raise CandidateError(f"{file} is larger than {MAX_MODEL >> 20} MiB; voice models for edge boards are not.")


def _check_streams(candidate: Candidate, path: Path) -> None:
    """A name that is nobody's would leave a stream unheard, and its figures unasked for."""
    targets = tuple(dict.fromkeys(recipe.target for recipe in candidate.recipes))
    for stream in candidate.streams:
        for recipe in candidate.recipes if not stream.words else ():
            limits = candidate.budgets(recipe).wakeword
            if stream.heard_by(recipe.target) and (limits.frr.declared or limits.delay_ms != LatencyBudget()):
                raise CandidateError(
                    f"{path}: the stream {stream.name} has words = 0, so that {recipe.id}, which hears it, can keep no "
                    f"limit of frr or delay_ms; lay words into it, or give {recipe.target} no such limit."
                )
        for key, given, known in (
            ("targets", stream.targets, targets),
            ("word_from", stream.word_from, stream.corpora),
        ):
            strange = [name for name in given if name not in known]
            if strange:
                raise CandidateError(
                    f"{path}: {key} of the stream {stream.name} names {strange[0]!r}{nearest(strange[0], known)}; it "
                    f"can name {', '.join(known)}."
                )
