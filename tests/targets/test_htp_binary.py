"""The target in a context binary, read from a piece of a real one (see tests/data/htp/README.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ToolchainError
from harness.targets import htp_binary
from harness.targets.htp_binary import Compiled, read, require
from harness.targets.htp_socs import find

OPTIONS = (Path(__file__).parents[1] / "data" / "htp" / "context-options.txt").read_bytes()
WHO = "small htp/a8w8"


def binary(folder: Path, content: bytes) -> Path:
    path = folder / "context_qnn.bin"
    path.write_bytes(b"\x02\x00\xff" + content + b"\x00\x80")
    return path


def test_it_names_its_chip_once_for_each_graph(tmp_path: Path) -> None:
    path = binary(tmp_path, OPTIONS * 2)
    assert read(path, WHO) == Compiled("SM8550", 73, 8 << 20)
    require(path, find("SM8550", WHO), WHO)


def test_another_chip_than_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"asked for QCS6490 \(v68\).* is for SM8550 \(v73\) with 8 MiB"):
        require(binary(tmp_path, OPTIONS), find("QCS6490", WHO), WHO)
    smaller = binary(tmp_path, OPTIONS.replace(b"vtcm_size=8388608", b"vtcm_size=2097152"))
    with pytest.raises(ToolchainError, match=r"is for SM8550 .* with 2 MiB"):
        require(smaller, find("SM8550", WHO), WHO)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "it names none"),
        (OPTIONS[:160], "it names SM8550 v73, with 0 sizes"),
        (OPTIONS + b"soc_type=SM8650;arch=75;", "it names SM8550 v73, SM8650 v75"),
        (OPTIONS.replace(b"arch=73", b"arch=x"), "it names none"),
    ],
    ids=["nothing", "truncated", "two chips", "malformed"],
)
def test_a_binary_that_does_not_say(tmp_path: Path, content: bytes, fault: str) -> None:
    with pytest.raises(ToolchainError, match=f"{WHO}: .*{fault}.*voxgate toolchain install htp"):
        read(binary(tmp_path, content), WHO)


def test_no_binary_and_one_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolchainError, match=r"wrote no context binary \(context_qnn.bin\)"):
        read(tmp_path / "context_qnn.bin", WHO)
    monkeypatch.setattr(htp_binary, "MAX_BINARY", 8)
    with pytest.raises(ToolchainError, match="not read"):
        read(binary(tmp_path, OPTIONS), WHO)
