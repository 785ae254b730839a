from __future__ import annotations

import subprocess
import sys

import pytest

from harness.errors import CandidateError
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
