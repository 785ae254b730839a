from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from harness.errors import CandidateError, ToolchainError
from harness.quantize import ptq, trt
from harness.targets import (
    diagview,
    edgetpu_compiler,
    edgetpu_rules,
    htp_graph,
    htp_log,
    htp_placement,
    tflite_file,
    trt_engine,
    trt_log,
    v66_rules,
)
from harness.targets import registry as module
from harness.targets.base import Target
from harness.targets.registry import known_target, registry


def test_every_target_is_found_by_its_module() -> None:
    found = registry()
    assert next(iter(found)) == "host"
    assert {"rb5", "rk3588"} <= set(found)
    assert all(isinstance(target, Target) and target.name == name for name, target in found.items())


def test_an_unknown_target_is_refused_with_the_nearest() -> None:
    assert known_target("rk3588", "ds-cnn").name == "rk3588"
    with pytest.raises(CandidateError, match=r"ds-cnn: no target is named 'rk3558' \(did you mean 'rk3588'\?\)"):
        known_target("rk3558", "ds-cnn")


def test_asking_what_targets_there_are_imports_no_vendor_code() -> None:
    code = (
        "import sys; from harness.targets.registry import registry; registry();"
        "print([name for name in ('aimet_onnx', 'rknn', 'torch', 'tensorflow', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("target", "reader"),
    [
        ("edgetpu", edgetpu_rules),
        ("edgetpu", edgetpu_compiler),
        ("edgetpu", tflite_file),
        ("edgetpu", ptq),
        ("htp", htp_graph),
        ("htp", htp_log),
        ("htp", htp_placement),
        ("jetson", trt_engine),
        ("jetson", trt_log),
        ("jetson", ptq),
        ("jetson", trt),
        ("rb5", v66_rules),
        ("rb5", diagview),
    ],
)
def test_what_tells_where_nodes_run_is_part_of_a_builds_key(
    target: str, reader: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry()[target].settings()
    (tmp_path / "newer.py").write_text("# a rule less")
    monkeypatch.setattr(reader, "__file__", str(tmp_path / "newer.py"))
    assert registry()[target].settings() != before, "else a mended reader would keep what the old one read"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("voxgate_lost", "ModuleNotFoundError: No module named 'voxgate_lost'"),
        ("harness.targets.htp:Htp", "TypeError: it is no module that defines a subclass of Target"),
        ("harness.targets.liveness", "TypeError: it is no module that defines a subclass of Target"),
    ],
    ids=["gone", "a class", "no target"],
)
def test_an_entry_point_that_leads_to_no_target_is_a_clear_error(
    value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = EntryPoint("toy", value, module.GROUP)
    monkeypatch.setattr(module, "entry_points", lambda group: [entry])
    registry.cache_clear()
    try:
        wanted = re.escape(f"the target 'toy' of a distribution ({value}) cannot be used: {reason}")
        with pytest.raises(ToolchainError, match=wanted):
            registry()
    finally:
        registry.cache_clear()
