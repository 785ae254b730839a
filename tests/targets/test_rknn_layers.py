"""rknn-toolkit2's own comparison of layers with float, as recorded, and damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import ToolchainError
from harness.targets import rknn_layers
from harness.targets.base import LayerError

RECORDED = Path(__file__).parents[1] / "data" / "rknn" / "commands_imbalanced_error_analysis.txt"
FIRST, HEAD = "/stem/stem.2/Relu_output_0", "logits"


def test_every_row_with_figures_is_read() -> None:
    found = rknn_layers.read(RECORDED, "a test")
    assert found[FIRST] == (4.12485, 4.12485)
    assert found["/body/body.3/body.3.1/body.3.1.2/Relu_output_0"] == (66.20909, 18.14820)
    assert found[HEAD] == (1.70278, 0.02087)
    assert "/stem/stem.0/Conv_output_0" not in found  # merged with the row below it
    assert len(found) == 16


def test_errors_become_decibels_over_all_windows() -> None:
    found = rknn_layers.errors(
        [({"a": (1.0, 0.1), "b": (0.0, 0.0)}, {"a": 10.0, "b": 1.0}), ({"a": (3.0, 0.3)}, {"a": 30.0})]
    )
    assert found["a"] == LayerError(pytest.approx(20.0), pytest.approx(40.0))
    assert found["b"] == LayerError(rknn_layers.EXACT_DB, rknn_layers.EXACT_DB)


def test_a_gemms_product_counts_as_its_tensor() -> None:
    rows = {"logits_mm": (1.0, 1.0), "logits": (1.0, 0.1)}
    assert rknn_layers.errors([(rows, dict.fromkeys(rows, 10.0))])["logits"].single_db == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("0.99986 | 4.12485   0.99986 | 4.12485", "0.99986 | 4.12485", "not understood"),
        ("layer_name      ", "name      ", "names no layer"),
    ],
)
def test_what_is_not_understood_is_an_error(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = RECORDED.read_text()
    assert old in text
    path = tmp_path / "analysis-0.txt"
    path.write_text(text.replace(old, new))
    with pytest.raises(ToolchainError, match=says):
        rknn_layers.read(path, "a test")


def test_an_analysis_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="its layers are unknown"):
        rknn_layers.read(tmp_path / "analysis-0.txt", "a test")
