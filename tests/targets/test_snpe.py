"""The SDK adapter against stand-in tools: what it calls, and every way a tool can fail it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from harness.errors import ToolchainError, Unsupported
from harness.targets import snpe
from tests.targets.models import ds_cnn
from tests.targets.standins import CONVERT, QUANTIZE, FakeSdk, make_sdk

SUBJECT = "small rb5/int8"
WINDOWS = np.zeros((3, 1, 49, 10), np.float32)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSdk:
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "kept"))
    sdk = make_sdk(tmp_path)
    monkeypatch.delenv("QAIRT_SDK_ROOT", raising=False)
    monkeypatch.setenv("SNPE_ROOT", str(sdk.root))
    return sdk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    ds_cnn(folder / "model.onnx", channels=32, blocks=1)
    (folder / "model.encodings").write_text("{}")
    return folder


def sdk() -> snpe.Sdk:
    found = snpe.find()
    assert found is not None
    return found


def quantized(folder: Path, weights: int = 0) -> Path:
    snpe.convert(sdk(), folder, SUBJECT, overrides=True)
    return snpe.quantize(sdk(), folder, WINDOWS, weights, SUBJECT)


def test_without_the_variables_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for root in snpe.ROOTS:
        monkeypatch.delenv(root, raising=False)
    assert snpe.find() is None


def test_a_folder_that_is_no_sdk_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SNPE_ROOT", str(tmp_path))
    with pytest.raises(
        Unsupported, match=r"the SDK in \$SNPE_ROOT has no snpe-onnx-to-dlc or qairt-converter in .*set"
    ):
        snpe.find()


def test_a_dlc_is_converted_and_quantized(fake: FakeSdk, folder: Path) -> None:
    made = quantized(folder)
    assert made.name == "model.quantized.dlc"
    assert made.read_bytes().startswith(b"INT8  DLC")
    assert (folder / "calibration.txt").read_text().split() == [f"calibration/{i:05d}.raw" for i in range(3)]
    assert (folder / "calibration" / "00000.raw").stat().st_size == 4 * 490


def test_encodings_reach_the_converter_only_where_asked(fake: FakeSdk, folder: Path) -> None:
    fake.tool("snpe-onnx-to-dlc", CONVERT + "\nprint(' '.join(sys.argv[1:]))")
    for overrides in (True, False):
        snpe.convert(sdk(), folder, SUBJECT, overrides=overrides)
        said = (folder / "snpe-onnx-to-dlc.stdout.log").read_text()
        assert ("--quantization_overrides model.encodings" in said) is overrides


def test_its_tools_run_in_its_own_environment(fake: FakeSdk, folder: Path) -> None:
    tell = "\nimport os\nprint(os.environ['SNPE_ROOT'], os.environ['PYTHONPATH'], os.environ['PATH'].split(':')[0])"
    fake.tool("snpe-onnx-to-dlc", CONVERT + tell)
    snpe.convert(sdk(), folder, SUBJECT, overrides=False)
    root, python, first = (folder / "snpe-onnx-to-dlc.stdout.log").read_text().split()
    assert (root, python, first) == (str(fake.root), f"{fake.root}/lib/python", f"{fake.root}/bin/x86_64-linux-clang")


def test_a_qairt_sdk_is_driven_by_its_own_tools(fake: FakeSdk, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin_ = fake.root / "bin" / "x86_64-linux-clang"
    for name in ("snpe-onnx-to-dlc", "snpe-dlc-quantize"):
        (bin_ / name).unlink()
    fake.tool("qairt-converter", CONVERT.replace("Conversion completed successfully", "done"))
    fake.tool("qairt-quantizer", QUANTIZE.replace('"--override_params" in', '"--override_params" not in'))
    monkeypatch.delenv("SNPE_ROOT")
    monkeypatch.setenv("QAIRT_SDK_ROOT", str(fake.root))
    assert quantized(folder).is_file()


def test_the_key_of_a_build_changes_with_the_tools(fake: FakeSdk) -> None:
    before = sdk().identity()
    fake.tool("snpe-dlc-quantize", QUANTIZE + "\n# another version")
    assert sdk().identity() != before


@pytest.mark.parametrize(
    ("tool", "code", "said"),
    [
        ("snpe-dlc-quantize", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed with SIGSEGV"),
        ("snpe-onnx-to-dlc", "import sys; sys.exit('ERROR: no layout')", "ended with exit code 1.*ERROR: no layout"),
        ("snpe-onnx-to-dlc", CONVERT.replace("Conversion completed", "Something"), "never said 'Conversion completed"),
        ("snpe-dlc-quantize", QUANTIZE.replace("Writing quantized", "Hm"), "never said 'Writing quantized model' or"),
        ("snpe-dlc-quantize", QUANTIZE.replace("write_bytes(", "name; ("), "wrote no model.quantized.dlc"),
        ("snpe-onnx-to-dlc", CONVERT.replace('b"FLOAT DLC" +', "b'' and"), "wrote no model.dlc"),
        ("snpe-dlc-quantize", QUANTIZE.replace("packed = zlib.compress(", "packed = ("), "it is still float"),
    ],
    ids=["crash", "exit code", "no success line", "no success line of the quantizer", "no file", "empty", "float DLC"],
)  # fmt: skip
def test_every_way_a_tool_fails_is_named(fake: FakeSdk, folder: Path, tool: str, code: str, said: str) -> None:
    fake.tool(tool, code)
    with pytest.raises(ToolchainError, match=rf"(?s){SUBJECT}: {tool} .*{said}"):
        quantized(folder)


def test_a_failed_tools_words_are_kept(fake: FakeSdk, folder: Path) -> None:
    fake.tool("snpe-dlc-quantize", "print('first cause'); raise SystemExit(1)")
    with pytest.raises(ToolchainError, match=r"To run it again by hand: \(cd ") as caught:
        quantized(folder)
    kept = Path(str(caught.value).partition("kept in ")[2].partition(" ")[0])
    assert "first cause" in (kept / "snpe-dlc-quantize.stdout.log").read_text()
    assert os.access(kept / "model.dlc", os.R_OK)
