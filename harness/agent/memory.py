"""Memory of the accelerator that one artifact takes, by the word of its runtime on this board."""

from __future__ import annotations

from typing import Any

from . import lock, npu, store, trt
from .faults import MISSING, MODEL, Fault
from .runtimes import first_line


def measure(name: str, token: str, runtime: str) -> dict[str, Any]:
    """``bytes``, ``parts`` and ``source``. Raises Fault ``missing`` where the runtime does not tell."""
    lock.check(token)
    if name.endswith(".rknn"):
        held = npu.memory(name, token)
        parts = {"weights": held["weights"], "internal tensors": held["internal"]}
        return {"bytes": held["all"], "parts": parts, "source": f"RKNN_QUERY_MEM_SIZE of {npu.LIBRARY}"}
    if runtime != "tensorrt":
        raise Fault(MISSING, f"{runtime} does not tell what it takes of an accelerator's memory")
    try:
        scale = trt.Scale(trt.Cuda())
        engine = trt.open_engine(store.artifact(name))
        return scale.read(engine.engine)
    except ImportError as error:
        raise Fault(MISSING, f"TensorRT is not whole here: {error}") from error
    except Exception as error:  # TensorRT has its own ways to say no
        raise Fault(MODEL, f"does not load: {first_line(error)}") from error
