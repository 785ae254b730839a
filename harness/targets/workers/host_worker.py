"""Builds one artifact of the host target, in a process of its own.

    python -I host_worker.py FOLDER

FOLDER/request.json says what to do; FOLDER/result.json says what became of it.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any


def build(request: dict[str, Any]) -> dict[str, Any]:
    """Quantize ``source`` to ``file`` where a calibration is given, and read what the runtime makes of it."""
    import numpy as np

    from harness.quantize import mixed, ptq
    from harness.recipe import Recipe

    source, file = Path(request["source"]), Path(request["file"])
    recipe = Recipe.model_validate(request["recipe"])
    litert = recipe.runtime == "litert"
    if request["calibration"] is not None:
        calibration = np.load(request["calibration"], allow_pickle=False)
        quantize = ptq.quantize_tflite if litert else ptq.quantize_onnx
        quantize(source, file, calibration, recipe, states=request["states"])
    elif recipe.precision != "fp32" and not request["imported"]:
        (ptq.quantize_tflite_weights if litert else ptq.quantize_onnx_dynamic)(source, file, recipe)
    named = ptq.kept_ops(source, recipe) if litert else ptq.kept_nodes(source, recipe)
    if litert:
        from harness.targets import litert_graph

        placement, sizes = litert_graph.read(file, recipe.precision, named)
    else:
        from harness.targets import ort_graph

        scratch = file.with_suffix(".optimized.onnx")
        placement, sizes = ort_graph.read(file, scratch, recipe.precision, named)
    layers = ptq.tflite_layers(source) if litert else mixed.weighted(source)
    kept = [name for name in layers if name in named]
    mixed.require_float(kept, {node.name for node in placement.nodes if node.dtype == "float32"}, recipe.id)
    nodes = [asdict(node) for node in placement.nodes]
    return {"ok": True, "nodes": nodes, "partitions": placement.partitions, "sizes": asdict(sizes)}


def main(folder: Path) -> None:
    from harness.errors import VoxgateError

    try:
        result = build(json.loads((folder / "request.json").read_text(encoding="utf-8")))
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
