"""Runs inside the Python of tflite-runtime, beside a Coral device: loads one model and runs it.

    python -I coral_worker.py FOLDER

FOLDER/request.json names the model and the delegate (null: this board's CPU). With "inputs", windows as float .npy,
it answers in outputs.npy, times.npy (ns an inference) and result.json; without, it answers on standard output: the
number of labels, then the logits of every window (frames, bins, values) that comes on standard input. Counts are
32-bit, values float32. Needs Python 3.8, numpy and tflite_runtime alone.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

STATUS = Path("/proc/self/status")


class Model:
    """One input and one output, quantized and dequantized here."""

    def __init__(self, request: dict[str, Any]) -> None:
        from tflite_runtime.interpreter import Interpreter, load_delegate

        delegates = [load_delegate(request["delegate"])] if request["delegate"] else []
        self.interpreter = Interpreter(request["model"], experimental_delegates=delegates)
        self.interpreter.allocate_tensors()
        self.source = self.interpreter.get_input_details()[0]
        self.sink = self.interpreter.get_output_details()[0]
        self.shape = tuple(int(size) for size in self.source["shape"])
        self.labels = int(np.prod(self.sink["shape"]))

    def __call__(self, window: Any) -> Any:
        self.interpreter.set_tensor(self.source["index"], self.quantized(self.laid(window)))
        self.interpreter.invoke()
        return self.plain(self.interpreter.get_tensor(self.sink["index"])).reshape(-1)

    def laid(self, window: Any) -> Any:
        """(frames, bins) in the input's shape, which may hold them the other way around."""
        turned = [size for size in self.shape if size != 1] == [size for size in window.shape[::-1] if size != 1]
        straight = [size for size in self.shape if size != 1] == [size for size in window.shape if size != 1]
        return (window if straight or not turned else window.T).reshape(self.shape)

    def quantized(self, window: Any) -> Any:
        dtype = self.source["dtype"]
        if dtype == np.float32:
            return np.ascontiguousarray(window)
        scale, zero = self.source["quantization"]
        kind = np.iinfo(dtype)
        return np.clip(np.rint(window / np.float32(scale)) + zero, kind.min, kind.max).astype(dtype)

    def plain(self, logits: Any) -> Any:
        if self.sink["dtype"] == np.float32:
            return logits
        scale, zero = self.sink["quantization"]
        return (logits.astype(np.float32) - np.float32(zero)) * np.float32(scale)


def peak(*, reset: bool = False) -> int | None:
    """Peak resident bytes of this process since the last reset; None where the kernel does not say."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


def batch(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    import tflite_runtime.interpreter  # noqa: F401 -- the runtime itself is not the model's

    before = peak(reset=True)
    model = Model(request)
    windows = np.load(str(folder / request["inputs"]), mmap_mode="r", allow_pickle=False)
    outputs, times = np.zeros((len(windows), model.labels), np.float32), np.zeros(len(windows), np.int64)
    for index in range(len(windows)):
        window = np.array(windows[index])
        start = time.perf_counter_ns()
        outputs[index] = model(window)
        times[index] = time.perf_counter_ns() - start
    np.save(str(folder / "outputs.npy"), outputs)
    np.save(str(folder / "times.npy"), times)
    after = peak()
    rss = None if before is None or after is None else max(0, after - before)
    return {"ok": True, "rss": rss}


def serve(request: dict[str, Any]) -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not be taken for logits
    model = Model(request)
    answers.write(struct.pack("<I", model.labels))
    answers.flush()
    while len(head := sys.stdin.buffer.read(8)) == 8:
        frames, bins = struct.unpack("<II", head)
        values = np.frombuffer(sys.stdin.buffer.read(4 * frames * bins), np.float32)
        answers.write(np.asarray(model(values.reshape(frames, bins)), np.float32).tobytes())
        answers.flush()


def main(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text())
    if "inputs" not in request:
        serve(request)
        return
    try:
        result = batch(request, folder)
    except Exception as error:
        result = {"ok": False, "error": f"{type(error).__name__}: {str(error).strip()}"}
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
