"""Fake quantization put into a network, and what is exported of it: a room of qat_worker.py, run in its environment.

torchao's PT2E inserts and converts; litert-torch names what its kernels quantize, and writes .tflite.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from harness.targets.workers import qat_finish, qat_places, qat_step

FLOAT_DB = 80.0  # SQNR of an export of float: no more than float32 rounds away
INT8_DB = 10.0  # of int8: kernels round halves otherwise than torch, which a network with unequal channels magnifies
FLOAT_OPSET, QDQ_OPSET = 17, 18  # 18 is the least that torch.export's exporter writes


class RefusedError(Exception):
    """What the candidate's code or model does not hold, in words."""


def quantizer(symmetric: bool, states: int = 0) -> Any:
    """litert-torch's PT2E quantizer: int8, weights symmetric, per channel but for dense layers.

    A step's activations are settled here, its last ``states`` inputs and outputs alike; of others the library does it.

    Coral's compiler refuses a dense layer with a scale for each channel; the other kernels take either.
    """
    import dataclasses

    import torch
    from litert_torch.quantize import pt2e_quantizer as pt2e

    def config(per_channel: bool) -> Any:
        plain = pt2e.get_symmetric_quantization_config(is_per_channel=per_channel, is_qat=True)
        if not symmetric:
            return plain
        own = dataclasses.replace(plain.input_activation, qscheme=torch.per_tensor_symmetric, quant_min=-127)
        return dataclasses.replace(plain, input_activation=own, output_activation=own)

    class Folded(pt2e.PT2EQuantizer):  # type: ignore[misc]
        STATIC_QAT_ONLY_OPS = ()  # patterns with batch normalization, which litert-torch 0.10 cannot match any more

        def _annotate_for_static_quantization_config(self, model: Any) -> Any:
            for op in ("linear", "addmm"):
                pt2e.OP_TO_ANNOTATOR[op](model, config(False), None)
            return self._annotate_all_static_patterns(model, self.global_config)

        def annotate(self, model: Any) -> Any:
            annotated = super().annotate(model)
            if states:
                qat_places.settle(annotated, self.global_config.input_activation, states)
            return annotated

    return Folded().set_global(config(True))


def prepared(network: Any, examples: tuple[Any, ...], quantize: Any) -> Any:
    """The network with fake quantization at every place where its int8 will round."""
    import torch
    from torchao.quantization.pt2e import move_exported_model_to_train
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    batch = torch.export.Dim("batch", min=1, max=4096)
    several = tuple(torch.cat([example, example]) for example in examples)  # 1 would be taken for a constant
    sizes = tuple({0: batch} for _ in examples)
    exported = torch.export.export(network.train(), several, dynamic_shapes=sizes).module()
    return move_exported_model_to_train(prepare_qat_pt2e(exported, quantize))


def export_float(network: Any, examples: tuple[Any, ...], request: dict[str, Any], folder: Path) -> None:
    """float.onnx, its nodes named as in the ONNX it began from, and float.tflite."""
    import torch

    path = folder / "float.onnx"
    torch.onnx.export(network, examples, str(path), opset_version=FLOAT_OPSET, dynamo=False, **_names(request))
    if request["litert"]:
        import litert_torch

        litert_torch.convert(network, examples).export(str(folder / "float.tflite"))


def export_int8(network: Any, examples: tuple[Any, ...], quantize: Any, request: dict[str, Any], folder: Path) -> Any:
    """qat.onnx in QDQ form and qat.tflite in int8 throughout; returns the network that both were made of."""
    import copy

    import torch
    from torchao.quantization.pt2e import move_exported_model_to_eval
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    plain = move_exported_model_to_eval(network)
    if request["litert"]:
        import litert_torch
        from litert_torch.quantize.quant_config import QuantConfig

        # litert-torch 0.10 reads weights quantized in the graph, not stored as int8.
        unfolded = convert_pt2e(copy.deepcopy(plain), fold_quantize=False)
        if request["states"]:
            unfolded = qat_finish.carry_across_scales(unfolded)
        converted = litert_torch.convert(unfolded, examples, quant_config=QuantConfig(pt2e_quantizer=quantize))
        converted.export(str(folder / "qat.tflite"))
    converted = convert_pt2e(plain)
    path = folder / "qat.onnx"
    options = {"dynamo": True, "opset_version": QDQ_OPSET, "external_data": False}
    torch.onnx.export(converted, examples, str(path), **options, **_names(request))
    strip(path)
    if request["states"]:
        qat_finish.finish_onnx(path, unsigned=not request["symmetric"])
    return converted


def _names(request: dict[str, Any]) -> dict[str, list[str]]:
    return {"input_names": request["inputs"], "output_names": request["outputs"]}


def strip(path: Path) -> None:
    """Take out what the exporter notes of its own run, stack traces with this machine's folders among it."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


def agreement(network: Any, windows: Any, names: list[str], request: dict[str, Any], folder: Path) -> dict[str, float]:
    """dB of each exported file against the network it was made of, on the same windows, or sequences of steps."""
    import numpy as np
    import torch

    states = request["states"]
    with torch.no_grad():
        if states:
            silence = qat_step.begin([], torch.ones(len(windows), dtype=torch.bool), request["shapes"][1:])
            wanted = qat_step.unrolled(network, windows, silence)[0].numpy().reshape(windows.shape[:2])
        else:
            wanted = np.concatenate([network(window[None]).numpy() for window in windows])
    wanted = wanted.astype(np.float64)
    found: dict[str, float] = {}
    for name in names:
        path, heard = folder / name, windows.numpy()
        if states:
            says = qat_step.said(path, states, heard)
        else:
            says = (run_tflite if name.endswith(".tflite") else run_onnx)(path, heard)
        noise = float(np.square(says - wanted).sum())
        found[name] = round(10 * math.log10(float(np.square(wanted).sum()) / noise), 1) if noise else 200.0
        least = FLOAT_DB if name.startswith("float") else INT8_DB
        if not found[name] >= least:
            raise RefusedError(
                f"{name} keeps {found[name]} dB of the trained network's outputs, at least {least:g} needed"
            )
    return found


def run_onnx(path: Path, windows: Any) -> Any:
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: window[None]})[0] for window in windows])


def run_tflite(path: Path, windows: Any) -> Any:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (into,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for window in windows:
        given = window[None]
        if into["dtype"] == np.int8:
            scale, zero = into["quantization"]
            given = np.clip(np.round(given / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(into["index"], given)
        interpreter.invoke()
        said = interpreter.get_tensor(out["index"]).astype(np.float64)
        rows.append((said - out["quantization"][1]) * out["quantization"][0] if out["dtype"] == np.int8 else said)
    return np.concatenate(rows)
