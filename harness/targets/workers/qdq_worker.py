"""Quantizes one model for TensorRT, in a process of its own.

    python -I qdq_worker.py FOLDER

FOLDER/request.json says what to do; FOLDER/model.onnx is what it makes, FOLDER/result.json what became of it.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any


def prepare(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    import numpy as np

    from harness.quantize import trt
    from harness.recipe import Recipe

    recipe = Recipe.model_validate(request["recipe"])
    calibration = np.load(folder / "calibration.npy", allow_pickle=False)
    return {"ok": True, "nodes": trt.prepare(Path(request["source"]), folder, calibration, recipe)}


def main(folder: Path) -> None:
    from harness.errors import VoxgateError

    try:
        result = prepare(json.loads((folder / "request.json").read_text(encoding="utf-8")), folder)
    except VoxgateError as error:
        result = {"ok": False, "error": str(error)}
    except Exception as error:  # each library has its own ways to say no
        traceback.print_exc()
        first = (str(error).strip().splitlines() or ["no reason given"])[0]
        result = {"ok": False, "error": f"{type(error).__name__}: {first}"}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # the very voxgate that asks, installed or not
    main(Path(sys.argv[1]))
