"""Golden of a stream: what the float step said of it, committed and checked; or what the previous release said.

An imported model has no float source. Its golden is what the release before said, and whoever reads a verdict on it is
told so.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from harness.cache import write_whole
from harness.errors import GoldenError
from harness.golden import MAX_FILE, is_due, place

Scores = npt.NDArray[np.float32]

SAME_DB = 40.0  # scores over difference of what counts as the same: audio is rendered anew on another CPU
AGAIN = "review and accept new scores with: pytest --golden=update -k golden"


@dataclass(frozen=True, slots=True)
class StreamGolden:
    """Scores ``(steps,)`` of one stream; digests of what made them."""

    candidate: str
    stream: str
    audio: str  # digest of the stream
    model: str
    frontend: str
    scores: Scores

    def file(self, house: Path) -> Path:
        return place(house, self.candidate, self.stream)


def write(path: Path, golden: StreamGolden) -> None:
    told = {name: value for name, value in asdict(golden).items() if name != "scores"}
    scores = {"scores": np.ascontiguousarray(golden.scores)}
    write_whole(path, save(scores, {"provenance": json.dumps(told, sort_keys=True)}))


def read(path: Path) -> StreamGolden:
    """Raises GoldenError when the file is missing, too large, damaged, or not the golden of a stream."""
    if not path.is_file():
        raise GoldenError(f"no golden scores at {path}; make them with: pytest --golden=new")
    if path.stat().st_size > MAX_FILE:
        raise GoldenError(f"{path} is larger than {MAX_FILE >> 20} MiB; golden scores are not.")
    try:
        with safe_open(path, framework="numpy") as file:
            told = json.loads(file.metadata()["provenance"])
            scores = file.get_tensor("scores")
        golden = StreamGolden(**told, scores=scores)
        if scores.ndim != 1 or scores.dtype != np.float32 or not all(isinstance(text, str) for text in told.values()):
            raise ValueError(f"its scores are {scores.dtype} {scores.shape}, not float32 (steps,)")
        return golden
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise GoldenError(
            f"{path} is damaged or no golden of a stream ({error}). Restore it from version control, or {AGAIN}"
        ) from error


def settle(path: Path, fresh: StreamGolden, mode: str) -> tuple[StreamGolden, str]:
    """The stored golden, written first where ``mode`` (check, new, update) says so, and what was written, in words."""
    if is_due(path, mode):
        try:
            change = difference(read(path), fresh) if path.is_file() else f"new, {len(fresh.scores)} steps"
        except GoldenError:
            change = f"in place of a damaged file, {len(fresh.scores)} steps"
        if change:
            write(path, fresh)
        return fresh, change
    return read(path), ""


def difference(stored: StreamGolden, fresh: StreamGolden) -> str:
    """What sets two goldens apart, in words; empty where nothing does."""
    names = [name for name in ("stream", "audio", "model", "frontend") if getattr(stored, name) != getattr(fresh, name)]
    if stored.scores.shape != fresh.scores.shape:
        return f"{stored.scores.shape} -> {fresh.scores.shape} steps; changed: {', '.join(names) or 'nothing'}"
    if not names and np.array_equal(stored.scores, fresh.scores):
        return ""
    return (
        f"scores agree to {agreement_db(stored.scores, fresh.scores):.1f} dB; changed: {', '.join(names) or 'nothing'}"
    )


def faults(stored: StreamGolden, fresh: StreamGolden, imported: bool) -> str:
    """Why ``stored`` cannot judge this candidate; empty when it can. Another model may be an imported one's release."""
    if stored.candidate != fresh.candidate or (stored.model != fresh.model and not imported):
        return f"it is the golden of another model ({stored.candidate} {stored.model[:12]}, now {fresh.model[:12]})"
    if stored.frontend != fresh.frontend:
        return "the front end changed since it was made: features differ before the model is asked"
    if stored.audio != fresh.audio or stored.scores.shape != fresh.scores.shape:
        return (
            "the stream drifted: its clips, its plan, or a library that renders it changed; the model is not to blame"
        )
    if not np.isfinite(fresh.scores).all():
        return "the model itself gives scores that are not finite"
    near = agreement_db(stored.scores, fresh.scores)
    if stored.model == fresh.model and near < SAME_DB:
        return f"the same model agrees with it to {near:.1f} dB, not {SAME_DB:g}: its runtime answers otherwise"
    return ""


def agreement_db(stored: Scores, fresh: Scores) -> float:
    """Variance of the stored scores over the mean square difference, in dB."""
    error = np.square(stored.astype(np.float64) - fresh).mean()
    return float(10 * np.log10(max(float(np.var(stored, dtype=np.float64)), 1e-30) / max(float(error), 1e-30)))
