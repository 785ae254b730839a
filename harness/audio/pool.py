"""Work on many clips, spread over every processor of this machine: the same values, in the same order.

The helpers are processes of execnet's, which end with this one however it ends. Requests and answers are builtin
values: nothing is unpickled. Where a helper fails, the part is done here, and fails as it should.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rows = tuple[str, tuple[int, ...], bytes | tuple[str, int]]  # dtype, shape, and content, or file and first byte
Part = Callable[[Any], Any]  # builtin values in and out
Helpers = tuple[Any, ...]  # a channel to each

ENOUGH = 1000  # clips: of fewer, starting the helpers takes longer than they save
SIZE = 50  # clips of one part
AHEAD = 2  # parts that wait for each helper
ALONE = {  # one thread each, and memory that was freed is used again: giving it back costs more than the work on it
    "OMP_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
    "MALLOC_MMAP_THRESHOLD_": 64 << 20,
    "MALLOC_TRIM_THRESHOLD_": 64 << 20,
}

_idle: dict[int, list[Helpers]] = {}  # by process, as none are another's: those that owe no answer

HELPER = """
import importlib, sys
sys.path.insert(0, channel.receive())
for module, name, request in channel:
    try:
        answer = (getattr(importlib.import_module(module), name)(request),)
    except Exception:
        answer = ()
    channel.send(answer)
"""


def over(part: Part, requests: Iterable[Any], clips: int) -> Iterator[Any]:
    """``part`` of every request, in order; by helpers where ``clips`` are enough and there are processors."""
    if clips < ENOUGH or processors() < 2:
        yield from map(part, requests)
        return
    idle = _idle.setdefault(os.getpid(), [])
    try:
        helpers = idle.pop()
    except IndexError:
        helpers = _started()
    waiting: deque[tuple[Any, Any]] = deque()
    try:
        for number, request in enumerate(requests):
            helper = helpers[number % len(helpers)]
            with suppress(OSError):  # to one that was killed: its answer is missed below
                helper.send((part.__module__, part.__name__, request))
            waiting.append((helper, request))
            if len(waiting) > AHEAD * len(helpers):
                yield _answer(part, *waiting.popleft())
        while waiting:
            yield _answer(part, *waiting.popleft())
    except BaseException:  # broken off: what these still answer would be taken for the answers of whoever asks next
        for helper in helpers:
            helper.gateway.exit()
        raise
    idle.append(helpers)


def rows(array: Array) -> Iterator[Rows]:
    """Requests for SIZE rows each. Those of a file that is mapped whole are read by whoever does them."""
    mapped = isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and array.flags.c_contiguous
    for first in range(0, len(array), SIZE):
        some = array[first : first + SIZE]
        if isinstance(array, np.memmap) and mapped:
            yield array.dtype.str, some.shape, (str(array.filename), array.offset + first * array.strides[0])
        else:
            yield array.dtype.str, some.shape, np.ascontiguousarray(some).tobytes()


def taken(request: Rows) -> Array:
    """The rows that were asked for, ``(at most SIZE, ...)``."""
    kind, shape, source = request
    if isinstance(source, bytes):
        return np.frombuffer(source, kind).reshape(shape)
    return np.fromfile(source[0], kind, int(np.prod(shape)), offset=source[1]).reshape(shape)


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _answer(part: Part, helper: Any, request: Any) -> Any:
    try:
        answer = helper.receive()
    except (EOFError, OSError):  # it was killed
        answer = ()
    return answer[0] if answer else part(request)


def _started() -> Helpers:
    """A channel to each helper."""
    import execnet

    group = execnet.Group()
    channels = []
    alone = "".join(f"//env:{name}={value}" for name, value in ALONE.items())
    for _ in range(processors()):
        # -P: the folder of whoever runs this is no place to import from.
        channel = group.makegateway(f"popen//python={sys.executable} -P{alone}").remote_exec(HELPER)
        channel.send(str(Path(__file__).parents[2]))
        channels.append(channel)
    return tuple(channels)
