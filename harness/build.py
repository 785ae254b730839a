"""Candidate and Recipe to Artifact, once: addressed by the content of every input and tool."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import __version__
from harness.cache import Cache, Entry, digest
from harness.candidate import Candidate
from harness.errors import ToolchainError, Unsupported
from harness.quantize import trained
from harness.recipe import Recipe
from harness.targets.base import OPTIONAL, Artifact, Evidence, Features, Job, Node, Placement, Progress, Sizes, Target

RECORD = "artifact.json"
FORMAT = 2  # of the record; raise when it changes, so that older ones are built anew


def artifact_key(target: Target, candidate: Candidate, recipe: Recipe, calibration: Features) -> str:
    """The digest of all that a build depends on: models, recipe, calibration, tool versions."""
    models: list[Any] = [candidate.model]
    if candidate.tflite is not None:
        models.append(candidate.tflite)
    return digest(
        __version__,
        FORMAT,
        candidate.name,  # the record bears it
        target.name,
        target.settings(),
        target.tools(recipe),
        recipe.model_dump(mode="json"),
        candidate.states,
        calibration.shape,
        calibration.tobytes(),
        *models,
    )


Maker = Callable[[Target, Candidate, Job], Artifact]  # fills the folder of the job


def here(target: Target, candidate: Candidate, job: Job) -> Artifact:
    """By the target's toolchain on this machine."""
    del candidate  # the job has it, with trained weights in place of its own
    return target.build(job)


def build(
    target: Target,
    candidate: Candidate,
    recipe: Recipe,
    calibration: Features,
    cache: Cache,
    say: Progress,
    by: Maker = here,
) -> tuple[Artifact, Entry]:
    """The artifact, from the cache when nothing it depends on changed.

    Raises Unsupported where the target cannot honour the recipe, ToolchainError where it fails.
    """
    refuse_strange(target, candidate, recipe)
    source = trained.stand_in(candidate, recipe)
    target.check(source, recipe)
    key = artifact_key(target, source, recipe, calibration)

    def make(folder: Path) -> None:
        say(f"building {candidate.name} for {recipe.id}")
        job = Job(source, recipe, calibration, source.model, folder, key, say)
        artifact = by(target, candidate, job)
        if recipe.method != "ptq":
            told = trained.record(candidate, recipe).provenance(recipe.method)
            artifact = replace(artifact, tools=artifact.tools | told)
        record = artifact.record() | {"content": content(artifact.file)}
        (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")

    entry = cache.entry("artifacts", key, make)
    artifact = load(entry.path)
    if artifact.key != key:
        raise _unusable(entry.path, f"it is the build of other inputs, {artifact.key[:12]}, not of {key[:12]}")
    return artifact, entry


def refuse_strange(target: Target, candidate: Candidate, recipe: Recipe) -> None:
    """Raise Unsupported for what this target would not read in the recipe: it must not look honoured."""
    if candidate.task == "wakeword" and not target.streams:
        raise Unsupported(
            f"{candidate.name} {recipe.id}: a streaming step passes its state from one inference to the next, which "
            f"this house does for host and rk3588 and not yet for {target.name}. Remove the recipe, or judge the step "
            "as a model of windows."
        )
    if candidate.imported and ((recipe.runtime, recipe.precision) != ("litert", "int8") or recipe.keep_float):
        raise Unsupported(
            f"{candidate.name} {recipe.id}: {candidate.model.name} came ready and runs as it came: on host, with "
            'runtime = "litert" and precision = "int8".'
        )
    if recipe.precision not in target.precisions:
        raise Unsupported(
            f"{candidate.name} {recipe.id}: {target.name} has no precision {recipe.precision!r}; set one of "
            f"{', '.join(sorted(target.precisions))}."
        )
    defaults = {name: Recipe.model_fields[name].get_default(call_default_factory=True) for name in OPTIONAL}
    for name, default in defaults.items():
        value = getattr(recipe, name)
        if name not in target.honours and value != default:
            raise Unsupported(
                f"{candidate.name} {recipe.id}: {name} = {value!r} means nothing to {target.name}; remove it from "
                "this recipe."
            )


def load(folder: Path) -> Artifact:
    """A finished artifact from its folder in the cache."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        placement = record["placement"]
        nodes = tuple(Node(**node) for node in placement["nodes"])
        if not nodes:
            raise ValueError("its placement is empty")
        file = folder / Path(record["file"]).name
        if not file.exists():
            raise ValueError(f"{file.name} is gone")
        if record["content"] != content(file):
            raise ValueError(f"{file.name} is not what was built: it was changed since")
        return Artifact(
            candidate=record["candidate"],
            recipe=Recipe.model_validate(record["recipe"]),
            key=record["key"],
            file=file,
            placement=Placement(nodes, Evidence(placement["evidence"]), placement["partitions"], placement["source"]),
            sizes=Sizes(**record["sizes"]),
            evidence=Evidence(record["evidence"]),
            tools=record["tools"],
            states=record["states"],
        )
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _unusable(folder, " ".join(str(error).split())) from error


def content(file: Path) -> str:
    """The digest of an artifact, which may be a folder of files."""
    files = sorted(path for path in file.rglob("*") if path.is_file()) if file.is_dir() else [file]
    return digest(*(part for path in files for part in (path.relative_to(file.parent).as_posix(), path)))


def _unusable(folder: Path, why: str) -> ToolchainError:
    return ToolchainError(f"the build in {folder} is unusable ({why}); remove that folder and run again.")
