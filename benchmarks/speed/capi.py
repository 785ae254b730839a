"""onnxruntime by its C API, from the library that its wheel brings: no Python of its own between call and clock.

The table of functions keeps its order from version to version: onnxruntime_c_api.h, struct OrtApi.
"""

from __future__ import annotations

import ctypes as c
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

VERSION = 17  # of the table that is asked for
MESSAGE, ENV, SESSION, RUN, OPTIONS, SEVERITY, INTRA, INTER, TENSOR, MEMORY = 2, 3, 7, 9, 10, 22, 24, 25, 49, 69
WARNING, ARENA, DEFAULT, FLOAT = 3, 1, 0, 1

Floats = npt.NDArray[np.float32]
P = c.c_void_p
RUN_TYPES = (P, P, P, P, c.c_size_t, P, c.c_size_t, P)


class _Base(c.Structure):
    _fields_ = (("api", c.CFUNCTYPE(c.c_void_p, c.c_uint32)), ("version", c.CFUNCTYPE(c.c_char_p)))


@dataclass(frozen=True)
class Session:
    """Calls that take a round's number; ``output`` is what :attr:`run` last gave."""

    run: Any
    nothing: Any  # called with the same arguments, and returns at once
    output: Floats
    kept: tuple[Any, ...]  # what the arguments point to


class Runtime:
    def __init__(self) -> None:
        (file,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
        self._library = c.CDLL(str(file))
        self._library.OrtGetApiBase.restype = c.POINTER(_Base)
        self._table = (P * 100).from_address(self._library.OrtGetApiBase().contents.api(VERSION))
        self._env = self._made(ENV, (c.c_int, WARNING), (c.c_char_p, b"voxgate"))
        self._memory = self._made(MEMORY, (c.c_int, ARENA), (c.c_int, DEFAULT))
        self._options = self._made(OPTIONS)
        for setting, value in ((INTRA, 1), (INTER, 1), (SEVERITY, WARNING)):
            self._done(self._function(setting, P, c.c_int)(self._options, value))

    def session(self, model: Path, window: Floats) -> Session:
        """The model on one thread, its tensors bound to the window and to an output."""
        opened = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        feed, result = opened.get_inputs()[0], opened.get_outputs()[0]
        source, sink = window.reshape(feed.shape).copy(), np.zeros(result.shape, np.float32)
        own = self._made(SESSION, (P, self._env), (c.c_char_p, str(model).encode()), (P, self._options))
        names = [(c.c_char_p * 1)(each.name.encode()) for each in (feed, result)]
        values = [(P * 1)(self._tensor(array)) for array in (source, sink)]
        where = [P(c.addressof(each)) for each in (*names, *values)]
        arguments = (own, None, where[0], where[2], 1, where[1], 1, where[3])
        run, idle = self._function(RUN, *RUN_TYPES), c.cast(c.CDLL(None).labs, c.CFUNCTYPE(P, *RUN_TYPES))
        self._done(run(*arguments))
        return Session(lambda _: run(*arguments), lambda _: idle(*arguments), sink, (source, names, values))

    def _tensor(self, array: Floats) -> P:
        shape = (c.c_int64 * array.ndim)(*array.shape)
        data = (P, array.ctypes.data), (c.c_size_t, array.nbytes)
        return self._made(
            TENSOR, (P, self._memory), *data, (P, c.addressof(shape)), (c.c_size_t, array.ndim), (c.c_int, FLOAT)
        )

    def _made(self, index: int, *arguments: tuple[Any, Any]) -> P:
        """What a function makes, which it gives through its last argument."""
        found = P()
        function = self._function(index, *(kind for kind, _ in arguments), P)
        self._done(function(*(value for _, value in arguments), c.addressof(found)))
        return found

    def _function(self, index: int, *kinds: Any) -> Any:
        return c.CFUNCTYPE(P, *kinds)(self._table[index])

    def _done(self, status: int | None) -> None:
        if status:
            raise RuntimeError(c.CFUNCTYPE(c.c_char_p, P)(self._table[MESSAGE])(status).decode())
