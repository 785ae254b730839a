"""Many ways to quantize one model, tried in one child process, remembered in the cache."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from harness import __version__, targets
from harness.cache import Cache, digest
from harness.recipe import Recipe
from harness.targets.base import Features, Logits
from harness.targets.process import Child, Limits, run_child

WORKER = Path(targets.__file__).with_name("workers") / "probe_worker.py"
TOOLS = ("ai-edge-litert", "litert-quantizer", "numpy", "onnx", "onnxruntime")
GRACE_S = 120.0  # beyond the time asked for: one variant is always tried, and ends by itself
MEMORY_MIB = 8192


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to quantize: by ``recipe`` from ``calibration``, the layers named in ``floats`` left in float."""

    recipe: Recipe
    calibration: Features
    floats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of it. ``outputs`` by variant, for those that were tried and did not fail."""

    layers: tuple[Mapping[str, Any], ...]  # name, op, parts
    outputs: dict[int, Logits]
    errors: dict[int, str]
    spreads: dict[str, float] = field(default_factory=dict)  # of each layer's output channels
    sqnr: dict[str, float] = field(default_factory=dict)  # dB of each layer's output, of the first variant


class _Partial(Exception):
    """Time was over before all was tried: what is known stands in ``probe``, and is not kept."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe


def run(
    source: Path,
    windows: Features,
    variants: Sequence[Variant],
    cache: Cache,
    seconds: float,
    subject: str,
    taps: int = 0,
) -> Probe:
    """Try every variant on ``windows`` until ``seconds`` are over. ``taps`` windows look into the first one's layers.

    Raises ToolchainError where the model cannot be quantized at all.
    """
    key = digest(
        __version__,
        source,
        windows.shape,
        windows.tobytes(),
        [_told(variant) for variant in variants],
        taps,
        {name: version(name) for name in TOOLS},
        WORKER,
        WORKER.with_name("answering.py"),
    )

    def make(folder: Path) -> None:
        request = _request(source, windows, variants, seconds, taps, folder)
        limits = Limits(seconds + GRACE_S, MEMORY_MIB)
        run_child(Child(Path(sys.executable), WORKER, subject, {}, limits), request, folder)
        probe = _read(folder)
        if len(probe.outputs) + len(probe.errors) < len(variants):
            raise _Partial(probe)

    try:
        return _read(cache.entry("probes", key, make).path)
    except _Partial as partial:
        return partial.probe


def _told(variant: Variant) -> list[Any]:
    calibration = digest(variant.calibration.shape, variant.calibration.tobytes())
    return [variant.recipe.model_dump(mode="json"), calibration, variant.floats]


def _request(
    source: Path, windows: Features, variants: Sequence[Variant], seconds: float, taps: int, folder: Path
) -> dict[str, Any]:
    np.save(folder / "windows.npy", windows, allow_pickle=False)
    told = []
    for variant in variants:
        name = f"calibration-{_told(variant)[1]}.npy"
        if not (folder / name).exists():
            np.save(folder / name, variant.calibration, allow_pickle=False)
        recipe = variant.recipe.model_dump(mode="json")
        told.append({"recipe": recipe, "calibration": name, "floats": variant.floats})
    return {"source": str(source), "variants": told, "seconds": seconds, "taps": taps}


def _read(folder: Path) -> Probe:
    answer = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    outputs = {
        int(index): np.load(folder / f"{index}.npy", allow_pickle=False)
        for index in answer["done"]
        if str(index) not in answer["errors"]
    }
    errors = {int(index): str(said) for index, said in answer["errors"].items()}
    return Probe(tuple(answer["layers"]), outputs, errors, answer.get("spreads", {}), answer.get("sqnr", {}))
