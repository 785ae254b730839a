"""Runs inside the RK3588 toolchain's own environment: builds one model, and simulates it.

    python -I rknn_worker.py FOLDER

FOLDER/request.json says what to do, its paths relative to FOLDER; FOLDER/result.json says what came of it.
Arrays travel beside them as .npy. The simulator runs only the graph built in its own process (load_rknn
with the simulator returns -1), so simulating builds again from the same inputs. Needs Python 3.8, numpy
and rknn alone.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

PLATFORM = "rk3588"
LINE_BUFFERED = 1  # _IOLBF of glibc's stdio.h
NOTHING_KEPT = "custom_quantize_layers: {}\n"  # how the toolkit's file of quantized tensors begins
# What the toolkit appends to the output of a Gemm that it makes a convolution, of a MatMul that ends an attention.
RENAMED = ("", "_mm", "_sdpa")


def write_lines_whole() -> None:
    """Every line of standard output at once: else a line of the compiler's table ends where its C buffer is full.

    What the toolkit prints from Python would then stand in the midst of that line.
    """
    libc = ctypes.CDLL(None)
    libc.setvbuf.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t]
    libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, LINE_BUFFERED, 0)


class RefusedError(Exception):
    """The toolkit said no; the message names the call and what it returned."""


def check(returned: Any, call: str) -> None:
    if returned != 0:
        raise RefusedError(f"{call} returned {returned!r}; the toolkit gives no other reason than its log")


def build(request: dict[str, Any], folder: Path) -> Any:
    from rknn.api import RKNN

    options: dict[str, Any] = {"target_platform": PLATFORM}
    if request["quantize"]:
        for key in ("quantized_dtype", "quantized_algorithm", "quantized_method"):
            options[key] = request[key]
    if request["op_target"]:
        options["op_target"] = request["op_target"]
    rknn = RKNN(verbose=False)
    check(rknn.config(**options), "config")
    check(rknn.load_onnx(model=str(folder / request["model"])), "load_onnx")
    if request["keep_float"]:
        config = first_step(rknn, request, folder)
        rknn = RKNN(verbose=False)
        check(rknn.config(**options), "config")
        check(rknn.hybrid_quantization_step2(*config), "hybrid_quantization_step2")
        return rknn
    dataset = write_dataset(folder, request["calibration"]) if request["quantize"] else None
    check(rknn.build(do_quantization=request["quantize"], dataset=dataset), "build")
    return rknn


def first_step(rknn: Any, request: dict[str, Any], folder: Path) -> tuple[str, str, str]:
    """Calibrate, and tell the toolkit in its own file which tensors it leaves in float16."""
    check(
        rknn.hybrid_quantization_step1(dataset=write_dataset(folder, request["calibration"])),
        "hybrid_quantization_step1",
    )
    stem = Path(request["model"]).stem
    told = Path(f"{stem}.quantization.cfg")
    text = told.read_text()
    known = {line[4:-1] for line in text.splitlines() if line.startswith("    ") and line[4:5] not in " -"}
    kept = []
    for layer, tensors in request["keep_float"].items():
        own = [name for tensor in tensors for name in map(tensor.__add__, RENAMED) if name in known]
        if not own:
            raise RefusedError(f"the toolkit's own graph has no tensor of {layer}: it merged that layer with another")
        kept += own
    if not text.startswith(NOTHING_KEPT):
        raise RefusedError(f"{told} does not begin with {NOTHING_KEPT.strip()!r}, as rknn-toolkit2 2.5.0 writes it")
    lines = "".join(f"    {json.dumps(name)}: float16\n" for name in dict.fromkeys(kept))
    told.write_text(f"{NOTHING_KEPT.split()[0]}\n{lines}{text[len(NOTHING_KEPT) :]}")
    return f"{stem}.model", f"{stem}.data", str(told)


def write_dataset(folder: Path, calibration: Sequence[str]) -> str:
    """One NCHW file a sample and input in the working folder, and the list of them that the toolkit reads.

    ``calibration`` names one array a model input, in the model's order.
    """
    lines = []
    inputs = [np.load(folder / name, allow_pickle=False) for name in calibration]
    for index, samples in enumerate(zip(*inputs, strict=True)):
        names = [f"calibration-{index:05d}-{place}.npy" for place in range(len(samples))]
        for name, sample in zip(names, samples, strict=True):
            np.save(name, sample[None])
        lines.append(" ".join(names) + "\n")
    Path("dataset.txt").write_text("".join(lines))
    return "dataset.txt"


def simulate(rknn: Any, request: dict[str, Any], folder: Path) -> None:
    """Outputs of every window, in order; states go from one to the next, and are cleared where a stream starts.

    init_runtime without a target is the simulator.
    """
    check(rknn.init_runtime(), "init_runtime")
    windows = np.load(folder / request["inputs"], mmap_mode="r", allow_pickle=False)
    starts, rows = set(request["starts"]), []
    silence = [np.zeros(shape, np.float32) for shape in request["states"]]
    state = silence
    # 4-D calibration files are NCHW but inference() takes NHWC unless told otherwise; others it leaves alone.
    layouts = ["nchw"] * (1 + len(silence))
    for index in range(len(windows)):
        if index in starts:
            state = silence
        answer = rknn.inference(inputs=[np.array(windows[index : index + 1]), *state], data_format=layouts)
        if not answer or len(answer) != 1 + len(silence) or any(each is None for each in answer):
            raise RefusedError(f"inference returned {answer!r:.200} on window {index}")
        rows.append(np.asarray(answer[0], dtype=np.float32).reshape(-1))
        state = [np.asarray(each, np.float32).reshape(old.shape) for each, old in zip(answer[1:], silence, strict=True)]
    np.save(folder / request["outputs"], np.stack(rows))


def analyse(rknn: Any, inputs: Path, folder: Path) -> list[dict[str, float]]:
    """The toolkit's own comparison of every layer with float, a window at a time: analysis-<window>.txt in ``folder``.

    Returns each window's layers with the Euclidean norm of their float outputs, which turns its errors into ratios.
    """
    norms = []
    for index, window in enumerate(np.load(inputs, allow_pickle=False)):
        np.save("window.npy", window[None])
        snapshot = Path(f"snapshot-{index}")
        check(rknn.accuracy_analysis(inputs=["window.npy"], output_dir=str(snapshot)), "accuracy_analysis")
        (folder / f"analysis-{index}.txt").write_text((snapshot / "error_analysis.txt").read_text())
        rows = (line.split() for line in (snapshot / "map_name_to_file.txt").read_text().splitlines()[2:])
        files = {row[0]: snapshot / "golden" / row[1] for row in rows if len(row) == 2}
        norms.append({name: float(np.linalg.norm(np.loadtxt(path))) for name, path in files.items() if path.is_file()})
        shutil.rmtree(snapshot)
    return norms


def main(folder: Path) -> None:
    write_lines_whole()
    request = json.loads((folder / "request.json").read_text())
    try:
        started = time.monotonic()
        rknn = build(request, folder)
        result: dict[str, Any] = {"ok": True, "build_s": time.monotonic() - started}
        if request.get("export"):
            check(rknn.export_rknn(str(folder / request["export"])), "export_rknn")
        if request.get("analyse"):
            result["norms"] = analyse(rknn, folder / request["analyse"], folder)
        if request.get("inputs"):
            started = time.monotonic()
            simulate(rknn, request, folder)
            result["simulate_s"] = time.monotonic() - started
    except RefusedError as error:
        result = {"ok": False, "error": str(error)}
    except Exception as error:
        # For a model it cannot take the toolkit raises ValueError or KeyError, whose text is a whole traceback.
        lines = [line for line in str(error).splitlines() if line.strip()] or ["without a word"]
        result = {"ok": False, "error": f"{type(error).__name__}: {lines[-1].strip()}"}
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
