"""onnxruntime: how its sessions are opened, and one as a function of one window."""

from __future__ import annotations

import platform
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Sequence

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Infer = Callable[[Floats], Floats]

FLOAT = "tensor(float)"


def session_options() -> Any:
    """What every session of onnxruntime runs with: one thread, and the same integer sums on every CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if _saturates():  # uint8 weights avoid it, 1.7 times as slow: not where it is not needed
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


@lru_cache(maxsize=None)
def _saturates() -> bool:
    """Whether uint8 x int8 kernels overflow their int16 sums here: x64 without VNNI, or not known."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return "vnni" not in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return True


def open_onnx(file: Path, _: Sequence[int] = ()) -> Infer:
    """A session with its buffers bound where their shapes are fixed, as an application of a device would have it.

    Names are then not looked up, nor outputs allocated, in every call: some microseconds of it.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), session_options(), providers=["CPUExecutionProvider"])
    feed, result = session.get_inputs()[0], session.get_outputs()[0]
    if not (_fixed(feed) and _fixed(result)):
        return _by_name(session, feed.name, feed.shape, result.name)
    source, sink = np.zeros(feed.shape, np.float32), np.zeros(result.shape, np.float32)
    bound = session.io_binding()
    bound.bind_input(feed.name, "cpu", 0, np.float32, source.shape, source.ctypes.data)
    bound.bind_output(result.name, "cpu", 0, np.float32, sink.shape, sink.ctypes.data)
    run, place, logits = _runner(session, bound), source, sink.reshape(-1)
    try:
        run()
    except Exception:  # it gives another shape than it declares: onnxruntime only warns of that where it allocates
        return _by_name(session, feed.name, feed.shape, result.name)

    def infer(window: Floats) -> Floats:
        nonlocal place
        if window.shape != place.shape:
            place = source.reshape(window.shape)
        place[...] = window  # of the same shape: half a microsecond less than to lay it out anew
        run()
        return logits.copy()

    return infer


def _runner(session: Any, bound: Any) -> Callable[[], object]:
    """The call itself. Where this version wraps it in checks that only GPUs need, those are not timed: 0.6 us each."""
    inner, binding = getattr(session, "_sess", None), getattr(bound, "_iobinding", None)
    if inner is not None and binding is not None:
        return partial(inner.run_with_iobinding, binding, None)
    return partial(session.run_with_iobinding, bound)


def _by_name(session: Any, name: str, shape: Sequence[Any], result: str) -> Infer:
    def infer(window: Floats) -> Floats:
        logits: Floats = session.run([result], {name: window.reshape(shape)})[0].reshape(-1)
        return logits

    return infer


def _fixed(tensor: Any) -> bool:
    """Whether a buffer for it can be made before it is seen."""
    return tensor.type == FLOAT and all(isinstance(size, int) and size > 0 for size in tensor.shape)
