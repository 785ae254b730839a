"""What ``voxgate train`` left beside a candidate: weights trained as int8 computes, and the float trained as long.

    trained/SCHEME/qat.onnx, qat.tflite      int8 throughout: QDQ form, and TFLite
    trained/SCHEME/float.onnx, float.tflite  the float that took the same steps on the same batches
    trained/SCHEME/training.json             from which weights, by which seed and tools, and the digest of each file

Building reads these files and runs none of the candidate's code.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from harness.cache import digest
from harness.candidate import Candidate
from harness.errors import CandidateError, Unsupported
from harness.recipe import Recipe
from harness.strict import Strict, faults

FOLDER, RECORD = "trained", "training.json"
MAX_RECORD = 256 * 1024
Scheme = Literal["asymmetric", "symmetric"]  # of the activations
STEMS = {"qat": "qat", "tuned": "float"}


class Trained(Strict):
    """One finished training, as its training.json tells."""

    model: str  # digest of the ONNX whose weights it began from
    code: str  # of the candidate's own Python
    data: str  # of the manifest of its training data
    epochs: int
    seed: int
    rate: float
    losses: dict[str, list[float]]  # mean of each epoch, of "float" and "qat"
    agreement: dict[str, float]  # dB of each file against the network it was exported from
    tools: dict[str, str]
    files: dict[str, str]  # name to digest

    def provenance(self, method: str) -> dict[str, str]:
        """What an artifact made of it says beside the tools that built it."""
        told = {"qat": "with int8 fake quantization", "tuned": "in float"}[method]
        by = ", ".join(f"{name} {version}" for name, version in sorted(self.tools.items()))
        return {"trained": f"{told} ({method}), {self.epochs} epochs, seed {self.seed}, rate {self.rate:g}, by {by}"}


def scheme(recipe: Recipe) -> Scheme:
    return "symmetric" if recipe.symmetric else "asymmetric"


def place(candidate: Candidate, recipe: Recipe) -> Path:
    return candidate.folder / FOLDER / scheme(recipe)


def record(candidate: Candidate, recipe: Recipe) -> Trained:
    """The training that a recipe of method "qat" or "tuned" rests on.

    Raises Unsupported where there was none, CandidateError where it belongs to other weights or its files changed.
    """
    folder = place(candidate, recipe)
    subject = f"{candidate.name} {recipe.id}"
    again = f"Run: voxgate train {candidate.folder} --recipe {recipe.id} --speech DIR --run-code"
    path = folder / RECORD
    if not path.is_file():
        raise Unsupported(f"{subject}: its weights are not trained yet: there is no {path}. {again}")
    if path.stat().st_size > MAX_RECORD:
        raise CandidateError(f"{path} is larger than {MAX_RECORD >> 10} KiB; it holds no data. {again}")
    try:
        found = Trained.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise CandidateError(f"{path}: {'; '.join(faults(error, (Trained,)))}. {again}") from error
    except UnicodeDecodeError as error:
        raise CandidateError(f"{path} is no text: {error}. {again}") from error
    if found.model != digest(candidate.model):
        raise CandidateError(f"{subject}: {folder} was trained from other weights than {candidate.model.name}. {again}")
    for name in _names(candidate, recipe):
        file = folder / name
        if not file.is_file() or digest(file) != found.files.get(name):
            raise CandidateError(f"{subject}: {file} is not the file that {path} tells of. {again}")
    return found


def stand_in(candidate: Candidate, recipe: Recipe) -> Candidate:
    """The candidate with the trained files in place of its own; itself for method "ptq". Raises as :func:`record`."""
    if recipe.method == "ptq":
        return candidate
    record(candidate, recipe)
    names = [f"{FOLDER}/{scheme(recipe)}/{name}" for name in _names(candidate, recipe)]
    files = dict(zip(("model", "tflite"), names, strict=False))
    return replace(candidate, head=candidate.head.model_copy(update=files))


def _names(candidate: Candidate, recipe: Recipe) -> list[str]:
    """The files a recipe needs: its ONNX, and its .tflite where the candidate has one."""
    suffixes = ["onnx", "tflite"] if candidate.tflite else ["onnx"]
    return [f"{STEMS[recipe.method]}.{suffix}" for suffix in suffixes]
