"""Runs inside the rb5 toolchain's own environment: quantizes one model as the V66 does, or simulates it.

    python -I aimet_worker.py FOLDER

FOLDER/request.json says what to do, its paths relative to FOLDER; FOLDER/result.json says what came of it.
Arrays travel beside them as .npy. What is simulated is what was exported: encodings are read back from their
file. Needs numpy, onnx and aimet-onnx alone.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

CONFIG = "htp_quantsim_config_v66.json"  # as aimet-onnx ships it: per-tensor weights, asymmetric activations
ENCODINGS = "0.6.1"  # the form snpe-onnx-to-dlc --quantization_overrides is documented to read


def simulation(request: dict[str, Any], folder: Path) -> Any:
    """The model with AIMET's quantizers between its nodes, their ranges not yet known."""
    import aimet_onnx
    import onnx
    from aimet_onnx.quantsim import QuantizationSimModel

    config = Path(aimet_onnx.__file__).parent / "common" / "quantsim_config" / CONFIG
    return QuantizationSimModel(
        onnx.load(folder / request["model"]),
        param_type="int8",
        activation_type="int8",
        quant_scheme=request["scheme"],
        config_file=str(config),
        session_options_kwargs={"intra_op_num_threads": 1},
    )


def calibrate(sim: Any, request: dict[str, Any], folder: Path) -> None:
    """Set every range from the calibration windows, and export them."""
    windows = np.load(folder / request["calibration"], allow_pickle=False)
    name = sim.session.get_inputs()[0].name
    sim.compute_encodings([{name: window[None]} for window in windows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the encodings' form, which the SDK asks for
        sim.export(str(folder), "model", export_model=False, encoding_version=ENCODINGS)


def read_back(sim: Any, request: dict[str, Any], folder: Path) -> None:
    """Set every range from the exported encodings; switch off all quantizers where there are none (the float path)."""
    from aimet_onnx.quantsim import load_encodings_to_sim

    if request["quantize"]:
        load_encodings_to_sim(sim, str(folder / request["encodings"]), strict=True)
        return
    for quantizer in sim.qc_quantize_op_dict.values():
        quantizer.enabled = False


def simulate(sim: Any, request: dict[str, Any], folder: Path) -> None:
    """Logits of every window."""
    windows = np.load(folder / request["inputs"], mmap_mode="r", allow_pickle=False)
    name = sim.session.get_inputs()[0].name
    rows = [sim.session.run(None, {name: np.array(window[None])})[0].reshape(-1) for window in windows]
    np.save(folder / request["outputs"], np.stack(rows).astype(np.float32))


def main(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text())
    try:
        sim = simulation(request, folder)
        if request["inputs"]:
            read_back(sim, request, folder)
            simulate(sim, request, folder)
        else:
            calibrate(sim, request, folder)
        result: dict[str, Any] = {"ok": True}
    except Exception as error:  # AIMET has no error class of its own
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["without a word"]
        result = {"ok": False, "error": f"{type(error).__name__}: {lines[0]}"}
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
