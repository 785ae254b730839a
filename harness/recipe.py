"""How a target quantizes a candidate, and what may run off its accelerator."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field, model_validator

from harness.strict import Strict


class Calibration(Strict):
    """Which clips set the quantization ranges, and by which algorithm."""

    algorithm: Literal["minmax", "percentile", "entropy", "mse"] = "minmax"
    clips: int = Field(200, ge=1, le=5000)
    seed: int = 1
    condition: str | tuple[str, ...] = "clean"  # several: each clip goes through one of them, in turn

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,) if isinstance(self.condition, str) else self.condition

    @model_validator(mode="after")
    def _some_condition(self) -> Calibration:
        if not self.conditions:
            raise ValueError("condition = [] names none")
        return self


# int16 has weights and activations of 16 bits; int8-dynamic measures activations at every inference;
# int8-weight-only computes in float.
Precision = Literal["fp32", "fp16", "int16", "int8", "int8-dynamic", "int8-weight-only"]

# ptq starts from the shipped weights; qat takes int8 weights trained as int8 computes; tuned starts from the float that
# was trained as long. What the latter two read is made by voxgate train.
Method = Literal["ptq", "qat", "tuned"]


class Recipe(Strict):
    """How one target quantizes the candidate."""

    target: str
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    precision: Precision
    method: Method = "ptq"
    runtime: Literal["onnxruntime", "litert"] | None = None
    per_channel: bool = True
    symmetric: bool = False
    activation_bits: Literal[8, 16] = 8  # of int8: 16 keeps 8-bit weights (a16w8)
    soc: str = Field("", max_length=32)  # the chip to compile for, where a target has several: "SM8550"
    keep_float: tuple[str, ...] = ()  # of int8: layers, or patterns of them, that stay in float
    calibration: Calibration = Calibration()
    op_target: dict[str, str] = Field(
        {}
    )  # output tensor to unit, as RKNN's op_target: {"/conv1/Conv_output_0" = "cpu"}

    @property
    def id(self) -> str:
        return f"{self.target}/{self.name}"

    @property
    def calibrated(self) -> bool:
        """Whether activations are quantized by ranges that calibration clips set."""
        return self.precision in ("int8", "int16") and self.method != "qat"

    @model_validator(mode="after")
    def _keeps_of_int8(self) -> Recipe:
        if self.keep_float and self.precision != "int8":
            raise ValueError(f'keep_float names what precision = "int8" leaves in float, not {self.precision}')
        return self

    @model_validator(mode="after")
    def _trains_int8(self) -> Recipe:
        plain = self.precision == "int8" and self.activation_bits == 8 and self.per_channel and not self.keep_float
        if self.method == "qat" and not plain:
            raise ValueError('method = "qat" trains every layer in int8, weights per channel, activations of 8 bits')
        return self


class Training(Strict):
    """How ``voxgate train`` fine-tunes the candidate, by the candidate's own Python."""

    code: str = "finetune.py"
    manifest: str = "manifest.tsv"  # in the folder of training data: tells one set of data from another
    epochs: int = Field(ge=1, le=1000)
    seed: int = 1
    rate: float = Field(gt=0, le=1)  # of Adam at the start; half a cosine over the epochs


class Allow(Strict):
    """A node that may run off the target's accelerator, and why."""

    target: str
    op: str = "*"
    node: str = "*"
    reason: str = Field(min_length=8)

    def covers(self, target: str, op: str, node: str) -> bool:
        return self.target == target and fnmatchcase(op, self.op) and fnmatchcase(node, self.node)


FLOAT = Recipe(target="host", name="golden", precision="fp32", runtime="onnxruntime")  # makes golden outputs
