"""Faults of the build: export, calibration, quantization, placement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from harness.targets.base import Node
from tests.faults import spoil
from tests.faults.surgery import put_before
from tests.faults.zoo.fault import Fault
from tests.faults.zoo.silicon import Dials
from tests.faults.zoo.site import HALF, SILICON, Site

Surgery = Callable[[onnx.ModelProto], None]
LITERT = "host/litert-int8"


def here(change: Callable[[Path], None], *, accepted: bool = False, build: str = "") -> Callable[[Site], None]:
    """A fault of the house itself, judged on the host."""

    def seed(site: Site) -> None:
        change(site.house)
        site.build = build or site.build
        if accepted:
            site.accept()

    return seed


def turned(build: str = SILICON, **dials: object) -> Callable[[Site], None]:
    """A fault of the silicon."""

    def seed(site: Site) -> None:
        site.build, site.dials = build, Dials(**dials)  # type: ignore[arg-type]

    return seed


def weights(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def layers_exchanged(model: onnx.ModelProto) -> None:
    """Two depthwise layers of one shape change places."""
    found = weights(model)
    for part in ("weight", "bias"):
        one, other = found[f"body.2.0.0.{part}"], found[f"body.3.0.0.{part}"]
        first = numpy_helper.to_array(one).copy()
        one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(other), one.name))
        other.CopyFrom(numpy_helper.from_array(first, other.name))


def relu_lost(model: onnx.ModelProto) -> None:
    node = [node for node in model.graph.node if node.op_type == "Relu"][2]
    for other in model.graph.node:
        for i, name in enumerate(other.input):
            if name == node.output[0]:
                other.input[i] = node.input[0]
    model.graph.node.remove(node)


def bias_lost(model: onnx.ModelProto) -> None:
    tensor = weights(model)["body.1.0.0.bias"]
    tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(tensor)), tensor.name))


def outputs_permuted(model: onnx.ModelProto) -> None:
    for name in ("head.weight", "head.bias"):
        tensor = weights(model)[name]
        tensor.CopyFrom(numpy_helper.from_array(np.roll(numpy_helper.to_array(tensor), 1, axis=0), name))


def activations(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "QuantizeLinear"]


def zero_point_off_by_one(model: onnx.ModelProto) -> None:
    """What one kernel writes with one zero point, the next reads with another."""
    found = weights(model)
    for quantize in activations(model):
        for node in model.graph.node:
            if node.op_type == "DequantizeLinear" and node.input[0] == quantize.output[0]:
                value = numpy_helper.to_array(found[quantize.input[2]]).astype(np.int16)
                name = f"{node.name}/zero_point"
                moved = np.clip(value + 1, -128, 127).astype(np.int8)
                model.graph.initializer.append(numpy_helper.from_array(moved, name))
                node.input[2] = name


def scales_saturate(model: onnx.ModelProto) -> None:
    """Every activation's scale a quarter of what its range needs."""
    found = weights(model)
    for name in {node.input[1] for node in activations(model)}:
        tensor = found[name]
        tensor.CopyFrom(numpy_helper.from_array((numpy_helper.to_array(tensor) / 4).astype(np.float32), name))


def weights_rot(model: onnx.ModelProto) -> None:
    """A bit of every twentieth weight of one layer."""
    name, tensor = next(pair for pair in weights(model).items() if pair[0].startswith("body.2.1.0.weight_quantized"))
    values = numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[::20] ^= 0x40
    tensor.CopyFrom(numpy_helper.from_array(values, name))


def one_clip(house: Path) -> None:
    spoil.of_calibration(house, lambda rows: [row for row in rows if row["label"] == "silence"][:1])


def float_island(house: Path) -> None:
    """Between two layers, of values that are never negative: it changes nothing but where it runs."""
    path = house / "models" / "small" / "model.onnx"
    model = onnx.load(path)
    place, third = [(i, node) for i, node in enumerate(model.graph.node) if node.op_type == "Conv"][2]
    name = "/fault/Abs"
    model.graph.node.insert(place, onnx.helper.make_node("Abs", [third.input[0]], [f"{name}_output_0"], name=name))
    third.input[0] = f"{name}_output_0"
    path.write_bytes(model.SerializeToString())


def float_operator(house: Path) -> None:
    """Of values that are never negative: it changes nothing but where it runs."""
    put_before("Gemm", "Abs", house / "models" / "small" / "model.onnx")


def one_off(**changes: object) -> Callable[[list[Node]], list[Node]]:
    """The third convolution elsewhere, or otherwise."""

    def place(nodes: list[Node]) -> list[Node]:
        third = [node for node in nodes if node.op == "Conv"][2]
        return [replace(node, **changes) if node is third else node for node in nodes]  # type: ignore[arg-type]

    return place


def mean_in_the_middle(nodes: list[Node]) -> list[Node]:
    """An allowed operator, but where it cuts the graph in two."""
    cut = Node("/norm/ReduceMean", "ReduceMean", "float32", "cpu", True, "no ReduceMean on this silicon")
    return [*nodes[:6], cut, *nodes[6:]]


