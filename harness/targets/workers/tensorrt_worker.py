"""Builds one engine with TensorRT, or with TensorRT-RTX as its proxy on a machine without a GPU.

    python -I tensorrt_worker.py FOLDER

Runs in the jetson toolchain's own Python, or on a Jetson in the Python that has JetPack's tensorrt (10.3 to 11).
FOLDER/request.json says what to do; FOLDER/result.json says what came of it. Everything TensorRT says goes to standard
output, whose VERBOSE layer table is read afterwards; where the engine can be loaded, its inspector's JSON is kept.
Needs Python 3.10 and TensorRT alone.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

ENGINE, INSPECTED = "model.engine", "inspector.json"


class RefusedError(Exception):
    """TensorRT said no to the model; ``found`` holds node, op and reason of each fault."""

    def __init__(self, found: list[dict[str, str]]) -> None:
        super().__init__(found)
        self.found = found


def logger(trt: Any, errors: list[str]) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind's classes want it named

        def log(self, severity: Any, message: str) -> None:
            name = str(severity).rpartition(".")[2]
            print(f"[{name}] {message}", flush=True)
            if name.endswith("ERROR"):
                errors.append(message)

    return Log()


def parse(trt: Any, network: Any, log: Any, model: bytes, errors: list[str]) -> None:
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        faults = [parser.get_error(number) for number in range(parser.num_errors)]
        raise RefusedError([fault(each, errors) for each in faults] or [nameless("no reason given")])


def fault(error: Any, errors: list[str]) -> dict[str, str]:
    """The parser's own words; where those are few, what was logged of the same node."""
    code, node = str(error.code()).rpartition(".")[2], str(error.node_name())
    said = str(error.desc())
    if said in ("", "false") or said.startswith("Invalid Node"):
        told = (each for each in errors if node and node in each and not each.startswith("ModelImporter"))
        said = next(told, "not supported")
    return {"node": node, "op": str(error.node_operator()), "reason": f"{code}: {said}"}


def nameless(reason: str) -> dict[str, str]:
    return {"node": "", "op": "", "reason": reason}


def configure(trt: Any, builder: Any, network: Any, request: dict[str, Any]) -> tuple[Any, list[dict[str, str]]]:
    """The builder's settings, and the layers that were asked onto the DLA but cannot run there."""
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if request["proxy"]:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, request["proxy"]), 0)
    if not request["dla"]:
        return config, []
    if builder.num_DLA_cores < 1:
        raise RefusedError([nameless("the recipe asks for a DLA, and this TensorRT offers no DLA core here")])
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = 0
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    left = [{"layer": str(each.name), "type": str(each.type).rpartition(".")[2]} for each in layers
            if not config.can_run_on_DLA(each)]  # fmt: skip
    return config, left


def build(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    trt = importlib.import_module("tensorrt_rtx_bindings" if request["proxy"] else "tensorrt")
    errors: list[str] = []
    log = logger(trt, errors)
    builder = trt.Builder(log)
    strongly = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)  # on 11 every network is
    flags = 1 << int(strongly) if strongly is not None and trt.__version__.startswith("10.") else 0
    network = builder.create_network(flags)  # kept: a temporary crashes the parser
    parse(trt, network, log, (folder / request["model"]).read_bytes(), errors)
    config, left = configure(trt, builder, network, request)
    result: dict[str, Any] = {"version": str(trt.__version__), "left": left, "strict": None}
    if left:  # would the DLA take the rest, or refuse the whole? TensorRT says so only without the fallback
        strict = builder.build_serialized_network(network, config)
        result["strict"] = "" if strict is not None else (errors or ["without a reason"])[-1]
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
        errors.clear()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RefusedError([nameless((errors or ["no reason given"])[0])])
    (folder / ENGINE).write_bytes(bytes(plan))
    if not request["proxy"]:
        result.update(inspect(trt, log, folder))
    return result


def inspect(trt: Any, log: Any, folder: Path) -> dict[str, Any]:
    """Keep what the inspector says of the engine as loaded, and the memory it will take."""
    runtime = trt.Runtime(log)
    engine = runtime.deserialize_cuda_engine((folder / ENGINE).read_bytes())
    if engine is None:
        raise RuntimeError("the engine just built does not load on this board")
    said = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    (folder / INSPECTED).write_text(said, encoding="utf-8")
    memory = getattr(engine, "device_memory_size_v2", None) or getattr(engine, "device_memory_size", None)
    return {"activations": None if memory is None else int(memory)}


def main(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    started = time.monotonic()
    try:
        result = build(request, folder)
        result.update({"ok": True, "refused": [], "build_s": time.monotonic() - started})
    except RefusedError as refusal:
        result = {"ok": True, "refused": refusal.found, "left": [], "strict": None, "version": ""}
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or ["without a word"]
        result = {"ok": False, "error": f"{type(error).__name__}: {lines[-1].strip()}"}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
