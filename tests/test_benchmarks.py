"""What the documentation's figures are made from: houses that load, with every recipe the table compares."""

from __future__ import annotations

from pathlib import Path

from benchmarks import qat
from benchmarks.sweep_table import table
from harness.quantize import trained


def test_the_house_of_the_qat_table_holds_every_path_by_every_method(tmp_path: Path) -> None:
    candidate = qat.house(tmp_path / "healthy", fragile=False)
    methods = {(recipe.target, recipe.runtime): set() for recipe in candidate.recipes}
    for recipe in candidate.recipes:
        if recipe.precision == "int8":
            methods[recipe.target, recipe.runtime].add(recipe.method)
    assert len(methods) == len(qat.PATHS)
    assert all(found == set(qat.METHODS) for found in methods.values())
    assert {trained.scheme(recipe) for recipe in candidate.recipes} == {"asymmetric"}  # one training serves all
    assert candidate.recipe(qat.FLOAT).method == "tuned"
    assert candidate.training is not None
    assert qat.house(tmp_path / "healthy", fragile=False).recipes == candidate.recipes  # made once


def test_a_sweeps_record_becomes_a_table() -> None:
    row = {"value": 0.5, "low": -0.25, "high": 2.0, "evidence": "host"}
    point = {"build": "host/int8", "drop": row, "sqnr": {**row, "value": 30.04}, "slowdown": None, "word": "MAY SHIP"}
    bad = {**point, "build": "host/fp32", "word": "DO NOT SHIP", "rows": [{"gate": "footprint", "outcome": "FAIL"}]}
    plain = {"sizes": {"file": 2048}, "rows": []}
    sweep = {
        "points": [{**plain, **point}, {**plain, **bad}],
        "recommended": [{"recipe": {"target": "host", "name": "int8"}}],
    }
    assert list(table(sweep))[1:] == [
        "| **host/int8** | 0.50 [-0.25, 2.00] | 30.0 [-0.2, 2.0] | 2.0 | not measured | host | may ship |",
        "| host/fp32 | 0.50 [-0.25, 2.00] | 30.0 [-0.2, 2.0] | 2.0 | not measured | host | fails: footprint |",
    ]
