"""Runtimes that are not here, by stand-ins with the same calls: what they are given, and what their no becomes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.agent import runtimes
from harness.agent.faults import MISSING, MODEL, Fault

WINDOW = np.arange(6, dtype=np.float32).reshape(3, 2)


class Interpreter:
    """A stand-in for tflite-runtime's: one int8 input and output, which it hands back."""

    def __init__(self, path: str, num_threads: int, experimental_delegates: list[str]) -> None:
        self.delegates = experimental_delegates
        made.append(self)

    def allocate_tensors(self) -> None: ...

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"index": 0, "shape": np.array([1, 3, 2]), "dtype": np.int8, "quantization": (0.5, -3), "name": "in"}]

    def get_output_details(self) -> list[dict[str, Any]]:
        return [{"index": 1, "dtype": np.int8, "quantization": (0.5, -3), "name": "out"}]

    def set_tensor(self, index: int, value: Any) -> None:
        self.value = value

    def invoke(self) -> None: ...

    def get_tensor(self, index: int) -> Any:
        return self.value.reshape(1, -1)


made: list[Interpreter] = []


@pytest.fixture
def tflite(monkeypatch: pytest.MonkeyPatch) -> None:
    made.clear()
    stand_in = SimpleNamespace(Interpreter=Interpreter, load_delegate=lambda name: f"delegate {name}")
    monkeypatch.setattr(runtimes, "_first", lambda names: stand_in)


@pytest.mark.usefixtures("tflite")
def test_the_edge_tpu_is_reached_through_its_delegate(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"...edgetpu-custom-op...")
    infer = runtimes.open_model(tmp_path / "m.tflite", "edgetpu")
    assert made[0].delegates == ["delegate libedgetpu.so.1"]
    np.testing.assert_array_equal(infer(WINDOW), WINDOW.reshape(-1))


@pytest.mark.usefixtures("tflite")
def test_what_is_not_compiled_for_the_edge_tpu_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"plain")
    with pytest.raises(Fault, match="no part of it is compiled") as caught:
        runtimes.open_model(tmp_path / "m.tflite", "edgetpu")
    assert caught.value.kind == MODEL


def test_a_runtime_that_is_not_installed_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rknnlite", None)
    with pytest.raises(Fault, match=r"install rknn-toolkit-lite2 for .* and this Python") as caught:
        runtimes.open_model(tmp_path / "m.rknn", "rknnlite")
    assert caught.value.kind == MISSING


def test_an_opener_of_ones_own_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("our_trt")
    module.open_model = lambda file, shape: lambda window: window.sum() + len(shape)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "our_trt", module)
    assert runtimes.open_model(tmp_path / "m.plan", "our_trt:open_model", (1, 3, 2))(WINDOW) == 18
    for name in ("our_trt:gone", "nowhere:open_model", "nonsense"):
        with pytest.raises(Fault, match="is not there") as caught:
            runtimes.open_model(tmp_path / "m.plan", name)
        assert caught.value.kind == MISSING


def test_installed_runtimes_are_told_with_their_versions() -> None:
    found = runtimes.versions()
    assert found["numpy"] == np.__version__
    assert set(found) >= {"onnxruntime", "kaldi-native-fbank"}
