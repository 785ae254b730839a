"""What the toolchain made is judged: its float path, where nodes run, how many, how large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import NotMeasured
from harness.gates.artifact import (
    DEVICE,
    MOST_NAMED,
    cpu_share,
    device_memory,
    footprint,
    layers,
    parity,
    partitions,
    placement,
)
from harness.gates.base import Build
from harness.targets.base import NOWHERE, Artifact, Evidence, Node, OpTime, Placement, Profile, Sizes
from harness.targets.told import DeviceMemory
from harness.verdict import Outcome
from tests.gates.conftest import MakeBuild

ON = Node("/conv/Conv", "Conv", "int8", "npu", False)
OFF = Node("/head/Selu", "Selu", "float32", "cpu", True, "no NPU kernel")
WIDE = Node("/pool/Mean", "ReduceMean", "float16", "npu", True, "wider than int8")


def artifact(build: Build, nodes: Sequence[Node] = (ON,), sizes: Sizes | None = None) -> Artifact:
    return Artifact(
        candidate="tiny",
        recipe=build.recipe,
        key="0",
        file=Path("tiny.rknn"),
        placement=Placement(tuple(nodes), Evidence.STATIC),
        sizes=sizes or Sizes(file=10 * 1024),
        evidence=Evidence.EMULATOR,
    )


def allow(op: str, node: str, target: str = "rk3588") -> str:
    return f'[[allow]]\ntarget = "{target}"\nop = "{op}"\nnode = "{node}"\nreason = "measured, harmless"'


def test_all_on_the_npu_passes_and_says_where_nodes_run(build: MakeBuild) -> None:
    own = build()
    row = placement(own, artifact(own, [ON, ON]))
    assert (row.outcome, row.value, row.n, row.detail) == (Outcome.PASS, 0, 2, "2 on npu")


def test_a_fallback_fails_naming_node_and_reason_on_the_compilers_word(build: MakeBuild) -> None:
    own = build()
    row = placement(own, artifact(own, [ON, OFF]))
    assert (row.outcome, row.value, row.evidence) == (Outcome.FAIL, 1, "static")
    assert "Selu /head/Selu on cpu as float32 (no NPU kernel)" in row.detail
    assert "[[allow]]" in row.detail


def test_a_node_wider_than_asked_for_is_a_fallback_though_on_the_npu(build: MakeBuild) -> None:
    own = build()
    row = placement(own, artifact(own, [ON, WIDE]))
    assert row.outcome is Outcome.FAIL
    assert "ReduceMean /pool/Mean on npu as float16 (wider than int8)" in row.detail


@pytest.mark.parametrize(("op", "node"), [("Selu", "*"), ("*", "/head/*"), ("S?lu", "/head/[RST]elu")])
def test_an_allowed_fallback_passes(build: MakeBuild, op: str, node: str) -> None:
    own = build(more=allow(op, node))
    assert placement(own, artifact(own, [ON, OFF])).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("op", "node", "target"), [("Selu", "/body/*", "rk3588"), ("Conv", "/head/*", "rk3588"), ("Selu", "*", "host")]
)
def test_what_the_allow_list_does_not_cover_fails(build: MakeBuild, op: str, node: str, target: str) -> None:
    own = build(more=allow(op, node, target))
    assert placement(own, artifact(own, [ON, OFF])).outcome is Outcome.FAIL


def test_an_allowed_fallback_hides_no_other(build: MakeBuild) -> None:
    own = build(more=allow("Selu", "*"))
    row = placement(own, artifact(own, [OFF, WIDE]))
    assert (row.outcome, row.value) == (Outcome.FAIL, 1)
    assert "/pool/Mean" in row.detail
    assert "/head/Selu" not in row.detail


def test_no_allow_list_accepts_a_node_that_the_toolchain_refuses(build: MakeBuild) -> None:
    own = build(more=allow("*", "*"))
    row = placement(own, artifact(own, [ON, replace(OFF, where=NOWHERE)]))
    assert row.outcome is Outcome.FAIL
    assert "Selu /head/Selu on nowhere" in row.detail
    assert "[[allow]]" not in row.detail


def test_many_fallbacks_are_counted_beyond_the_first(build: MakeBuild) -> None:
    own = build()
    row = placement(own, artifact(own, [OFF] * (MOST_NAMED + 3)))
    assert row.value == MOST_NAMED + 3
    assert "and 3 more" in row.detail


@pytest.mark.parametrize(("limit", "expected"), [(3, Outcome.PASS), (2, Outcome.FAIL)])
def test_more_layers_than_allowed_fail(build: MakeBuild, limit: int, expected: Outcome) -> None:
    own = build(f"layers = {limit}")
    row = layers(own, artifact(own, [ON, ON, OFF]))
    assert (row.outcome, row.value, row.limit, row.evidence) == (expected, 3, limit, "static")


@pytest.mark.parametrize(("limit", "expected"), [(3, Outcome.PASS), (2, Outcome.FAIL)])
def test_an_allowed_node_that_cuts_the_graph_in_pieces_fails(build: MakeBuild, limit: int, expected: Outcome) -> None:
    own = build(f"partitions = {limit}", more=allow("Selu", "*"))
    made = artifact(own, [ON, OFF, ON])
    cut = replace(made, placement=replace(made.placement, partitions=3))
    assert placement(own, cut).outcome is Outcome.PASS
    row = partitions(own, cut)
    assert (row.outcome, row.value, row.limit, row.evidence) == (expected, 3, limit, "static")
    assert "1 Selu on cpu" in row.detail


def test_partitions_that_nobody_tells_are_not_measured(build: MakeBuild) -> None:
    own = build("partitions = 1")
    made = artifact(own, [ON])
    with pytest.raises(NotMeasured, match="remove partitions from its budgets"):
        partitions(own, replace(made, placement=replace(made.placement, partitions=None)))


@pytest.mark.parametrize(("part", "size"), [("file", 10), ("weights", 6), ("activations", 4)])
def test_a_size_is_held_against_its_budget_in_kib(build: MakeBuild, part: str, size: int) -> None:
    sizes = Sizes(file=10 * 1024, weights=6 * 1024, activations=4 * 1024)
    for limit, expected in ((size, Outcome.PASS), (size - 0.5, Outcome.FAIL)):
        own = build(f"{part}_kib = {limit}")
        row = footprint(own, part, getattr(sizes, part))
        assert (row.outcome, row.value, row.unit, row.evidence) == (expected, size, "KiB", "static")


def test_resident_memory_is_measured_in_mib(build: MakeBuild) -> None:
    own = build("rss_mib = 8")
    assert footprint(own, "rss", 8 << 20).outcome is Outcome.PASS
    row = footprint(own, "rss", 9 << 20)
    assert (row.outcome, row.value, row.unit, row.evidence) == (Outcome.FAIL, 9, "MiB", "emulator")


@pytest.mark.parametrize(
    ("difference", "expected"),
    [(0.0, Outcome.PASS), (0.05, Outcome.PASS), (0.2, Outcome.FAIL), (np.nan, Outcome.FAIL), (np.inf, Outcome.FAIL)],
)
def test_one_differing_logit_decides_float_parity(build: MakeBuild, difference: float, expected: Outcome) -> None:
    golden = np.ones((5, 3), np.float32)
    converted = golden.copy()
    converted[3, 1] += difference
    row = parity(build("parity = 0.1"), golden, converted)
    assert (row.gate, row.outcome, row.n) == ("conversion", expected, 5)
    assert row.value == pytest.approx(difference, rel=1e-4, nan_ok=True)


@pytest.mark.parametrize(("limit", "expected"), [(3, Outcome.PASS), (2.5, Outcome.PASS), (2, Outcome.FAIL)])
def test_memory_of_the_device_is_judged_by_whom_it_is_told(build: MakeBuild, limit: float, expected: Outcome) -> None:
    told = DeviceMemory(5 << 19, Evidence.BOARD, "the runtime", {"weights": 1 << 20, "internal tensors": 1 << 19})
    row = device_memory(build(f"device_mib = {limit}"), told)
    assert (row.gate, row.slice, row.outcome, row.value, row.unit) == ("footprint", DEVICE, expected, 2.5, "MiB")
    assert (row.evidence, row.source) == ("board", "the runtime"), "not what the outputs come from"
    assert row.detail.endswith(f"limit at most {limit:g} MiB; weights 1, internal tensors 0.5 MiB")


def profile(pow_us: float = 640.0) -> Profile:
    pow_ = OpTime("Pow", 2, {"cpu": pow_us, "gpu": 0.0, "npu": 0.0})
    return Profile((OpTime("Conv", 9, {"cpu": 0.0, "gpu": 0.0, "npu": 360.0}), pow_), Evidence.BOARD, "eval_perf")


@pytest.mark.parametrize(("limit", "expected"), [(65, Outcome.PASS), (64, Outcome.PASS), (63, Outcome.FAIL)])
def test_the_share_of_time_on_the_cpu_is_judged_and_its_operators_named(
    build: MakeBuild, limit: float, expected: Outcome
) -> None:
    row = cpu_share(build(f"cpu_share = {limit}"), profile())
    assert (row.outcome, row.value, row.unit, row.n) == (expected, 64, "%", 11)
    assert (row.evidence, row.source) == ("board", "eval_perf")
    assert row.detail.endswith("on the CPU: Pow 640 us")


def test_no_time_on_the_cpu_keeps_any_limit(build: MakeBuild) -> None:
    row = cpu_share(build("cpu_share = 0"), profile(0))
    assert (row.outcome, row.value) == (Outcome.PASS, 0)
    assert row.detail.endswith("on the CPU: nothing")
