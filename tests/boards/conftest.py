from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.quantize import ptq
from harness.recipe import Recipe
from harness.targets.base import Artifact, Evidence, Features, Node, Placement, Sizes
from tests.loopback import Loopback, serving
from tests.targets.models import ds_cnn
from tests.targets.tflite_models import tflite_of


@pytest.fixture(scope="session")
def features() -> Features:
    return np.random.default_rng(1).standard_normal((20, 49, 10)).astype(np.float32)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, features: Features) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    made = {"float.onnx": ds_cnn(folder / "float.onnx", channels=16, blocks=2)}
    made["float.tflite"] = tflite_of(made["float.onnx"], folder / "float.tflite")
    made["int8.tflite"] = folder / "int8.tflite"
    recipe = Recipe(target="host", name="int8", precision="int8", runtime="litert")
    ptq.quantize_tflite(made["float.tflite"], made["int8.tflite"], features, recipe)
    return made


def artifact(file: Path, target: str = "host") -> Artifact:
    nodes = (Node("n", "Conv", "float32", "cpu", False),)
    recipe = Recipe(target=target, name="this", precision="fp32")
    return Artifact("small", recipe, "key", file, Placement(nodes, Evidence.HOST), Sizes(1), Evidence.HOST)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    with serving(tmp_path_factory.mktemp("loopback") / "sshd") as server:
        yield server


@pytest.fixture
def loop(server: Loopback) -> Iterator[Loopback]:
    """The server, running, with nothing of an earlier test on its "board"."""
    yield server
    server.resume()
    server.stop()
    server.forget()
    server.start()
