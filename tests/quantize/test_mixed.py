"""What ``keep_float`` names: layers of the model, by name or pattern, with the activation behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import CandidateError
from harness.quantize import mixed
from tests.targets.models import ds_cnn

NAMES = ("/stem/Conv", "/body.0/Conv", "/body[1]/Conv", "/head/Gemm")


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        ((), ()),
        (("/head/Gemm",), ("/head/Gemm",)),
        (("/head/Gemm", "/stem/Conv"), ("/stem/Conv", "/head/Gemm")),
        (("*/Conv",), NAMES[:3]),
        (("/body[1]/Conv",), ("/body[1]/Conv",)),
    ],
    ids=["nothing", "one", "in the model's order", "a pattern", "a name that reads as a pattern"],
)
def test_names_and_patterns_stand_for_layers(patterns: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    assert mixed.chosen(patterns, NAMES, "small host/int8") == wanted


def test_a_layer_that_is_not_in_the_model_is_an_error_naming_the_nearest() -> None:
    with pytest.raises(CandidateError, match=r"small host/int8: keep_float names '/stem/Cnv', .*of 4: /stem/Conv"):
        mixed.chosen(("/head/Gemm", "/stem/Cnv"), NAMES, "small host/int8")


def test_a_layer_takes_the_activation_that_alone_reads_it(tmp_path: Path) -> None:
    layers = mixed.with_fused(ds_cnn(tmp_path / "model.onnx", channels=8, blocks=1))
    assert [node.name for node in layers["stem.conv"]] == ["stem.conv", "stem"]
    assert [node.name for node in layers["logits"]] == ["logits"]


def test_layers_with_weights_are_told_in_order(tmp_path: Path) -> None:
    model = ds_cnn(tmp_path / "model.onnx", channels=8, blocks=1)
    assert mixed.weighted(model) == ("stem.conv", "depth0.conv", "point0.conv", "logits")
