# ruff: noqa: N802, N815 -- TensorRT's own names
"""Stand-in for JetPack's tensorrt: see README.md. state.json beside it says the version and what to get wrong."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import libcudart
import numpy as np
import onnx

STATE = json.loads(Path(__file__).with_name("state.json").read_text())
__version__: str = STATE["tensorrt"]
OLD = __version__.startswith("10.")
STRONGLY_TYPED = 1

ProfilingVerbosity = SimpleNamespace(DETAILED="DETAILED")
DeviceType = SimpleNamespace(DLA="DLA")
BuilderFlag = SimpleNamespace(GPU_FALLBACK="GPU_FALLBACK")
LayerInformationFormat = SimpleNamespace(JSON="JSON")
TensorIOMode = SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT")
NetworkDefinitionCreationFlag = SimpleNamespace(**({"STRONGLY_TYPED": STRONGLY_TYPED} if OLD else {}))


class ILogger:
    pass


class Logger(ILogger):
    WARNING = "WARNING"

    def __init__(self, least: str) -> None:
        self.least = least


class IProfiler:
    pass


class Builder:
    num_DLA_cores = STATE["dla_cores"]

    def __init__(self, log: Any) -> None:
        self.log = log

    def create_network(self, flags: int) -> Any:
        if flags != (1 << STRONGLY_TYPED if OLD else 0):
            raise ValueError(f"create_network({flags}) is not strongly typed in {__version__}")
        return Network()

    def create_builder_config(self) -> Any:
        return Config()

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        on_dla = getattr(config, "default_device_type", None) == DeviceType.DLA
        left = [each for each in network.layers if on_dla and not config.can_run_on_DLA(each)]
        if left and BuilderFlag.GPU_FALLBACK not in config.flags:
            self.log.log("Severity.ERROR", f"Default DLA is enabled but layer {left[0].name} is not supported on DLA")
            return None
        if STATE["unbuildable"]:
            self.log.log("Severity.ERROR", STATE["unbuildable"])
            self.log.log("Severity.ERROR", "buildSerializedNetwork failed")
            return None
        plan = {"detailed": config.profiling_verbosity == "DETAILED" and not STATE["names_only"], "dla": on_dla}
        return json.dumps(plan).encode() + b"\n" + bytes(network.model)


class Config:
    def __init__(self) -> None:
        self.flags: set[str] = set()

    def set_flag(self, flag: str) -> None:
        self.flags.add(flag)

    def can_run_on_DLA(self, layer: Any) -> bool:
        return str(layer.type) == "LayerType.CONVOLUTION"


class Network:
    def __init__(self) -> None:
        self.model, self.layers = b"", []

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    def get_layer(self, number: int) -> Any:
        return self.layers[number]


class OnnxParser:
    def __init__(self, network: Any, log: Any) -> None:
        self.network, self.log, self.faults = network, log, []

    def parse(self, model: bytes) -> bool:
        nodes = onnx.load_model_from_string(model).graph.node
        self.faults = [node for node in nodes if node.op_type in STATE["refuses"]]
        self.network.model = model
        kinds = {"Conv": "CONVOLUTION", "Gemm": "MATRIX_MULTIPLY"}
        self.network.layers = [
            SimpleNamespace(name=node.name, type=f"LayerType.{kinds.get(node.op_type, node.op_type.upper())}")
            for node in nodes
        ]
        return not self.faults

    @property
    def num_errors(self) -> int:
        return len(self.faults)

    def get_error(self, number: int) -> Any:
        node = self.faults[number]
        answers = {"code": "ErrorCode.UNSUPPORTED_NODE", "desc": "false", "node_name": node.name}
        answers |= {"node_operator": node.op_type, "func": "check"}
        return SimpleNamespace(**{name: lambda said=said: said for name, said in answers.items()})


class Runtime:
    def __init__(self, log: Any) -> None:
        pass

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        head, _, model = plan.partition(b"\n")
        return Engine(json.loads(head), onnx.load_model_from_string(model)) if head.startswith(b"{") else None


class Engine:
    device_memory_size_v2 = 4096

    def __init__(self, plan: dict[str, Any], model: Any) -> None:
        self.plan, self.model = plan, model
        self.io = {value.name: (value, mode) for mode, values in
                   (("INPUT", model.graph.input), ("OUTPUT", model.graph.output)) for value in values}  # fmt: skip
        self.num_io_tensors = len(self.io)

    def get_tensor_name(self, number: int) -> str:
        return list(self.io)[number]

    def get_tensor_mode(self, name: str) -> str:
        return self.io[name][1]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(dim.dim_value for dim in self.io[name][0].type.tensor_type.shape.dim)

    def create_execution_context(self) -> Any:
        return Context(self)

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(get_engine_information=lambda form: json.dumps(self.described()))

    def described(self) -> dict[str, Any]:
        """A layer for every Conv and Gemm, in the words of the version; int8 where a DequantizeLinear feeds it."""
        made = {name: node for node in self.model.graph.node for name in node.output}
        weights = {tensor.name: tensor.data_type for tensor in self.model.graph.initializer}
        layers: list[Any] = []
        for node in self.model.graph.node:
            if node.op_type in ("Conv", "Gemm"):
                source = made.get(node.input[0])
                int8 = source is not None and source.op_type == "DequantizeLinear" and node.name not in STATE["float"]
                half = weights.get(node.input[1]) == onnx.TensorProto.FLOAT16
                layers.append(layer(node, "Int8" if int8 else "Half" if half else "Float", self.plan["dla"]))
        if not self.plan["detailed"]:
            layers = [each["Name"] for each in layers]
        return {"Layers": layers, "Bindings" if OLD else "I/O Tensors": list(self.io)}


def layer(node: Any, dtype: str, dla: bool) -> dict[str, Any]:
    words = {"Int8": "Thirty-two wide channel vectorized row major Int8 format", "Half": "Channel major FP16 format",
             "Float": "Row major linear FP32"}[dtype]  # fmt: skip

    def tensor(name: str) -> dict[str, Any]:
        typed = {"Format/Datatype": words} if OLD else {"Format": "(Linear) Row major", "Datatype": dtype}
        return {"Name": name, "Location": "Device", "Dimensions": [1], **typed}

    return {
        "Name": node.name,
        "LayerType": "DLA" if dla and node.op_type == "Conv" else f"Cask{node.op_type}",
        "Inputs": [tensor(node.input[0])],
        "Outputs": [tensor(node.output[0])],
        "Metadata": f"[ONNX Layer: {node.name}]\x1e[ONNX Layer: {node.input[0]}]",
    }


class Context:
    profiler: Any = None

    def __init__(self, engine: Engine) -> None:
        self.engine, self.addresses = engine, {}
        self.run = libcudart.evaluator(engine.model)

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        (feed,), (fetch,) = self.engine.model.graph.input, self.engine.model.graph.output
        values = self._at(feed.name).copy()
        self._at(fetch.name)[...] = self.run.run(None, {feed.name: values})[0]
        libcudart.LIBRARY.now += libcudart.INFERENCE_MS
        if self.profiler is not None:
            for number, said in enumerate(self.engine.described()["Layers"], start=1):
                self.profiler.report_layer_time(said["Name"], float(number))
        return True

    def _at(self, name: str) -> Any:
        shape = self.engine.get_tensor_shape(name)
        memory = (ctypes.c_float * int(np.prod(shape))).from_address(self.addresses[name])
        return np.ctypeslib.as_array(memory).reshape(shape)
