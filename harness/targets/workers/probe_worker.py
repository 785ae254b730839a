"""Quantizes one model in several ways and runs each, for diagnosis, in a process of its own.

    python -I probe_worker.py FOLDER

FOLDER/request.json says what to do; FOLDER/result.json says what became of it. The outputs of variant i are i.npy.
"""

from __future__ import annotations

import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any


def probe(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Every variant until ``seconds`` are over; the layers of the model, and of the first variant its tensors."""
    import numpy as np

    from harness.quantize import probe as probes
    from harness.targets.workers.answering import said

    started = time.monotonic()
    windows = np.load(folder / "windows.npy", allow_pickle=False)
    prepared = probes.prepare(Path(request["source"]), folder / "prepared.onnx")
    found = probes.layers(prepared)
    answer: dict[str, Any] = {"ok": True, "layers": [asdict(layer) for layer in found], "errors": {}, "done": []}
    if request["taps"]:
        answer["spreads"] = probes.spreads(prepared, windows[: request["taps"]], found)
    for index, variant in enumerate(request["variants"]):
        if answer["done"] and time.monotonic() - started > request["seconds"]:
            break
        try:
            output = _one(variant, prepared, windows, found, folder / str(index))
            if request["taps"] and index == 0:
                answer["sqnr"] = probes.layer_sqnr(prepared, output, windows[: request["taps"]], found)
            output.unlink()
        except Exception as error:  # each library has its own ways to say no; the other variants still tell
            traceback.print_exc()
            answer["errors"][str(index)] = said(error)
        answer["done"].append(index)
    return answer


def _one(variant: dict[str, Any], prepared: Path, windows: Any, found: Any, place: Path) -> Path:
    import numpy as np

    from harness.boards.runtimes import open_model
    from harness.quantize import probe as probes
    from harness.recipe import Recipe

    kept = {part for layer in found if layer.name in variant["floats"] for part in layer.parts}
    calibration = np.load(place.parent / variant["calibration"], allow_pickle=False)
    output = place.with_suffix(prepared.suffix)
    probes.quantized(prepared, output, calibration, Recipe.model_validate(variant["recipe"]), kept)
    if output.suffix == ".onnx":
        logits = probes.run_plain(output, windows)
    else:
        infer = open_model(output)
        logits = np.stack([infer(window) for window in windows])
    np.save(place.with_suffix(".npy"), logits.astype(np.float32), allow_pickle=False)
    return output


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # the very voxgate that asks, installed or not
    from harness.targets.workers.answering import answer

    answer(probe, Path(sys.argv[1]))
