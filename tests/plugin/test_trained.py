"""A build of weights that were trained for int8, judged as any other; without its training it is no silent green."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import RECIPE, Gate, edit
from tests.qat import QAT, lay_trained

pytestmark = pytest.mark.xdist_group("trained")


def test_trained_weights_are_judged_against_golden_and_say_what_they_are(gate: Gate, house: Path) -> None:
    model = house / "models" / "small"
    edit(model / "model.toml", RECIPE, QAT.format("host", 'runtime = "onnxruntime"\n'))
    untrained = gate(house, "-m", "host", "-k", "placement or drop", "-rs")
    assert untrained.code == 1
    assert {row["outcome"] for row in untrained.rows} == {"UNSUPPORTED"}
    assert "voxgate train" in untrained.output
    lay_trained(model)
    run = gate(house, "-m", "host", "-k", "placement or drop or sqnr or flips or parity")
    assert run.code == 0, run.output
    assert {row["outcome"] for row in run.rows} == {"PASS"}
    assert run.row("sqnr")["value"] > 18
    record = (run.folder / "small" / "host" / "qat" / "artifact.json").read_text()
    assert "with int8 fake quantization (qat), 3 epochs, seed 20" in record
