"""Golden outputs: what the float model says about every rendering, committed and checked.

One safetensors file (an open format, no pickle) a condition under ``golden/<candidate>/``: logits,
the level of every rendering, and where they came from. The check tells four faults apart: another
model, another front end, a drifted corpus, and a float runtime that answers differently.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from harness.audio.conditions import SKETCH, Renditions, compare, fingerprint
from harness.cache import write_whole
from harness.errors import GoldenError

Logits = npt.NDArray[np.float32]

MAX_FILE = 64 * 1024 * 1024
TOLERANCE = 1e-3  # largest |logit difference| between CPUs' float32 arithmetic
SUFFIX = ".safetensors"
TENSORS = ("logits", "levels_db", "sketch")
ROUNDED = 2.0**-10  # of a logit: what float16 leaves of it is closer than that

Stored = Literal["float32", "float16"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What golden outputs were made from; digests of inputs, names, tool versions."""

    candidate: str
    condition: str
    labels: tuple[str, ...]
    model: str
    frontend: str
    corpus: str
    audio: str  # digest of the rendered audio
    tools: dict[str, str]
    grammar: str = ""  # digest of the sentences it may hear, of a command model
    stored: Stored = "float32"  # the logits' type in the file: outputs of every frame would weigh too much in full


@dataclass(frozen=True, slots=True)
class Golden:
    """Float logits ``(n, labels)`` or ``(n, frames * labels)`` of one condition, and its audio's levels and sketch.

    ``levels_db`` is ``(n,)`` in dBFS.
    """

    provenance: Provenance
    logits: Logits
    levels_db: npt.NDArray[np.float32]
    sketch: npt.NDArray[np.float32]


def place(house: Path, candidate: str, condition: str) -> Path:
    return house / "golden" / candidate / f"{condition}{SUFFIX}"


def write(path: Path, golden: Golden) -> None:
    tensors = {name: np.ascontiguousarray(getattr(golden, name)) for name in TENSORS}
    tensors["logits"] = tensors["logits"].astype(golden.provenance.stored)
    write_whole(path, save(tensors, {"provenance": json.dumps(asdict(golden.provenance), sort_keys=True)}))


def read(path: Path) -> Golden:
    """Raises GoldenError when the file is missing, too large, damaged, or not golden."""
    if not path.is_file():
        raise GoldenError(f"no golden outputs at {path}; make them with: pytest --golden=new")
    if path.stat().st_size > MAX_FILE:
        raise GoldenError(f"{path} is larger than {MAX_FILE >> 20} MiB; golden outputs are not.")
    try:
        with safe_open(path, framework="numpy") as file:
            raw = json.loads(file.metadata()["provenance"])
            provenance = Provenance(**{**raw, "labels": tuple(raw["labels"])})
            golden = Golden(provenance, **{name: file.get_tensor(name) for name in TENSORS})
            _check(golden)
            return replace(golden, logits=golden.logits.astype(np.float32))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise GoldenError(
            f"{path} is damaged or not a golden file ({error}). Restore it from version control, or review and "
            "accept new outputs with: pytest --golden=update -k golden"
        ) from error


def _check(golden: Golden) -> None:
    """Raise ValueError where the parts of a file that is well-formed do not fit each other."""
    texts = [value for value in asdict(golden.provenance).values() if not isinstance(value, dict | tuple)]
    if not all(isinstance(text, str) for text in (*texts, *golden.provenance.labels)):
        raise ValueError("its provenance holds what is no text")
    stored = golden.provenance.stored
    if stored not in get_args(Stored):
        raise ValueError(f"its logits are stored as {stored!r}")
    count, labels = golden.logits.shape
    shapes = {"logits": (count, labels), "levels_db": (count,), "sketch": (count, SKETCH)}
    for name, shape in shapes.items():
        tensor, dtype = getattr(golden, name), stored if name == "logits" else "float32"
        if tensor.shape != shape or tensor.dtype != dtype:
            raise ValueError(f"{name} are {tensor.dtype} {tensor.shape}, not {dtype} {shape}")


