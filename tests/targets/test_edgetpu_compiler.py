"""The operator table of edgetpu_compiler (see tests/data/edgetpu/README.md)."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ToolchainError
from harness.targets import tflite_file
from harness.targets.base import Evidence
from harness.targets.edgetpu_compiler import STATUSES, Compiled, fault, parse
from harness.targets.tflite_file import Tflite
from tests.targets.coral import LOGS
from tests.targets.tflite_ops import Chain, compiled

SUBJECT = "small edgetpu/int8"


def log(name: str) -> str:
    return (LOGS / f"{name}.log").read_text()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Tflite:
    chain = Chain()
    for kind, name in (("RELU", "/before"), ("GELU", "/x"), ("TANH", "/after"), ("RELU", "/last")):
        chain.op(kind, name=name)
    return tflite_file.read(chain.save(tmp_path_factory.mktemp("chain") / "model.tflite"))


@pytest.fixture(scope="module")
def made(model: Tflite, tmp_path_factory: pytest.TempPathFactory) -> Tflite:
    return tflite_file.read(compiled(model.path, tmp_path_factory.mktemp("made") / "model_edgetpu.tflite", 1))


def test_a_partial_mapping_names_every_operator_on_the_cpu(model: Tflite, made: Tflite) -> None:
    placement = parse(log("partly"), model, SUBJECT).placement(model, made)
    assert [(node.name, node.where) for node in placement.nodes] == [
        ("/before", "edgetpu"),
        ("/x", "cpu"),
        ("/after", "cpu"),
        ("/last", "cpu"),
    ]
    gelu, after, last = placement.fallbacks
    assert gelu.reason == 'the compiler says "Operation not supported": the Edge TPU does not support GELU'
    assert after.reason.startswith('the compiler says "More than one subgraph is not supported": it comes after')
    assert last.reason == after.reason
    assert (placement.evidence, placement.partitions) == (Evidence.STATIC, 1)
    assert placement.source == "edgetpu_compiler 16.0.384591198"


def test_which_of_a_kind_is_told_by_the_compiled_file(model: Tflite, made: Tflite) -> None:
    nodes = {node.name: node for node in parse(log("partly"), model, SUBJECT).placement(model, made).nodes}
    assert (nodes["/before"].where, nodes["/last"].where) == ("edgetpu", "cpu")
    strange = Tflite(made.path, made.ops[:-1], 1)  # does not name the last one
    inferred = {node.name: node for node in parse(log("partly"), model, SUBJECT).placement(model, strange).nodes}
    assert (inferred["/before"].where, inferred["/last"].where) == ("edgetpu", "cpu")
    assert "1 of 2 RELU: which, is inferred from their order" in inferred["/last"].reason


def test_memory_in_bytes(model: Tflite) -> None:
    said = parse(log("partly"), model, SUBJECT)
    assert (said.cached, said.streamed) == (2048, 0)
    beyond = parse(log("partly").replace("parameters: 0.00B", "parameters: 1.50MiB"), model, SUBJECT)
    assert beyond.streamed == 3 * 2**19


def test_parameters_that_are_streamed_are_a_finding(model: Tflite, made: Tflite) -> None:
    rows = parse(log("partly"), model, SUBJECT).rows
    found = Compiled("16.0", rows, 6 << 20, 3 << 19).placement(model, made).fallbacks[-1]
    assert (found.op, found.where) == ("PARAMETERS", "off-chip")
    assert "1.50 MiB of its 7.50 MiB" in found.reason


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_is_understood(status: str, model: Tflite, made: Tflite) -> None:
    text = log("partly").replace("Operation not supported", status)
    text = re.sub(r"Number of operations that will run.*\n", "", text)
    (gelu,) = [node for node in parse(text, model, SUBJECT).placement(model, made).nodes if node.op == "GELU"]
    assert gelu.fallback == (status != "Mapped to Edge TPU")
    assert gelu.reason == "" or status in gelu.reason


@pytest.mark.parametrize(
    ("pattern", "replacement", "reason"),
    [
        (r"Edge TPU Compiler version .*\n", "", "does not say its version"),
        (r"version 16\.0", "version 17.2", r"version 17\.2\.384591198 is not 16\.x"),
        (r"version 16\.0", "version 15.0", r"version 15\.0"),
        (r"Operator  .*Status\n(.*\n)*", "", "0 tables"),
        (r"(Operator  .*Status\n)", r"\1\1", "2 tables"),
        (r"GELU  .*\n", "", "counts 0 GELU where the model has 1"),
        (r"TANH                           1 ", "TANH                           2 ", "counts 2 TANH"),
        (r"TANH  ", "ELU   ", "counts 0 TANH"),
        (r"Operation not supported", "Operation is shy", "status 'Operation is shy' of GELU is not known"),
        (r"GELU  .*", "<<<<", "the line '<<<<' is none of a table"),
        (r"run on CPU: 3", "run on CPU: 2", r"count 3 operators on the CPU, and the line above them 2"),
        (r"run on Edge TPU: 1", "run on Edge TPU: 4", "on the Edge TPU, and the line above them 4"),
        (r"Off-chip memory.*\n", "", "how much memory its streamed parameters take"),
        (r"On-chip memory used.*\n", "", "how much memory its cached parameters take"),
    ],
)
def test_a_table_that_cannot_be_trusted_is_an_error(pattern: str, replacement: str, reason: str, model: Tflite) -> None:
    text, count = re.subn(pattern, replacement, log("partly"), count=1)
    assert count == 1
    with pytest.raises(ToolchainError, match=f"{SUBJECT}: the table .* cannot be trusted: .*{reason}"):
        parse(text, model, SUBJECT)


@given(part=st.floats(0, 1))
def test_a_log_cut_anywhere_is_an_error_or_says_the_same(model: Tflite, part: float) -> None:
    text = log("partly")
    whole = parse(text, model, SUBJECT)
    with contextlib.suppress(ToolchainError):
        assert parse(text[: int(len(text) * part)], model, SUBJECT) == whole


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("float", "Model not quantized"),
        ("newer", "Didn't find op for builtin opcode 'QUANTIZE' version '3'"),
        ("internal", "Internal compiler error. Aborting"),
        ("activations", "large activation tensors"),
        ("silent", "Compilation failed"),
        ("whole", ""),
        ("partly", ""),
    ],
)
def test_what_went_wrong_in_the_compilers_own_words(name: str, words: str) -> None:
    found = fault(log(name))
    assert bool(found) == bool(words)
    assert words in found


@pytest.mark.parametrize("line", ["Op builtin_code out of range: 150", "Model could not be parsed"])
def test_other_fatal_words(line: str) -> None:
    assert line in fault(f"Edge TPU Compiler version 16.0\nERROR: {line}. Are you using old TFLite?\n")
