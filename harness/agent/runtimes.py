"""A compiled model as a function of one window, by whichever runtime runs it: on one thread of this process.

A runtime is an opener: ``open(file, shape) -> infer`` with float32 in and out. ``MODULE:FUNCTION`` names one of
somebody's own that is installed where the model runs: it is imported when it is asked for. An opened model that has
``many`` takes windows faster together.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Sequence

import numpy as np

from . import snpe
from .faults import MISSING, MODEL, Fault
from .layout import laid
from .ort import open_onnx

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Infer = Callable[[Floats], Floats]
    Shape = Sequence[int]
    Open = Callable[[Path, Shape], Infer]

SUFFIXES = {".onnx": "onnxruntime", ".tflite": "litert", ".rknn": "rknnlite"}
INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
EDGETPU = "libedgetpu.so.1"
COMPILED = b"edgetpu-custom-op"  # what Coral's compiler leaves in place of the operators it took
PACKAGES = {
    "onnxruntime": "onnxruntime",
    "litert": "ai-edge-litert, or tflite-runtime",
    "edgetpu": "tflite-runtime and libedgetpu1-std",
    "rknnlite": "rknn-toolkit-lite2",
    "tensorrt": "JetPack's TensorRT (apt-get install nvidia-jetpack), which the system's own Python has,",
    "snpe": "SNPE's bin, lib and dsp below /opt/snpe,",
    "snpe-cpu": "SNPE's bin and lib below /opt/snpe,",
}


def open_model(file: Path, runtime: str, shape: Shape = ()) -> Infer:
    """A loaded model as a function of one window.

    ``shape`` is that of its input, for runtimes that do not tell. Raises Fault ``missing`` where the runtime is not
    installed, ``model`` where it does not load the file.
    """
    opener = _opener(runtime)
    try:
        return opener(file, shape)
    except ImportError as error:
        raise Fault(MISSING, f"{runtime} is not installed ({error}); {_remedy(runtime)}") from error
    except Exception as error:  # each runtime has its own ways to say no
        raise Fault(MODEL, f"does not load: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:400]


def _opener(runtime: str) -> Open:
    if runtime in OPENERS:
        return OPENERS[runtime]
    module, _, function = runtime.partition(":")
    try:
        own: Open = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise Fault(MISSING, f"{runtime} is not there ({error}); {_remedy(runtime)}") from error
    return own


def _remedy(runtime: str) -> str:
    if runtime in PACKAGES:
        return f"install {PACKAGES[runtime]} for {platform.machine()} and this Python {platform.python_version()}"
    return "install the module that has this opener of yours"


def versions() -> dict[str, str]:
    """Of the runtimes that are installed here: name to version."""
    found = {}
    for name, module in (
        ("onnxruntime", "onnxruntime"),
        ("ai-edge-litert", "ai_edge_litert"),
        ("tflite-runtime", "tflite_runtime"),
        ("rknn-toolkit-lite2", "rknnlite"),
        ("tensorrt", "tensorrt"),
        ("kaldi-native-fbank", "kaldi_native_fbank"),
        ("numpy", "numpy"),
    ):
        if importlib.util.find_spec(module) is not None:
            found[name] = _version(name)
    with contextlib.suppress(ImportError):
        found["snpe"] = (
            Path(snpe.program(snpe.NET_RUN)).resolve().parents[1].name
        )  # SDKs are in folders of their version
    return found


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:  # unpacked by hand, as vendors' images have it
        return "unknown"


def _open_tflite(file: Path, _: Shape, delegate: str = "") -> Infer:
    module = _first(INTERPRETERS)
    delegates = [module.load_delegate(delegate)] if delegate else []
    interpreter = module.Interpreter(str(file), num_threads=1, experimental_delegates=delegates)
    interpreter.allocate_tensors()
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    feed, fetch = source["index"], sink["index"]
    shape = tuple(int(size) for size in source["shape"])
    quantize, dequantize = _quantizer(source), _dequantizer(sink)

    def infer(window: Floats) -> Floats:
        interpreter.set_tensor(feed, quantize(laid(window, shape)))
        interpreter.invoke()
        return dequantize(interpreter.get_tensor(fetch).reshape(-1))

    return infer


def _open_edgetpu(file: Path, shape: Shape) -> Infer:
    if COMPILED not in file.read_bytes():
        raise ValueError("no part of it is compiled for the Edge TPU: all of it would run on the CPU")
    return _open_tflite(file, shape, EDGETPU)


def _open_rknn(file: Path, shape: Shape) -> Infer:
    """On one core of the NPU. rknn-toolkit-lite2 quantizes inputs and dequantizes outputs itself."""
    RKNNLite = importlib.import_module("rknnlite.api").RKNNLite  # by name: the host has no such module
    runtime = RKNNLite()
    if runtime.load_rknn(str(file)) != 0:
        raise ValueError("rknn-toolkit-lite2 refused the file; was it compiled for this chip?")
    if runtime.init_runtime(core_mask=RKNNLite.NPU_CORE_0) != 0:
        raise ValueError("the NPU's runtime did not start; is librknnrt.so as new as the toolkit that compiled?")
    layout = ["nchw"] if len(shape) == 4 else None

    def infer(window: Floats) -> Floats:
        outputs = runtime.inference(inputs=[window.reshape(shape)], data_format=layout)
        if not outputs:
            raise ValueError("the NPU answered nothing")
        return np.asarray(outputs[0], np.float32).reshape(-1)

    return infer


def _open_tensorrt(file: Path, _: Shape) -> Infer:
    from .trt import open_engine

    engine = open_engine(file)

    def infer(window: Floats) -> Floats:
        output: Floats = engine.infer(window)[0]
        return output

    return infer


def _open_snpe(file: Path, shape: Shape, unit: str = "dsp") -> Infer:
    return snpe.NetRun(file, shape, unit)


OPENERS: dict[str, Open] = {
    "onnxruntime": open_onnx,
    "litert": _open_tflite,
    "edgetpu": _open_edgetpu,
    "rknnlite": _open_rknn,
    "tensorrt": _open_tensorrt,
    "snpe": _open_snpe,
    "snpe-cpu": lambda file, shape: _open_snpe(file, shape, "cpu"),
}


def _first(names: Sequence[str]) -> Any:
    """The first of the modules that can be imported."""
    for name in names:
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            return importlib.import_module(name)
    raise ImportError(f"none of {', '.join(names)}")


def _quantizer(detail: dict[str, Any]) -> Callable[[Floats], Any]:
    """Float to the tensor's own type: ``round(x / scale) + zero point``, saturating."""
    if detail["dtype"] == np.float32:
        return lambda window: window
    scale, zero = _affine(detail)
    dtype = detail["dtype"]
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return lambda window: np.clip(np.rint(window / scale) + zero, low, high).astype(dtype)


def _dequantizer(detail: dict[str, Any]) -> Callable[[Any], Floats]:
    if detail["dtype"] == np.float32:
        return lambda logits: logits
    scale, zero = _affine(detail)
    return lambda logits: (logits.astype(np.float32) - zero) * scale


def _affine(detail: dict[str, Any]) -> tuple[np.float32, np.float32]:
    scale, zero = detail["quantization"]
    if not scale > 0:
        raise ValueError(f"{detail['name']} is {np.dtype(detail['dtype']).name} without a scale")
    return np.float32(scale), np.float32(zero)
