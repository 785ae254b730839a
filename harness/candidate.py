"""model.toml to Candidate: what wants to be released, and the limits it must keep.

A candidate is one folder. Unknown keys are refused with the nearest known name, and no path may
leave the folder: a model.toml is untrusted input.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from harness.audio.frontend import FrontEnd
from harness.budgets import Budgets, Floor, LatencyBudget, Margins, Since, WakewordBudget, layered
from harness.errors import CandidateError, nearest
from harness.recipe import Allow, Calibration, Recipe
from harness.strict import MAX_TOML, Strict, faults

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


class ModelToml(Strict):
    candidate: KeywordHead
    frontend: FrontEnd
    recipe: tuple[Recipe, ...] = Field(min_length=1)
    allow: tuple[Allow, ...] = ()
    floor: tuple[Floor, ...] = ()
    budgets: dict[str, Any] = Field({})


MODELS = (
    ModelToml,
    KeywordHead,
    Recipe,
    Calibration,
    Allow,
    Floor,
    Since,
    Margins,
    LatencyBudget,
    WakewordBudget,
    Budgets,
    FrontEnd,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that wants to be released. ``house`` holds its golden and corpora."""

    folder: Path
    house: Path
    head: KeywordHead
    frontend: FrontEnd
    recipes: tuple[Recipe, ...]
    allow: tuple[Allow, ...]
    floors: tuple[Floor, ...]
    _budgets: dict[str, Any]

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
        raise CandidateError(f"{name!r:.60} in {folder} is no file name ({error}); rename it.") from error
    if not path.is_relative_to(folder.resolve()):
        raise CandidateError(f"{name!r} in {folder} leads out of its folder; move the file into it.")
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
    if path.stat().st_size > MAX_TOML:
        raise CandidateError(f"{path} is larger than {MAX_TOML // 1024} KiB; a model.toml holds no data.")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        parsed = ModelToml.model_validate(raw)
        candidate = Candidate(
            folder=folder.resolve(),
            house=(house or folder.parent).resolve(),
            head=parsed.candidate,
            frontend=parsed.frontend,
            recipes=parsed.recipe,
            allow=parsed.allow,
            floors=parsed.floor,
            _budgets=parsed.budgets,
        )
        for recipe in candidate.recipes:
            candidate.budgets(recipe)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CandidateError(f"{path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        raise CandidateError(f"{path}: {'; '.join(faults(error, MODELS))}.") from error
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
    files = [file for file in (candidate.model, candidate.tflite, candidate.device_features) if file]
    for file in files:
        if not file.is_file():
            raise CandidateError(f"{path} names {file.name}, which is not in {candidate.folder}; export it there.")
        if file.stat().st_size > MAX_MODEL:
            raise CandidateError(f"{file} is larger than {MAX_MODEL >> 20} MiB; voice models for edge boards are not.")
