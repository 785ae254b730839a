"""A compiled model as a function: onnxruntime and LiteRT, on one thread of this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.agent import runtimes, steps
from harness.agent.faults import Fault
from harness.agent.layout import Mislaid
from harness.agent.steps import Step
from harness.errors import CandidateError, ToolchainError
from harness.targets.base import Features, Infer, Logits

HERE = (".onnx", ".tflite")


def open_model(file: Path) -> Infer:
    """A loaded model as a function of one window, float32 in and out. Raises ToolchainError.

    The function raises CandidateError for windows that the model's input cannot hold.
    """
    _need(file)
    try:
        opened = runtimes.open_model(file, runtimes.SUFFIXES[file.suffix])
    except Fault as error:
        raise ToolchainError(f"{file.name} {error}") from error

    def infer(window: Features) -> Logits:
        try:
            return opened(window)
        except Mislaid as error:
            raise CandidateError(str(error)) from error

    return infer


def open_step(file: Path, states: Mapping[str, str]) -> Step:
    """A loaded streaming step, its state cleared. Raises ToolchainError."""
    _need(file)
    try:
        return steps.open_step(file, states)
    except Fault as error:
        raise ToolchainError(f"{file.name} {error}") from error


def _need(file: Path) -> None:
    if file.suffix not in HERE:
        raise ToolchainError(f"{file.name} is neither .onnx nor .tflite: the host runs nothing else.")
    if not file.is_file():
        raise ToolchainError(f"the artifact {file} is gone; remove its folder and run again.")
