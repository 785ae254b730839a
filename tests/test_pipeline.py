"""pipeline.toml is read strictly, and every fault of it is one paragraph with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.candidate import find_candidates
from harness.errors import CandidateError
from harness.pipeline import Pipeline, find_pipelines
from tests.house import edit
from tests.tones import make_house


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return make_house(tmp_path / "house") / "pipelines" / "both" / "pipeline.toml"


def loaded(toml: Path) -> list[Pipeline]:
    house = toml.parents[2]
    return find_pipelines([house], {candidate.name: candidate for candidate in find_candidates([house])})


def test_a_pipeline_knows_its_candidates_and_recipes(toml: Path) -> None:
    (pipeline,) = loaded(toml)
    (pair,) = pipeline.pairs
    assert (pipeline.trigger.name, pipeline.command.name, pair.id) == ("ear", "hand", "host/fp32+fp32")
    assert [recipe.id for recipe in pipeline.recipes(pair)] == ["host/fp32", "host/fp32"]
    assert pipeline.pair("host", "fp32+fp32") is pair


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('trigger = "ear"', 'trigger = "eat"', r"trigger 'eat' is no candidate of this run \(did you mean 'ear'\?\)"),
        (
            'trigger = "ear"',
            'trigger = "hand"',
            "its trigger 'hand' is of task 'keyword'; a trigger is of task wakeword",
        ),
        ('command = "hand"', 'command = "ear"', "a command is of task command or keyword"),
        ("utterances = 30", "utterances = 0", "stream.utterances"),
        ("utterances = 30", "uterances = 30", r"unknown key stream.uterances \(did you mean 'utterances'\?\)"),
        ('ambiences = ["quiet"]', 'ambiences = ["quite"]', r"no ambience is named 'quite' \(did you mean 'quiet'\?\)"),
        ('command = "fp32"', 'command = "fp23"', r"hand has no recipe 'host/fp23' \(did you mean 'host/fp32'\?\)"),
        ('name = "both"', 'name = "ear"', "another pipeline or candidate is named 'ear'"),
        ("[budgets]", "[budgets", "is not valid TOML"),
        ("success = 80.0", "sucess = 80.0", r"unknown key sucess \(did you mean 'success'\?\)"),
        ("[budgets]", "[budgets.for.hots]\nmemory_mib = 9\n[budgets]", r"budgets.for.'hots' .*did you mean 'host'"),
    ],
)
def test_a_fault_is_told_with_the_nearest_name(old: str, new: str, told: str, toml: Path) -> None:
    edit(toml, old, new)
    with pytest.raises(CandidateError, match=told):
        loaded(toml)


def test_limits_of_a_target_are_laid_over_the_general_ones(toml: Path) -> None:
    edit(toml, "[budgets]", "[budgets.for.host]\nmemory_mib = 9\n[budgets]")
    (pipeline,) = loaded(toml)
    found = pipeline.budgets(pipeline.pairs[0])
    assert (found.memory_mib, found.success) == (9.0, 80.0)


def test_two_builds_of_one_pair_and_two_rates_are_refused(toml: Path) -> None:
    pair = '[[build]]\ntarget = "host"\ntrigger = "fp32"\ncommand = "fp32"\n'
    edit(toml, pair, pair + pair)
    with pytest.raises(CandidateError, match="the same pair of recipes"):
        loaded(toml)
    edit(toml, pair, "")
    edit(
        toml.parents[2] / "models" / "ear" / "model.toml",
        'kind = "fbank"',
        'kind = "fbank"\nsample_rate = 8000\nhigh_hz = 3800',
    )
    with pytest.raises(CandidateError, match="one microphone has one rate"):
        loaded(toml)


def test_a_house_without_pipelines_has_none(tmp_path: Path) -> None:
    assert find_pipelines([tmp_path], {}) == []
