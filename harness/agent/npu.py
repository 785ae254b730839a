"""What Rockchip's runtime itself tells of an .rknn file: the time of each layer, of whole runs, and its memory.

rknn-toolkit-lite2 has no such calls, so the runtime's C interface is asked (rknn_api.h: RKNN_FLAG_COLLECT_PERF_MASK,
RKNN_QUERY_PERF_DETAIL, _PERF_RUN, _MEM_SIZE). Layers run one by one while their times are collected: shares of the
time hold, the sum is no latency.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from typing import Any, Iterator

from . import lock, store
from .faults import MISSING, MODEL, Fault

LIBRARY = "librknnrt.so"
COLLECT = 0x08
IN_OUT_NUM, PERF_DETAIL, PERF_RUN, MEM_SIZE = 0, 3, 4, 6
FLOAT32, NHWC = 0, 1
RUNS = 10  # the last of them is told
MOST = 16 << 20  # bytes of a table


class Input(ctypes.Structure):
    _fields_ = [
        ("index", ctypes.c_uint32),
        ("buf", ctypes.c_void_p),
        ("size", ctypes.c_uint32),
        ("pass_through", ctypes.c_uint8),
        ("type", ctypes.c_int),
        ("fmt", ctypes.c_int),
    ]


class Output(ctypes.Structure):
    _fields_ = [
        ("want_float", ctypes.c_uint8),
        ("is_prealloc", ctypes.c_uint8),
        ("index", ctypes.c_uint32),
        ("buf", ctypes.c_void_p),
        ("size", ctypes.c_uint32),
    ]


class Counts(ctypes.Structure):
    _fields_ = [("inputs", ctypes.c_uint32), ("outputs", ctypes.c_uint32)]


class Detail(ctypes.Structure):
    _fields_ = [("text", ctypes.c_char_p), ("length", ctypes.c_uint64)]


class Duration(ctypes.Structure):
    _fields_ = [("us", ctypes.c_int64)]


class Memory(ctypes.Structure):
    _fields_ = [
        ("weights", ctypes.c_uint32),
        ("internal", ctypes.c_uint32),
        ("dma", ctypes.c_uint64),
        ("sram", ctypes.c_uint32),
        ("sram_free", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 10),
    ]


class LongerMemory(Memory):
    """As headers of the runtime have it whose reserve is of twelve."""

    _fields_ = [("more", ctypes.c_uint32 * 2)]


def table(name: str, token: str, values: int) -> str:
    """What the runtime prints of the last of some inferences of zeros; ``values`` is how many the input has."""
    with _loaded(name, token, COLLECT) as (runtime, context):
        run = _runner(runtime, context, values)
        for _ in range(RUNS):
            run()
        detail = Detail()
        _query(runtime, context, PERF_DETAIL, detail)
        return (detail.text or b"")[:MOST].decode("utf-8", "replace")


def durations(name: str, token: str, values: int, rounds: int) -> list[int]:
    """Microseconds of single inferences of zeros by the runtime's word, without setting inputs and getting outputs."""
    found = []
    with _loaded(name, token) as (runtime, context):
        run = _runner(runtime, context, values)
        for _ in range(RUNS):
            run()
        for _ in range(rounds):
            run()
            duration = Duration()
            _query(runtime, context, PERF_RUN, duration)
            found.append(int(duration.us))
    return found


def memory(name: str, token: str) -> dict[str, int]:
    """Bytes that the runtime allocated to load the model: all that the NPU can reach, and what it holds."""
    with _loaded(name, token) as (runtime, context):
        found = Memory()
        if _asked(runtime, context, MEM_SIZE, found) < 0:
            found = LongerMemory()
            _query(runtime, context, MEM_SIZE, found)
        return {"all": int(found.dma), "weights": int(found.weights), "internal": int(found.internal)}


@contextmanager
def _loaded(name: str, token: str, flags: int = 0) -> Iterator[Any]:
    """The runtime and a context that holds the artifact."""
    lock.check(token)
    try:
        runtime = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise Fault(MISSING, f"{LIBRARY} is not installed ({error}); install Rockchip's runtime") from error
    data = store.artifact(name).read_bytes()
    context = ctypes.c_uint64()
    _well("rknn_init", runtime.rknn_init(ctypes.byref(context), data, len(data), flags, None))
    try:
        yield runtime, context
    finally:
        runtime.rknn_destroy(context)


def _runner(runtime: ctypes.CDLL, context: ctypes.c_uint64, values: int) -> Any:
    """One inference of zeros, as a function."""
    counts = Counts()
    _query(runtime, context, IN_OUT_NUM, counts)
    if counts.inputs != 1:
        raise Fault(MODEL, f"has {counts.inputs} inputs where one is known")
    zeros = (ctypes.c_float * values)()
    one = Input(0, ctypes.cast(zeros, ctypes.c_void_p), ctypes.sizeof(zeros), 0, FLOAT32, NHWC)
    outputs = (Output * counts.outputs)(*(Output(1, 0, i, None, 0) for i in range(counts.outputs)))

    def run() -> None:
        _well("rknn_inputs_set", runtime.rknn_inputs_set(context, 1, ctypes.byref(one)))
        _well("rknn_run", runtime.rknn_run(context, None))
        _well("rknn_outputs_get", runtime.rknn_outputs_get(context, counts.outputs, outputs, None))
        _well("rknn_outputs_release", runtime.rknn_outputs_release(context, counts.outputs, outputs))

    return run


def _asked(runtime: ctypes.CDLL, context: ctypes.c_uint64, what: int, into: ctypes.Structure) -> int:
    return int(runtime.rknn_query(context, what, ctypes.byref(into), ctypes.sizeof(into)))


def _query(runtime: ctypes.CDLL, context: ctypes.c_uint64, what: int, into: ctypes.Structure) -> None:
    _well("rknn_query", _asked(runtime, context, what, into))


def _well(call: str, result: int) -> None:
    if result < 0:
        raise Fault(MODEL, f"is refused by {LIBRARY}: {call} gave {result}")
