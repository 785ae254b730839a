"""Runs inside the HTP toolchain's own environment: quantizes and compiles one model, or runs a compiled one.

    python -I htp_worker.py FOLDER

FOLDER/request.json says what to do, its paths relative to FOLDER; FOLDER/result.json says what came of it, arrays
travel beside them as .npy. A build leaves FOLDER/context.onnx and its binary, QNN's own record of every graph
(graph-N.json) and the provider's lines about what it took (qnn-log.jsonl). Needs onnxruntime, onnxruntime-qnn, onnx
and numpy alone.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxruntime_qnn

PROVIDER = "QNNExecutionProvider"
GRAPHS = "graphs"
MOST_LINES = 100_000
VERBOSE, WARNING = 0, 2


class Lines:
    """What the log is read for: which nodes the provider took or refused, and every warning."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, str, str]] = []

    def __call__(self, severity: int, _category: str, _logid: str, place: str, message: str) -> None:
        if (severity >= WARNING or place.endswith("LogNodeSupport")) and len(self.kept) < MOST_LINES:
            self.kept.append((severity, place, message))

    def write(self, path: Path) -> None:
        path.write_text("".join(json.dumps(line) + "\n" for line in self.kept), encoding="utf-8")


def quantize(request: dict[str, Any], folder: Path) -> Path:
    """onnxruntime's own QNN configuration: QNN takes unsigned activations, and signed weights only per channel."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
    from onnxruntime.quantization import quantize as quantize_model
    from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config, qnn_preprocess_model

    windows = np.load(folder / request["calibration"], allow_pickle=False)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.windows = iter(windows)

        def get_next(self) -> dict[str, Any] | None:
            window = next(self.windows, None)
            return None if window is None else {request["input"]: window[np.newaxis]}

    source, prepared, quantized = folder / request["model"], folder / "prepared.onnx", folder / "quantized.onnx"
    if qnn_preprocess_model(source, prepared):  # else nothing was to be done, and nothing was written
        source = prepared
    config = get_qnn_qdq_config(
        source,
        Reader(),
        calibrate_method=CalibrationMethod[request["algorithm"]],
        activation_type=QuantType.QUInt16 if request["activation_bits"] == 16 else QuantType.QUInt8,
        weight_type=QuantType.QInt8 if request["per_channel"] else QuantType.QUInt8,
        per_channel=request["per_channel"],
        activation_symmetric=request["symmetric"],
        calibration_providers=["CPUExecutionProvider"],
        nodes_to_exclude=request["keep_float"],
    )
    quantize_model(source, quantized, config)
    prepared.unlink(missing_ok=True)
    return quantized


def session_options(request: dict[str, Any], **more: str) -> Any:
    """Options of a session on the HTP backend: this machine's emulator of it, for the chip that is asked for."""
    onnxruntime.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    provider = {
        "backend_path": onnxruntime_qnn.get_qnn_htp_path(),
        "soc_model": str(request["soc_model"]),
        "offload_graph_io_quantization": "0",  # else Q and DQ of input and output run on the CPU
        "htp_graph_finalization_optimization_mode": "3",
        "enable_htp_fp16_precision": "1" if request["floats"] or request["keep_float"] else "0",
        **more,
    }
    options.add_provider_for_devices(devices, provider)
    return options


def open_session(model: Path, options: Any) -> Any:
    session = onnxruntime.InferenceSession(str(model), sess_options=options)
    session.disable_fallback()  # else a run that fails is tried again on the CPU, without a word
    return session


def compile_model(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The context binary for the chip, and what the provider says of every node."""
    model = quantize(request, folder) if request["quantize"] else folder / request["model"]
    graphs = folder / GRAPHS
    graphs.mkdir()
    lines = Lines()
    onnxruntime.set_default_logger_callback(lines, VERBOSE)
    context = folder / request["context"]
    options = session_options(request, dump_json_qnn_graph="1", json_qnn_graph_dir=str(graphs))
    options.log_severity_level = VERBOSE
    options.add_session_config_entry("ep.context_enable", "1")
    options.add_session_config_entry("ep.context_file_path", str(context))
    options.add_session_config_entry("ep.context_embed_mode", "0")
    try:
        assigned = assignment(open_session(model, options))
    finally:
        onnxruntime.set_default_logger_callback(None)
        onnxruntime.set_default_logger_severity(WARNING)
        lines.write(folder / "qnn-log.jsonl")
    dumped = sorted(path for path in graphs.glob("*.json") if not path.stem.endswith("_tensor_log"))
    for number, path in enumerate(dumped):
        path.rename(folder / f"graph-{number}.json")
    shutil.rmtree(graphs)
    return {"assigned": assigned, "graphs": len(dumped), **read_context(context)}


def assignment(session: Any) -> list[dict[str, str]]:
    """Every node of the partitioned graph and its provider: the only word on placement that can be trusted."""
    return [
        {"provider": part.ep_name, "op": node.op_type, "name": node.name}
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    ]


def read_context(path: Path) -> dict[str, Any]:
    """Partitions in the compiled model, QNN's version, and the types of what stayed outside of them."""
    if not path.is_file():
        return {"contexts": 0, "qnn": "", "dtypes": {}}
    graph = onnx.load(path).graph
    parts = [node for node in graph.node if node.op_type == "EPContext"]
    version = {a.s.decode() for node in parts for a in node.attribute if a.name == "ep_sdk_version"}
    values = (*graph.value_info, *graph.input, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {
        "contexts": len(parts),
        "qnn": " ".join(sorted(version)),
        "dtypes": {node.name: dtype(types.get(node.input[0], 0)) for node in graph.node if node.input},
    }


def dtype(code: int) -> str:
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(code)).name if code else "unknown"


def run(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Outputs of every window by the compiled model itself."""
    session = open_session(folder / request["context"], session_options(request))
    feed, result = session.get_inputs()[0].name, session.get_outputs()[0].name
    windows = np.load(folder / request["inputs"], mmap_mode="r", allow_pickle=False)
    rows = [session.run([result], {feed: np.array(window[np.newaxis])})[0].reshape(-1) for window in windows]
    np.save(folder / request["outputs"], np.stack(rows).astype(np.float32))
    return {"assigned": assignment(session)}


def main(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    started = time.monotonic()
    try:
        result = run(request, folder) if request.get("inputs") else compile_model(request, folder)
        result |= {"ok": True, "seconds": time.monotonic() - started}
    except Exception as error:  # onnxruntime has a class for every status, and onnx its own
        words = " ".join(str(error).split()) or "without a word"
        result = {"ok": False, "error": f"{type(error).__name__}: {words}"}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
