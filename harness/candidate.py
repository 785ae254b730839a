"""model.toml to Candidate: what wants to be released, and the limits it must keep.

A candidate is one folder. Unknown keys are refused with the nearest known name, and no path may
leave the folder: a model.toml is untrusted input.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.audio.frontend import FrontEnd
from harness.errors import CandidateError, nearest

MAX_TOML = 256 * 1024
MAX_MODEL = 256 * 1024 * 1024


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Calibration(Strict):
    """Which clips set the quantization ranges, and by which algorithm."""

    algorithm: Literal["minmax", "percentile", "entropy", "mse"] = "minmax"
    clips: int = Field(200, ge=1, le=5000)
    seed: int = 1
    condition: str | tuple[str, ...] = "clean"  # several: each clip goes through one of them, in turn

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,) if isinstance(self.condition, str) else self.condition

    @model_validator(mode="after")
    def _some_condition(self) -> Calibration:
        if not self.conditions:
            raise ValueError("condition = [] names none")
        return self


# int16 has weights and activations of 16 bits; int8-dynamic measures activations at every inference;
# int8-weight-only computes in float.
Precision = Literal["fp32", "fp16", "int16", "int8", "int8-dynamic", "int8-weight-only"]


class Recipe(Strict):
    """How one target quantizes the candidate."""

    target: str
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    precision: Precision
    runtime: Literal["onnxruntime", "litert"] | None = None
    per_channel: bool = True
    symmetric: bool = False
    activation_bits: Literal[8, 16] = 8  # of int8: 16 keeps 8-bit weights (a16w8)
    soc: str = Field("", max_length=32)  # the chip to compile for, where a target has several: "SM8550"
    keep_float: tuple[str, ...] = ()  # of int8: layers, or patterns of them, that stay in float
    calibration: Calibration = Calibration()
    op_target: dict[str, str] = {}  # output tensor to unit, as RKNN's op_target: {"/conv1/Conv_output_0" = "cpu"}

    @property
    def id(self) -> str:
        return f"{self.target}/{self.name}"

    @property
    def calibrated(self) -> bool:
        """Whether activations are quantized by ranges that calibration clips set."""
        return self.precision in ("int8", "int16")

    @model_validator(mode="after")
    def _keeps_of_int8(self) -> Recipe:
        if self.keep_float and self.precision != "int8":
            raise ValueError(f'keep_float names what precision = "int8" leaves in float, not {self.precision}')
        return self


class Allow(Strict):
    """A node that may run off the target's accelerator, and why."""

    target: str
    op: str = "*"
    node: str = "*"
    reason: str = Field(min_length=8)

    def covers(self, target: str, op: str, node: str) -> bool:
        return self.target == target and fnmatchcase(op, self.op) and fnmatchcase(node, self.node)


class Since(Strict):
    """One limit for each kind of margin; ``slices`` overrides single ones by their id."""

    overall: float | None = None
    group: float | None = None  # accents=native, accents=seen, accents=unseen
    accent: float | None = None
    condition: float | None = None
    slices: dict[str, float] = {}

    def limit(self, slice_id: str, kind: str) -> float | None:
        """The limit for a slice, or None where the candidate states none."""
        if slice_id in self.slices:
            return self.slices[slice_id]
        value: float | None = getattr(self, kind, None)
        return value

    @property
    def declared(self) -> bool:
        """Whether there is any limit at all."""
        return self != type(self)()


class Margins(Since):
    """Limits of margins, and of cells, which are screened for harm."""

    cell: float | None = None


class LatencyBudget(Strict):
    """Upper limits in milliseconds."""

    p50: float | None = Field(None, gt=0)
    p95: float | None = Field(None, gt=0)
    p99: float | None = Field(None, gt=0)