def faults(stored: Golden, fresh: Golden, renditions: Renditions) -> list[str]:
    """Why ``stored`` cannot judge this candidate on this audio; empty when it can."""
    old, new = stored.provenance, fresh.provenance
    if old.candidate != new.candidate or old.model != new.model:
        who = [f"{each.candidate} {each.model[:12]}" for each in (old, new)]
        return [f"it is the golden of another model ({who[0]}; now {who[1]})"]
    if old.labels != new.labels:
        return [f"its labels are {', '.join(old.labels)}; the candidate's are {', '.join(new.labels)}"]
    if old.frontend != new.frontend:
        return ["the front end changed since it was made: features differ before the model is asked"]
    if old.grammar != new.grammar:
        return ["the grammar changed since it was made: the same outputs are decided as other sentences"]
    broken = int((~np.isfinite(fresh.logits)).any(axis=1).sum())
    if broken:
        return [
            f"the float model itself gives outputs that are not finite on {broken} of {len(fresh.logits)} renderings"
        ]
    recorded = fingerprint(renditions) | {"digest": old.audio, "levels_db": stored.levels_db, "sketch": stored.sketch}
    drift = compare(recorded, renditions)
    if drift.startswith("drifted"):
        return [f"the corpus {drift}; the model is not to blame"]
    if old.corpus != new.corpus:
        return ["the corpus drifted: labels, speakers or accents of its manifest changed; the model is not to blame"]
    return _differences(stored.logits, fresh.logits, ROUNDED if old.stored == "float16" else 0.0)


def _differences(old: Logits, new: Logits, rounded: float) -> list[str]:
    if old.shape != new.shape:
        return [f"it holds {old.shape} outputs, the candidate gives {new.shape}"]
    unequal = ~np.isclose(old, new, rtol=rounded, atol=TOLERANCE, equal_nan=False).all(axis=1)
    if not unequal.any():
        return []
    far = float(np.nanmax(np.abs(old - new)))
    share = f"{int(unequal.sum())} of {len(old)} renderings"
    return [f"float outputs differ on {share}, by up to {far:.3g} (allowed {TOLERANCE:g})"]


def is_due(path: Path, mode: str) -> bool:
    """Whether a golden file is to be written in this mode: ``update`` always, ``new`` where there is none."""
    return mode == "update" or (mode == "new" and not path.is_file())


def difference(path: Path, fresh: Golden) -> str:
    """What writing ``fresh`` to ``path`` changes, for the person who is to commit it; empty when nothing does."""
    name = fresh.provenance.condition
    if not path.is_file():
        return f"{name}: new, {len(fresh.logits)} renderings"
    try:
        stored = read(path)
    except GoldenError:
        return f"{name}: in place of a damaged file, {len(fresh.logits)} renderings"
    kept = fresh.logits.astype(fresh.provenance.stored).astype(np.float32)
    if stored.provenance == fresh.provenance and np.array_equal(stored.logits, kept):
        return ""
    if stored.logits.shape != fresh.logits.shape:
        return f"{name}: {stored.logits.shape} -> {fresh.logits.shape}"
    flipped = int((_best(stored) != _best(fresh)).any(axis=1).sum())
    far = float(np.nanmax(np.abs(stored.logits - fresh.logits), initial=0.0))
    was, now = asdict(stored.provenance), asdict(fresh.provenance)
    differing = ", ".join(key for key in now if was[key] != now[key]) or "nothing"
    decisions = f"{flipped} of {len(fresh.logits)} decisions flip"
    return f"{name}: {decisions}, logits move by up to {far:.3g}; changed: {differing}"


def _best(golden: Golden) -> npt.NDArray[np.intp]:
    """``(n, frames)``: the best label of each frame, or of the one there is."""
    logits = golden.logits.reshape(len(golden.logits), -1, len(golden.provenance.labels))
    return np.asarray(logits.argmax(axis=2), np.intp)


def unused(house: Path, candidates: Mapping[str, Iterable[str]]) -> list[Path]:
    """Golden files that no candidate and condition asks for. ``candidates`` maps name to conditions."""
    wanted = {place(house, name, condition) for name, conditions in candidates.items() for condition in conditions}
    return sorted(
        path
        for path in (house / "golden").rglob("*")
        if path.is_file() and path not in wanted and path.suffix != ".md" and not path.name.startswith(".")
    )
