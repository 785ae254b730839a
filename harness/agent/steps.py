"""A streaming step as a function that remembers: its state goes from one call to the next until it is cleared.

A model passes its state in and out, named in ``states`` (input to output, in the model's order behind the features and
the score), or keeps it in variables of its own, where ``states`` is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

import numpy as np

from .faults import MODEL, Fault
from .layout import laid
from .ort import session_options
from .runtimes import INTERPRETERS, _dequantizer, _first, _quantizer, first_line

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]


class Step:
    """One loaded step. Call it with the features of a step ``(frames, bins)`` for its score; ``reset`` forgets."""

    def reset(self) -> None:
        raise NotImplementedError

    def __call__(self, features: Floats) -> float:
        raise NotImplementedError


def open_step(file: Path, states: Mapping[str, str]) -> Step:
    """Raises Fault ``model`` where the runtime does not load the file, or it has not those states."""
    try:
        return _Onnx(file, states) if file.suffix == ".onnx" else _Tflite(file, states)
    except Exception as error:  # each runtime has its own ways to say no
        raise Fault(MODEL, f"does not load as a streaming step: {first_line(error)}") from error


class _Onnx(Step):
    def __init__(self, file: Path, states: Mapping[str, str]) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(str(file), session_options(), providers=["CPUExecutionProvider"])
        inputs = {value.name: value for value in self._session.get_inputs()}
        self._shapes = {name: inputs.pop(name).shape for name in states}
        ((self._name, feed),) = inputs.items()
        self._shape = feed.shape
        (score,) = [value.name for value in self._session.get_outputs() if value.name not in states.values()]
        self._wanted = [score, *states.values()]
        self.reset()

    def reset(self) -> None:
        self._state = {name: np.zeros(shape, np.float32) for name, shape in self._shapes.items()}

    def __call__(self, features: Floats) -> float:
        feeds = {self._name: features.reshape(self._shape), **self._state}
        score, *after = self._session.run(self._wanted, feeds)
        self._state = dict(zip(self._state, after))
        return float(score.reshape(-1)[0])


class _Tflite(Step):
    """States are told apart by their place in the signature: a converter renames them."""

    def __init__(self, file: Path, states: Mapping[str, str]) -> None:
        self._file, self._inside = file, not states
        self._load()
        inputs, outputs = signature(self._interpreter)
        if len(inputs) != len(outputs) or len(inputs) != 1 + len(states):
            raise ValueError(f"{len(inputs)} inputs and {len(outputs)} outputs for {len(states)} states")
        self._feed, *self._given = inputs
        self._fetch, *self._taken = outputs
        self._shape = tuple(int(size) for size in self._feed["shape"])
        self._quantize, self._dequantize = _quantizer(self._feed), _dequantizer(self._fetch)
        self._turns = [_turn(*pair) for pair in zip(self._taken, self._given)]
        self.reset()

    def _load(self) -> None:
        self._interpreter = _first(INTERPRETERS).Interpreter(str(self._file), num_threads=1)
        self._interpreter.allocate_tensors()

    def reset(self) -> None:
        if self._inside:  # reset_all_variables() leaves what the XNNPACK delegate keeps (ai-edge-litert 2.3.0)
            self._load()
        zeros = [np.zeros(detail["shape"], np.float32) for detail in self._given]
        self._state = [_quantizer(detail)(zero) for detail, zero in zip(self._given, zeros)]

    def __call__(self, features: Floats) -> float:
        run = self._interpreter
        run.set_tensor(self._feed["index"], self._quantize(laid(features, self._shape)))
        for detail, value in zip(self._given, self._state):
            run.set_tensor(detail["index"], value)
        run.invoke()
        self._state = [turn(run.get_tensor(taken["index"])) for turn, taken in zip(self._turns, self._taken)]
        return float(self._dequantize(run.get_tensor(self._fetch["index"])).reshape(-1)[0])


def signature(interpreter: Any) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of a .tflite in the order of the function it was converted from."""
    names = interpreter.get_signature_list()
    if not names:
        return interpreter.get_input_details(), interpreter.get_output_details()
    runner = interpreter.get_signature_runner(next(iter(names)))
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    return [inputs[name] for name in sorted(inputs, key=place)], [outputs[name] for name in sorted(outputs, key=place)]


def place(name: str) -> tuple[int, str]:
    """args_10 comes behind args_9."""
    number = name.rpartition("_")[2]
    return (int(number) if number.isdigit() else 0), name


def _turn(taken: Any, given: Any) -> Any:
    """What an output becomes when it is given back: as it is where both have one type and scale."""
    if taken["dtype"] == given["dtype"] and taken["quantization"] == given["quantization"]:
        return np.copy
    quantize, dequantize = _quantizer(given), _dequantizer(taken)
    return lambda value: quantize(dequantize(value))
