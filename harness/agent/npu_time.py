"""Where the time of one inference goes on a Rockchip NPU, by its runtime's own word.

rknn-toolkit-lite2 has no such call, so the runtime's C interface is asked (rknn_api.h: RKNN_FLAG_COLLECT_PERF_MASK,
RKNN_QUERY_PERF_DETAIL). Layers run one by one while that is collected: shares of the time hold, the sum is no latency.
"""

from __future__ import annotations

import ctypes

from . import lock, store
from .faults import MISSING, MODEL, Fault

LIBRARY = "librknnrt.so"
COLLECT = 0x08
IN_OUT_NUM, PERF_DETAIL = 0, 3
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


def table(name: str, token: str, values: int) -> str:
    """What the runtime prints of the last of some inferences of zeros; ``values`` is how many the input has."""
    lock.check(token)
    try:
        runtime = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise Fault(MISSING, f"{LIBRARY} is not installed ({error}); install Rockchip's runtime") from error
    data = store.artifact(name).read_bytes()
    context = ctypes.c_uint64()
    _well("rknn_init", runtime.rknn_init(ctypes.byref(context), data, len(data), COLLECT, None))
    try:
        return _run(runtime, context, values)
    finally:
        runtime.rknn_destroy(context)


def _run(runtime: ctypes.CDLL, context: ctypes.c_uint64, values: int) -> str:
    counts = Counts()
    _query(runtime, context, IN_OUT_NUM, counts)
    if counts.inputs != 1:
        raise Fault(MODEL, f"has {counts.inputs} inputs where one is known")
    zeros = (ctypes.c_float * values)()
    one = Input(0, ctypes.cast(zeros, ctypes.c_void_p), ctypes.sizeof(zeros), 0, FLOAT32, NHWC)
    outputs = (Output * counts.outputs)(*(Output(1, 0, i, None, 0) for i in range(counts.outputs)))
    for _ in range(RUNS):
        _well("rknn_inputs_set", runtime.rknn_inputs_set(context, 1, ctypes.byref(one)))
        _well("rknn_run", runtime.rknn_run(context, None))
        _well("rknn_outputs_get", runtime.rknn_outputs_get(context, counts.outputs, outputs, None))
        _well("rknn_outputs_release", runtime.rknn_outputs_release(context, counts.outputs, outputs))
    detail = Detail()
    _query(runtime, context, PERF_DETAIL, detail)
    return (detail.text or b"")[:MOST].decode("utf-8", "replace")


def _query(runtime: ctypes.CDLL, context: ctypes.c_uint64, what: int, into: ctypes.Structure) -> None:
    _well("rknn_query", runtime.rknn_query(context, what, ctypes.byref(into), ctypes.sizeof(into)))


def _well(call: str, result: int) -> None:
    if result < 0:
        raise Fault(MODEL, f"is refused by {LIBRARY}: {call} gave {result}")
