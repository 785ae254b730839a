"""Builds one artifact of the edgetpu target, in a process of its own: checks each step, quantizes, compiles or maps.

    python -I edgetpu_worker.py FOLDER

FOLDER/request.json says what to do; FOLDER/result.json says what became of it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.targets.base import Features, Logits, Placement, Sizes

SAMPLES = 64  # calibration windows that each step is checked on
COMPILE_S = 900


def build(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Quantize the float .tflite where a calibration is given, and say where its operators run."""
    from harness.targets import edgetpu_map, tflite_file

    file = folder / "model.tflite"
    steps: dict[str, float] = {}
    if request["calibration"] is None:
        shutil.copyfile(request["float"], file)
    else:
        steps = quantize(request, folder, file)
    model = tflite_file.read(file)
    placement = edgetpu_map.placement(model)
    placed = zip(model.ops, placement.nodes, strict=True)
    weights = edgetpu_map.parameters(op for op, node in placed if node.where == edgetpu_map.TPU)
    held: dict[str, int] = {}
    if request["compiler"] and steps:
        placement, held = compiled(Path(request["compiler"]), file, folder)
        weights = sum(held.values())
    elif weights > edgetpu_map.ON_CHIP:
        more = edgetpu_map.streamed(edgetpu_map.ON_CHIP, weights - edgetpu_map.ON_CHIP)
        placement = replace(placement, nodes=(*placement.nodes, *more))
    return {"ok": True, "steps": steps} | described(placement, sizes(file, weights, held))


def described(placement: Placement, sizes: Sizes) -> dict[str, Any]:
    nodes = [asdict(node) for node in placement.nodes]
    return {
        "nodes": nodes,
        "partitions": placement.partitions,
        "source": placement.source,
        "sizes": asdict(sizes),
    }


def sizes(file: Path, weights: int, held: dict[str, int]) -> Sizes:
    """Of the file and its activations, by LiteRT; weights are those that the Edge TPU keeps or is sent (``held``)."""
    from harness.targets import litert_graph

    return replace(litert_graph.sizes(file), weights=weights, **held)


def quantize(request: dict[str, Any], folder: Path, file: Path) -> dict[str, float]:
    """Float .tflite to int8, its own fidelity checked before, and that of the result after."""
    import numpy as np

    from harness.quantize import ptq
    from harness.recipe import Recipe
    from harness.targets import tflite_file

    recipe = Recipe.model_validate(request["recipe"])
    windows = np.load(request["calibration"], allow_pickle=False)
    ptq.need_windows(windows, recipe)
    plain = Path(request["float"])
    exact = outputs(plain, windows[:SAMPLES])
    far = converted(Path(request["onnx"]), plain, windows[:SAMPLES], exact, request["parity"])
    try:
        ptq.quantize_tflite(plain, file, windows, recipe, dense_per_channel=False)
    except Exception as error:  # what the library meets where it was not made for the model
        raise unquantizable(plain, error) from error
    tflite_file.inline(file)
    return {"windows": len(exact), "parity": far} | agreement(exact, outputs(file, windows[:SAMPLES]))


