"""A session whose stages are done by the workers of a scheduler, ahead of the tests that judge them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pytest

from harness.ahead import Asked, ahead
from harness.cluster.connect import connect
from harness.plugin.house import House


def begin(house: House, items: Sequence[pytest.Item]) -> None:
    """Have the workers do what the items ask for. Raises InfraError where there is no scheduler or no worker."""
    address = house.options.scheduler
    cluster = connect(address, provision=house.options.toolchains == "auto")
    house.run.engine = cluster
    house.say(
        f"{cluster} of {address}: what needs no board is rendered, built, run and decoded there; latency, memory and "
        "energy are measured here, and boards are driven from here"
    )
    ahead(house.run, asked(house, items))
    house.run.write("cluster", {"scheduler": address, "tasks": cluster.record()})
    house.say(f"done by the workers: {cluster.told}")


def asked(house: House, items: Sequence[pytest.Item]) -> list[Asked]:
    """What the items need of each build, by the fixtures they name."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for item in items:
        values = getattr(getattr(item, "callspec", None), "params", {})
        if "candidate" in values:
            recipe = f"{values['target']}/{values['recipe']}" if "recipe" in values else ""
            found[values["candidate"], recipe] |= set(getattr(item, "fixturenames", ()))
    return [
        Asked(candidate := house.candidates[name], candidate.recipe(recipe) if recipe else None, frozenset(fixtures))
        for (name, recipe), fixtures in found.items()
    ]
