"""Quantizes one model for TensorRT, in a process of its own.

    python -I qdq_worker.py FOLDER

FOLDER/request.json says what to do; FOLDER/model.onnx is what it makes, FOLDER/result.json what became of it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def prepare(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    import numpy as np

    from harness.quantize import trt
    from harness.recipe import Recipe

    recipe = Recipe.model_validate(request["recipe"])
    calibration = np.load(folder / "calibration.npy", allow_pickle=False)
    return {"ok": True, "nodes": trt.prepare(Path(request["source"]), folder, calibration, recipe)}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # the very voxgate that asks, installed or not
    from harness.targets.workers.answering import answer

    answer(prepare, Path(sys.argv[1]))