def unquantizable(plain: Path, error: Exception) -> Exception:
    """The library's refusal, with the operators that the Edge TPU would not take either."""
    from harness.errors import ToolchainError
    from harness.targets import edgetpu_rules, tflite_file

    strange = [op for op in tflite_file.read(plain).ops if op.kind not in edgetpu_rules.TABLE]
    named = "; ".join(f"{op.custom or op.kind} {op.name}" for op in strange[:2])
    more = f" It holds {len(strange)} operators that the Edge TPU does not support: {named}." if strange else ""
    first = (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
    return ToolchainError(
        f"litert-quantizer cannot quantize {plain.name} ({type(error).__name__}: {first[:120]}).{more} Where it came "
        "of an ONNX, export it with litert-torch instead, which unrolls recurrent layers"
    )


def outputs(model: Path, windows: Features) -> Logits:
    import numpy as np

    from harness.boards.runtimes import open_model

    infer = open_model(model)
    return np.stack([infer(window).reshape(-1) for window in windows]).astype(np.float64)


def converted(onnx: Path, plain: Path, windows: Features, exact: Logits, limit: float) -> float:
    """The largest |logit difference| of the float .tflite to the ONNX; a refusal naming the conversion beyond it."""
    import numpy as np

    from harness.errors import CandidateError

    wanted = outputs(onnx, windows)
    far = float(np.abs(wanted - exact).max()) if wanted.shape == exact.shape else float("inf")
    if far <= limit:
        return far
    turned = np.ascontiguousarray(windows.transpose(0, 2, 1)).reshape(windows.shape)
    swapped = wanted.shape == exact.shape and float(np.abs(wanted - outputs(plain, turned)).max()) <= limit
    hint = "It agrees when frames and bins are swapped: its axes are. " if swapped else ""
    raise CandidateError(
        f"the conversion is at fault, not quantization: float {plain.name} differs from {onnx.name} by up to {far:.3g} "
        f"logits on {len(windows)} calibration windows, limit at most {limit:g}. {hint}Convert it again from the same "
        "weights, with the same order of axes"
    )


def agreement(exact: Logits, near: Logits) -> dict[str, float]:
    """How far int8 agrees with the float .tflite; a refusal naming quantization where noise drowns the logits."""
    import numpy as np

    from harness.errors import CandidateError

    same = int((exact.argmax(axis=1) == near.argmax(axis=1)).sum())
    signal_power, noise = float(exact.var(axis=0).mean()), float(np.mean(np.square(exact - near)))
    if noise > signal_power > 0:
        raise CandidateError(
            f"quantization is at fault, not the conversion: int8 logits differ from float by more than the logits "
            f"themselves vary, and {same} of {len(exact)} calibration windows keep their decision. Look for weights or "
            "activations with outliers, or calibrate on more clips"
        )
    decibels = 10 * float(np.log10(signal_power / noise)) if noise and signal_power else 0.0
    return {"same": same, "sqnr_db": decibels}


def compiled(compiler: Path, file: Path, folder: Path) -> tuple[Placement, dict[str, int]]:
    """The real compiler's placement, and the bytes of parameters by where they lie. Its table tells, no exit code."""
    from harness.errors import ToolchainError
    from harness.targets import edgetpu_compiler, tflite_file

    log = folder / "edgetpu_compiler.log"
    command = [str(compiler), "-s", "-o", str(folder), "--timeout_sec", str(COMPILE_S), str(file)]
    with log.open("wb") as out:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=COMPILE_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ToolchainError(f"edgetpu_compiler took longer than its {COMPILE_S} s") from error
    if log.stat().st_size > edgetpu_compiler.MAX_LOG:
        raise ToolchainError(f"edgetpu_compiler printed more than {edgetpu_compiler.MAX_LOG >> 20} MiB; not read")
    text = log.read_text(encoding="utf-8", errors="replace")
    reason = edgetpu_compiler.fault(text)
    made = folder / f"{file.stem}_edgetpu.tflite"
    if done.returncode or reason or not made.is_file():
        raise ToolchainError(f"edgetpu_compiler {ended(done.returncode)}: {reason or 'it gives no reason'}")
    model = tflite_file.read(file)
    said = edgetpu_compiler.parse(text, model, file.name)
    held = {"on_chip": said.cached, "streamed": said.streamed}
    return said.placement(model, tflite_file.read(made)), held


def ended(code: int) -> str:
    if code < 0:
        known = -code in set(signal.Signals)
        return f"crashed with {signal.Signals(-code).name if known else f'signal {-code}'}"
    return f"made nothing (exit code {code})"


def judged(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    from harness.errors import CandidateError

    try:
        return build(request, folder)
    except CandidateError as error:  # the model's fault, not this program's
        return {"ok": True, "fault": str(error)}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # the very voxgate that asks, installed or not
    from harness.targets.workers.answering import answer

    answer(judged, Path(sys.argv[1]))
