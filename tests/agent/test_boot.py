"""What is sent runs there: from sources in memory, on the oldest Python that boards have."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.agent import boot
from harness.boards.ssh import sources

ALLOWED = {"numpy", "onnxruntime", "kaldi_native_fbank", "ai_edge_litert", "tflite_runtime", "rknnlite"}


@pytest.mark.parametrize("name", sorted(sources()))
def test_it_is_python_3_8_and_imports_nothing_a_board_lacks(name: str) -> None:
    tree = ast.parse(sources()[name], feature_version=(3, 8))
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [node.module or ""]
        for module in modules:
            top = module.partition(".")[0]
            assert top in sys.stdlib_module_names | ALLOWED, f"{name} imports {module}"


class Channel:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, item: Any) -> None:
        self.sent.append(item)


MADE_UP = {
    "__init__": "",
    "faults": sources()["faults"],
    "sums": """
from .faults import Fault
def add(a, b):
    return a + b
def count(to):
    yield from range(to)
def refuse():
    raise Fault("disk", "it is full")
""",
}


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        ("add", {"a": 1, "b": 2}, [("item", 3), ("end", "")]),
        ("count", {"to": 2}, [("item", 0), ("item", 1), ("end", "")]),
        ("refuse", {}, [("disk", "it is full")]),
    ],
)
def test_a_call_is_answered(function: str, arguments: dict[str, Any], expected: list[Any]) -> None:
    channel = Channel()
    boot.answer(channel, {"sources": MADE_UP, "module": "sums", "function": function, "arguments": arguments})
    assert channel.sent == expected
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, boot.Sources)]


def test_sources_of_a_later_connection_replace_the_earlier() -> None:
    for value in ("1", "2"):
        made = {**MADE_UP, "sums": f"def value():\n    return {value}"}
        channel = Channel()
        boot.answer(channel, {"sources": made, "module": "sums", "function": "value", "arguments": {}})
        assert channel.sent[0] == ("item", int(value))
    assert sum(isinstance(finder, boot.Sources) for finder in sys.meta_path) == 1
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, boot.Sources)]


def test_it_imports_without_the_rest_of_voxgate(tmp_path: Path) -> None:
    """In a Python that sees none of the host's code: every module but those of a runtime that is not installed."""
    text = f"""
import sys
space = {{"__name__": "boot"}}
sources = {sources()!r}
exec(sources["boot"], space)
space["install"](sources)
import importlib
for name in sources:
    importlib.import_module("voxgate_agent." + name if name != "__init__" else "voxgate_agent")
assert not any(name.partition(".")[0] == "harness" for name in sys.modules), "the host's code came along"
"""
    done = subprocess.run([sys.executable, "-I", "-c", text], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
