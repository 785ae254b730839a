"""What the host asks of the board: connect, load, run, time, weigh. Arguments and answers are builtin values.

Long calls yield as they go. Between two parts the lock is looked at and beaten, and the vitals are taken, so that
nothing is measured on a board that is no longer ours.
"""

from __future__ import annotations

import time
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

import numpy as np

from . import clocks, frontend, lock, place, store, timing, vitals
from .faults import DIGEST, MISSING, MODEL, Fault
from .runtimes import first_line, open_model
from .wire import pack, unpack

if TYPE_CHECKING:
    from .runtimes import Infer

SLICE_S = 1.0  # between two looks at lock and vitals
PAUSE_S = 0.01  # in which what was sent leaves a board of one core
LONGEST_S = 60.0  # of a warm-up: a slow board needs three blocks all the same
MOST_ROUNDS = 2000000
TOGETHER = 64  # windows that an opened model which takes many is given at a time

_models: dict[str, Infer] = {}


def connect(folder: str, owner: str, token: str, lease_s: float, purpose: str) -> dict[str, Any]:
    """Take the board, put back what a dead agent left, and say what the board is."""
    place.settle(folder)
    lock.acquire(owner, token, lease_s, purpose)
    restored = clocks.restore()
    return {**place.facts(), "restored": restored}


def look(folder: str) -> dict[str, Any]:
    """What the board is and who holds it; takes nothing."""
    place.settle(folder)
    return {**place.facts(), "holders": lock.status(), "vitals": vitals.sample(), "governors": clocks.governors()}


def load(name: str, runtime: str, shape: Sequence[int]) -> None:
    """Open an artifact whose digest was verified just now. Raises Fault ``digest``, ``missing`` or ``model``."""
    if not store.have(name):
        raise Fault(DIGEST, f"{name[:16]} is not there whole")
    _models[name] = open_model(store.artifact(name), runtime, shape)


def run(name: str, token: str, windows: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Logits of windows ``(n, frames, bins)``, packed, a slice of time at a call."""
    infer, features = _models[name], unpack(windows)
    many = getattr(infer, "many", None)
    done = 0
    while done < len(features):
        lock.check(token)
        if many is not None:
            part = features[done : done + TOGETHER]
            done += len(part)
            yield pack(_model_fault(partial(many, part)))
            continue
        end = time.monotonic() + SLICE_S
        found = [_logits(infer, features[done])]
        while done + len(found) < len(features) and time.monotonic() < end:
            found.append(_logits(infer, features[done + len(found)]))
        done += len(found)
        yield pack(np.stack(found).astype(np.float32))


def features(token: str, front: dict[str, Any], audio: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The front end's features of windows ``(n, samples)``, packed, one window at a call."""
    settings = SimpleNamespace(**front)
    for wave in unpack(audio):
        lock.check(token)
        yield pack(_model_fault(partial(frontend.features, settings, wave)))


def stages(
    name: str, token: str, front: dict[str, Any], audio: dict[str, Any], rounds: int, seconds: float
) -> Iterator[dict[str, Any]]:
    """Marks of front end, inference and decision, after a warm-up; every part with the vitals taken after it."""
    settings, infer = SimpleNamespace(**front), _models[name]
    once = timing.staged(lambda wave: frontend.features(settings, wave), infer, list(unpack(audio)))
    with clocks.held() as governors:
        yield {"warmup": [_warm(once)], "vitals": vitals.sample(), "governors": governors}
        for part in _sliced(once, token, rounds, seconds):
            yield {"marks": pack(np.array(part, np.int64)), "vitals": vitals.sample()}


def turns(
    names: Sequence[str], token: str, windows: dict[str, Any], rounds: int, seconds: float
) -> Iterator[dict[str, Any]]:
    """Milliseconds of two artifacts taken in turns on the same windows."""
    features = list(unpack(windows))
    a, b = (_call(_models[name], features) for name in names)
    with clocks.held() as governors:
        warm = [_warm(a), _warm(b)]
        yield {"warmup": warm, "vitals": vitals.sample(), "governors": governors}
        for part in _sliced(timing.in_turns(a, b), token, rounds, seconds):
            yield {"marks": pack(np.array(part, np.float64)), "vitals": vitals.sample()}


def _call(infer: Infer, features: list[Any]) -> Callable[[int], Any]:
    return lambda i: infer(features[i % len(features)])


def _warm(call: Callable[[int], Any]) -> list[Any]:
    warm = _model_fault(lambda: timing.warm_up(call, LONGEST_S))
    return [warm.rounds, warm.settled]


def _sliced(once: Callable[[int], Any], token: str, rounds: int, seconds: float) -> Iterator[list[tuple[Any, ...]]]:
    """Rounds in slices of time; each begins with a call that is not counted, since the slice before was told first."""
    part: list[tuple[Any, ...]] = []
    lock.check(token)
    end = time.monotonic() + SLICE_S
    for marks in timing.marked(once, min(rounds, MOST_ROUNDS), seconds, MOST_ROUNDS):
        part.append(marks)
        if time.monotonic() > end:
            lock.check(token)
            yield part
            time.sleep(PAUSE_S)
            once(0)
            part, end = [], time.monotonic() + SLICE_S
    if part:
        lock.check(token)
        yield part


def _logits(infer: Infer, window: Any) -> Any:
    return _model_fault(lambda: infer(window))


def _model_fault(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ImportError as error:  # of the front end, which is imported when it is first called
        raise Fault(MISSING, f"{error}; install it: python3 -m pip install kaldi-native-fbank") from error
    except Exception as error:  # each runtime has its own ways to say no
        raise Fault(MODEL, f"does not run: {first_line(error)}") from error
