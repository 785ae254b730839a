from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from harness.errors import CandidateError
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
    ("target", "module"),
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
    target: str, module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry()[target].settings()
    (tmp_path / "newer.py").write_text("# a rule less")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "newer.py"))
    assert registry()[target].settings() != before, "else a mended reader would keep what the old one read"
