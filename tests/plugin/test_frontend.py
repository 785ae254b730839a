"""A whole run that judges the front end by what a device recorded: red and named, and never a traceback."""

from __future__ import annotations

from pathlib import Path

from tests.gates.test_frontend import RECORDED, write_recording
from tests.house import Gate, edit

ASKED = ("-m", "host", "-k", "frontend")


def limited(house: Path) -> Path:
    toml = house / "models" / "small" / "model.toml"
    edit(toml, "file_kib = 128", "frontend = 0.02")
    edit(toml, "[frontend]", RECORDED)
    return toml.parent


def test_a_device_with_fewer_mel_bins_is_red_and_a_damaged_recording_is_no_traceback(gate: Gate, house: Path) -> None:
    folder = limited(house)
    write_recording(folder, mel_bins=32)
    run = gate(house, *ASKED)
    row = run.row("frontend", "bin by bin")
    assert (run.code, row["outcome"], row["evidence"]) == (1, "FAIL", "board")
    assert "a front end failure, not the model's: the mel count differs" in row["detail"]

    (folder / "device.safetensors").write_bytes(b"")
    damaged = gate(house, *ASKED)
    assert damaged.code == 1
    assert "holds no device features" in damaged.output
    assert "Traceback" not in damaged.output
