"""What docs/lab.md shows of a lab.toml is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.boards import labfile

PAGE = (Path(__file__).parents[2] / "docs" / "lab.md").read_text(encoding="utf-8")
BLOCKS = [block for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE, re.MULTILINE) if "[[board]]" in block]
METERS = (
    'kind = "hwmon", path = "/sys/x"',
    'kind = "tegrastats"',
    'kind = "joulescope"',
    'kind = "ppk2", port = "/dev/ttyACM0", volts = 5',
)


def written(folder: Path, text: str) -> labfile.LabBoard:
    path = folder / "lab.toml"
    path.write_text(re.sub(r"(?m)^    ", "", text), encoding="utf-8")
    (board,) = labfile.read(path).board
    return board


def test_the_first_example_is_a_whole_lab(tmp_path: Path) -> None:
    board = written(tmp_path, BLOCKS[0])
    assert board.id == "rk3588-a"
    assert labfile.power(board) is not None
    assert board.meter is not None
    address = labfile.address(board, tmp_path)
    assert address is not None
    assert address.identity == tmp_path / "lab_key"


def test_the_labgrid_example_leases_by_tags(tmp_path: Path) -> None:
    board = written(tmp_path, BLOCKS[1])
    assert board.labgrid is not None
    assert board.labgrid.wanted == {"board": "rk3588"}


@pytest.mark.parametrize("meter", METERS)
def test_every_kind_of_meter_can_be_named(tmp_path: Path, meter: str) -> None:
    head = '[[board]]\nid = "a"\ntargets = ["host"]\naddress = { user = "u", host = "h" }\n'
    found = written(tmp_path, f"{head}meter = {{ {meter} }}\n").meter
    assert found is not None
    assert found.kind in PAGE


@pytest.mark.parametrize("name", [name for name in labfile.LabBoard.model_fields if name not in ("id", "targets")])
def test_every_key_is_told(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE), f"docs/lab.md does not tell of {name}"
