"""Builds one artifact of the host target, in a process of its own.

    python -I host_worker.py FOLDER

FOLDER/request.json says what to do; FOLDER/result.json says what became of it.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any


def build(request: dict[str, Any], _: Path) -> dict[str, Any]:
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
    elif recipe.precision != "fp32" and recipe.method != "qat" and not request["imported"]:
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


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # the very voxgate that asks, installed or not
    from harness.targets.workers.answering import answer

    answer(build, Path(sys.argv[1]))