def exploded(nodes: list[Node]) -> list[Node]:
    return [replace(node, name=f"{node.name}/{part}") for node in nodes for part in ("tile.0", "tile.1")]


PARITY = "conversion float parity"
DROP, SQNR, FALLBACK = "accuracy overall", "sqnr overall", "placement fallback"
FAULTS = (
    Fault(
        "a kernel's axes exchanged", "export", here(spoil.swapped_kernel, build=LITERT), (PARITY, SQNR), "conversion"
    ),
    Fault("another training exported", "export", here(spoil.other_weights, build=LITERT), (PARITY, SQNR), "conversion"),
    Fault(
        "frames fed as bins",
        "export",
        turned(feeds=lambda windows: windows.transpose(0, 2, 1).reshape(windows.shape)),
        (PARITY, DROP),
        "conversion",
        "swapped axes",
        quick=True,
    ),
    Fault("two layers in the wrong order", "export", turned(exports=layers_exchanged), (PARITY, DROP), "conversion"),
    Fault("an activation lost", "export", turned(exports=relu_lost), (PARITY, SQNR), "conversion"),
    Fault("a folded bias lost", "export", turned(exports=bias_lost), (PARITY, SQNR), "conversion"),
    Fault("outputs in another order", "export", turned(exports=outputs_permuted), (PARITY, DROP), "conversion"),
    Fault(
        "calibration of silence",
        "calibration",
        here(spoil.only_silence),
        (SQNR,),
        "calibration",
        "below -60",
        quick=True,
    ),
    Fault("calibration recorded too quietly", "calibration", here(spoil.turned_down), (SQNR,), "calibration"),
    Fault("calibration of one silent clip", "calibration", here(one_clip), (SQNR,), "calibration"),
    Fault(
        "calibration on features that were not normalized",
        "calibration",
        turned(calibrates=lambda windows: windows * 4 + 7),
        (SQNR,),
        "board",
        "or its toolchain",
    ),
    Fault(
        "per tensor in place of per channel",
        "quantization",
        here(spoil.one_scale, accepted=True),
        (SQNR,),
        "precision",
        "per_channel",
    ),
    Fault(
        "channels imbalanced everywhere",
        "quantization",
        here(spoil.imbalanced, accepted=True),
        (SQNR,),
        "layers",
        "10 layers",
    ),
    Fault(
        "one bad layer",
        "quantization",
        here(spoil.one_imbalanced, accepted=True),
        (SQNR,),
        "layers",
        "body.1.0.0/Conv",
        quick=True,
    ),
    Fault(
        "channels imbalanced in the .tflite",
        "quantization",
        here(spoil.imbalanced_tflite, build=LITERT),
        (SQNR,),
        "layers",
        "Sequential_stem",
    ),
    Fault(
        "zero points off by one",
        "quantization",
        turned(quantizes=zero_point_off_by_one),
        (SQNR,),
        "board",
        "or its toolchain",
    ),
    Fault(
        "scales that saturate",
        "quantization",
        turned(quantizes=scales_saturate),
        (SQNR, DROP),
        "board",
        "or its toolchain",
        quick=True,
    ),
    Fault(
        "weights of one layer rot", "quantization", turned(quantizes=weights_rot), (SQNR,), "board", "or its toolchain"
    ),
    Fault(
        "a float island in an int8 graph",
        "placement",
        here(float_island, accepted=True),
        (FALLBACK,),
        "placement",
        "Abs /fault/Abs",
        (DROP,),
    ),
    Fault(
        "an operator without an int8 kernel",
        "placement",
        here(float_operator, accepted=True),
        (FALLBACK,),
        "placement",
        "Abs",
    ),
    Fault(
        "a convolution on the CPU",
        "placement",
        turned(places=one_off(where="cpu", dtype="float32", fallback=True, reason="no kernel for its stride")),
        (FALLBACK,),
        "placement",
        "on cpu as float32 (no kernel for its stride)",
        (DROP,),
        quick=True,
    ),
    Fault(
        "a layer wider than asked for",
        "placement",
        turned(places=one_off(dtype="float16", fallback=True, reason="wider than int8")),
        (FALLBACK,),
        "placement",
        "as float16",
        (DROP,),
    ),
    Fault(
        "an extra partition by an allowed operator",
        "placement",
        turned(places=mean_in_the_middle, partitions=3),
        ("placement partitions",),
        "placement",
        "partitions 3",
        (FALLBACK, DROP),
        quick=True,
    ),
    Fault(
        "a graph in twice as many pieces",
        "placement",
        turned(places=exploded),
        ("placement layers",),
        "placement",
        "layers 40",
        (FALLBACK,),
    ),
    Fault("int8 where fp16 was asked for", "placement", turned(HALF, narrow=True), (SQNR,), "placement", "int8"),
    Fault(
        "a fifth of the time on the CPU",
        "placement",
        turned(cpu_us=1000.0),
        ("placement cpu time share",),
        "placement",
        "ReduceMean 1000 us",
        (FALLBACK,),
    ),
)