class Budgets(Strict):
    """What a build must keep. Units stand in the field names or beside them."""

    confidence: float = Field(0.95, gt=0.5, lt=1)
    drop: Margins = Margins()  # points of accuracy lost against golden
    flips: Margins = Margins()  # percent of renderings whose decision differs from golden
    sqnr: Margins = Margins()  # least dB of logit signal over quantization noise
    regression: Since = Since()  # points of accuracy lost since the last accepted release
    drift: Since = Since()  # points of accuracy lost since the first one
    latency_ms: LatencyBudget = LatencyBudget()  # one inference, model alone
    end_to_end_ms: LatencyBudget = LatencyBudget()  # audio in, front end, model, decision
    slowdown: float | None = Field(None, gt=0)  # median inference over that of the float path, side by side
    parity: float = Field(1e-3, gt=0)  # largest |logit difference| of the float conversion
    layers: int | None = Field(None, gt=0)
    file_kib: float | None = Field(None, gt=0)
    weights_kib: float | None = Field(None, gt=0)
    activations_kib: float | None = Field(None, gt=0)
    rss_mib: float | None = Field(None, gt=0)
    energy_mj: float | None = Field(None, gt=0)  # of one inference, end to end, idle subtracted
    cpu_share: float | None = Field(None, ge=0, le=100)  # percent of an inference's time off the accelerator


class Floor(Strict):
    """Absolute sanity: the least score, whatever float scored."""

    of: Literal["golden", "artifact", "both"] = "both"
    metric: Literal["accuracy", "recall"] = "accuracy"
    slice: str = "overall"
    min: float = Field(ge=0, le=100)  # percent


class Head(Strict):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    task: Literal["keyword"]
    model: str = "model.onnx"
    tflite: str | None = None
    labels: tuple[str, ...] = Field(min_length=2)
    background: tuple[str, ...] = ("unknown", "silence")  # labels that are not keywords
    corpus: str
    unseen_accents: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()  # empty: every condition of the house

    @model_validator(mode="after")
    def _labels_differ(self) -> Head:
        twice = sorted({label for label in self.labels if self.labels.count(label) > 1})
        if twice:
            raise ValueError(f"labels listed twice: {', '.join(twice)}")
        return self


class _Special(Strict):
    """``[budgets.for."target"]`` and ``[budgets.for."target/recipe"]``: tables laid over the general one."""

    for_: dict[str, dict[str, Any]] = Field({}, alias="for")


class ModelToml(Strict):
    candidate: Head
    frontend: FrontEnd
    recipe: tuple[Recipe, ...] = Field(min_length=1)
    allow: tuple[Allow, ...] = ()
    floor: tuple[Floor, ...] = ()
    budgets: dict[str, Any] = {}


MODELS = (ModelToml, Head, Recipe, Calibration, Allow, Floor, Since, Margins, LatencyBudget, Budgets, FrontEnd)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that wants to be released. ``house`` holds its golden and corpora."""

    folder: Path
    house: Path
    head: Head
    frontend: FrontEnd
    recipes: tuple[Recipe, ...]
    allow: tuple[Allow, ...]
    floors: tuple[Floor, ...]
    _budgets: dict[str, Any]

    @property
    def name(self) -> str:
        return self.head.name

    @property
    def labels(self) -> tuple[str, ...]:
        return self.head.labels

    @property
    def model(self) -> Path:
        return inside(self.folder, self.head.model)

    @property
    def tflite(self) -> Path | None:
        return inside(self.folder, self.head.tflite) if self.head.tflite else None

    def budgets(self, recipe: Recipe) -> Budgets:
        """The limits for one build: general, then the target's, then the recipe's own."""
        return _budgets(self._budgets, recipe)

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
    files = [candidate.model] + ([candidate.tflite] if candidate.tflite else [])
    for file in files:
        if not file.is_file():
            raise CandidateError(f"{path} names {file.name}, which is not in {candidate.folder}; export it there.")
        if file.stat().st_size > MAX_MODEL:
            raise CandidateError(f"{file} is larger than {MAX_MODEL >> 20} MiB; voice models for edge boards are not.")


def _budgets(table: dict[str, Any], recipe: Recipe) -> Budgets:
    general = {key: value for key, value in table.items() if key != "for"}
    special = _Special.model_validate({"for": table.get("for", {})}).for_
    for key in (recipe.target, recipe.id):
        general = _merged(general, special.get(key, {}))
    return Budgets.model_validate(general)


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in over.items():
        old = both.get(key)
        both[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both


def faults(error: ValidationError, models: Sequence[type[BaseModel]]) -> Iterator[str]:
    """Every fault of a file in words; unknown keys with the nearest of the ``models`` that make it up."""
    known = {name for model in models for name in model.model_fields}
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"]) or "the whole"
        if fault["type"] == "extra_forbidden":
            key = str(fault["loc"][-1])
            yield f"unknown key {where}{nearest(key, known)}"
        else:
            message = fault["msg"].removeprefix("Value error, ")
            yield f"{where}: {message} (found {_short(fault.get('input'))})"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
