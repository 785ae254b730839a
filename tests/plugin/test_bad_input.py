"""Models a person may bring by mistake: each one paragraph that names the file and the remedy, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnx.version_converter
import pytest

from tests.house import RECIPE, RK3588, Gate, edit

Spoil = Callable[[Path], None]


def toml_edit(old: str, new: str) -> Spoil:
    return lambda model: edit(model / "model.toml", old, new)


def missing(model: Path) -> None:
    (model / "model.onnx").unlink()


def truncated(model: Path) -> None:
    path = model / "model.onnx"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_bytes(model: Path) -> None:
    (model / "model.onnx").write_bytes(b"PK\x03\x04 this is a zip file, or says so")


def dynamic(model: Path) -> None:
    graph = onnx.load(model / "model.onnx")
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(graph, model / "model.onnx")


def outside(model: Path) -> None:
    """The model as a link to a file outside the house."""
    target = model.parents[2] / "elsewhere.onnx"
    (model / "model.onnx").rename(target)
    (model / "model.onnx").symlink_to(target)


def weights_outside(model: Path) -> None:
    graph = onnx.load(model / "model.onnx")
    weight = graph.graph.initializer[0]
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../../etc/passwd")
    (model / "model.onnx").write_bytes(graph.SerializeToString())


CASES: dict[str, tuple[Spoil, list[str]]] = {
    "missing ONNX": (missing, ["model.toml names model.onnx, which is not in", "export it there"]),
    "truncated ONNX": (truncated, ["model.onnx is truncated or not ONNX at all", "torch.onnx.export"]),
    "no ONNX at all": (other_bytes, ["model.onnx", "not ONNX at all", "torch.onnx.export"]),
    "dynamic shape": (dynamic, ["model.onnx: input 'features' has a dynamic shape ['batch', 1, 49, 40]", "Export it"]),
    "link out of the folder": (outside, ["'model.onnx'", "leads out of its folder", "move the file into it"]),
    "path out of the folder": (
        toml_edit('model = "model.onnx"', 'model = "../../../elsewhere.onnx"'),
        ["'../../../elsewhere.onnx'", "leads out of its folder", "move the file into it"],
    ),
    "weights in another file": (weights_outside, ["model.onnx: weight", "lies in another file", "Export it again"]),
    "unknown key": (
        toml_edit("mel_bins = 40", "mel_bin = 40"),
        ["model.toml: unknown key frontend.mel_bin (did you mean 'mel_bins'?)"],
    ),
    "unknown limit": (
        toml_edit("flips = {", "flip = {"),
        ["model.toml: unknown key flip (did you mean 'flips'?)"],
    ),
    "no TOML": (toml_edit("[frontend]", "[frontend"), ["model.toml is not valid TOML"]),
    "unknown condition": (
        toml_edit('"noise-20db"', '"noise-20"'),
        ["no condition is named 'noise-20' (did you mean 'noise-20db'?)"],
    ),
    "unknown corpus": (toml_edit('corpus = "few"', 'corpus = "fews"'), ["no corpus 'fews' (did you mean 'few'?)"]),
    "too few labels": (
        toml_edit('"down", "yes"', '"yes"'),
        ["small: model.toml lists 11 labels, but model.onnx gives 12 outputs", "list every label"],
    ),
    "another number of mel bins": (
        toml_edit("mel_bins = 40", "mel_bins = 32"),
        ["49 frames x 32 bins, but model.onnx takes [1, 1, 49, 40]", "[frontend]"],
    ),
    "a unit no target has": (
        toml_edit('precision = "int8"', 'precision = "int4"'),
        [
            "model.toml: recipe.0.precision: Input should be 'fp32', 'fp16', 'int16', 'int8', 'int8-dynamic' or "
            "'int8-weight-only'"
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_that_cannot_be_judged_stops_the_run(gate: Gate, house: Path, case: str) -> None:
    spoil, said = CASES[case]
    spoil(house / "models" / "small")
    run = gate(house, "-m", "host", "-q")
    assert run.code == pytest.ExitCode.USAGE_ERROR, run.output
    assert "Traceback" not in run.output
    lines = [line for line in run.output.splitlines() if line.startswith("ERROR:")]
    assert len(lines) == 1, run.output
    for words in said:
        assert words in lines[0]


def test_an_opset_rk3588_cannot_read_is_unsupported(gate: Gate, house: Path) -> None:
    model = house / "models" / "small"
    edit(model / "model.toml", RECIPE, RK3588)
    converted = onnx.version_converter.convert_version(onnx.load(model / "model.onnx"), 20)
    onnx.save(converted, model / "model.onnx")
    run = gate(house, "-m", "rk3588", "-k", "drop or placement", "--golden=new", "--toolchains=never", "-rs")
    assert run.code == 1, run.output
    assert "Traceback" not in run.output
    assert {row["outcome"] for row in run.rows} == {"UNSUPPORTED"}
    assert all("model.onnx uses opset 20; rknn-toolkit2 2.5.0 reads 7 to 19" in row["detail"] for row in run.rows)
    assert "Export it with opset_version=17" in run.output
