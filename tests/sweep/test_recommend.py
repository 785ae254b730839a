"""What is recommended, with its reasons; what does not pass never is."""

from __future__ import annotations

import tomllib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from harness.recipe import Recipe
from harness.sweep.pareto import front, plot
from harness.sweep.point import Point
from harness.sweep.recommend import as_toml, choose
from harness.sweep.search import Search, Sensitivity
from harness.verdict import Outcome
from tests.sweep.points import PATH, point, row

FLOAT = point("fp16", db=70, kib=260, precision="fp16")


def chosen(*points: Point, search: Search | None = None) -> str | None:
    found = choose(PATH, points, search).point
    return found.recipe.name if found else None


def test_the_smallest_that_passes_is_recommended_in_words() -> None:
    choice = choose(PATH, [FLOAT, point("int8", drop=0.3, bound=0.9)], None)
    assert choice.point is not None
    assert choice.reasons[0] == (
        "int8 on rk3588: 0.3 points on the worst slice (accent=ja) [-0.2, 0.9], emulator, n=900, 30.0 dB, "
        "62 % smaller than fp16; MAY SHIP"
    )
    assert choice.reasons[1] == (
        "fp16 gains 40 dB but no points, and is 160 % larger, and computes in a wider type, its time not measured"
    )


def test_what_gains_nothing_says_so() -> None:
    choice = choose(PATH, [point("int8"), point("int8-percentile", db=30.4, bound=0.9)], None)
    assert choice.reasons[1:] == ("int8-percentile gains nothing",)
    assert choice.point is not None
    assert choice.point.recipe.name == "int8"


def test_accuracy_decides_between_files_of_one_size() -> None:
    assert chosen(point("int8", db=20), point("int8-percentile", db=28)) == "int8-percentile"
    assert chosen(point("int8", bound=3.0), point("int8-mse", bound=1.0)) == "int8-mse"


def test_time_decides_where_it_was_measured() -> None:
    finer = {"db": 40, "precision": "int8-weight-only"}
    assert chosen(point("finer", times=5.0, **finer), point("int8", times=0.5)) == "int8"
    assert chosen(point("finer", times=0.5, **finer), point("int8", times=0.5)) == "finer"


def test_the_narrowest_type_is_taken_where_time_was_not_measured() -> None:
    wide = [point("fp16", db=63, precision="fp16", kib=110), point("int16", db=69, precision="int16", kib=115)]
    assert chosen(*wide, point("int8"), point("int8-a16", db=36, activation_bits=16)) == "int8"
    assert chosen(*wide) == "int16"


def test_bounds_of_different_slices_are_not_compared() -> None:
    """What lost most in a large slice has the tighter interval there, and is not the better for it."""
    lost = point("int8-per-tensor", db=26)
    worse = replace(lost, rows=(*lost.rows, row("accuracy", "condition=noise-10db", 0.8, high=1.2)))
    assert worse.drop is not None
    assert worse.drop.slice == "condition=noise-10db"
    assert (
        chosen(
            replace(worse, rows=(*worse.rows, row("accuracy", "accent=tr", 0.0, high=2.3))), point("int8", bound=2.3)
        )
        == "int8"
    )


def test_a_better_build_that_fails_is_never_recommended() -> None:
    better = point("int8", kib=10, db=50, drop=-1.0, outcome=Outcome.FAIL)
    choice = choose(PATH, [FLOAT, better], None)
    assert choice.point is FLOAT
    assert any(reason.startswith("int8: DO NOT SHIP, FAIL: accuracy on accent=ja") for reason in choice.reasons)


def test_an_undecided_build_is_not_recommended_either() -> None:
    assert chosen(point("int8", outcome=Outcome.INCONCLUSIVE)) is None


def test_where_nothing_passes_it_says_why() -> None:
    lost = Point(point("int8-mse").recipe, PATH, lack="the compiler crashed with SIGSEGV")
    choice = choose(PATH, [point("int8", outcome=Outcome.FAIL), lost], Search(FLOAT.recipe, lack="no step helps"))
    assert choice.point is None
    assert choice.reasons[0].startswith("no recipe passes")
    assert "int8-mse: NOT BUILT, the compiler crashed with SIGSEGV" in choice.reasons
    assert "mixed precision: no step helps" in choice.reasons
    assert "[[recipe]]" not in as_toml("small", [choice])


def test_a_mixed_recipe_names_its_costliest_layers() -> None:
    mixed = point("int8-mixed-1", keep_float=["/stem/Conv"])
    found = Search(
        point("int8").recipe, (Sensitivity("/stem/Conv", 8.2, 9.0, 350), Sensitivity("/head", 40.0, 0.0, 350)), (mixed,)
    )
    choice = choose(PATH, [point("int8", outcome=Outcome.FAIL), mixed], found)
    assert "1 of 2 layers stay in float, the costliest first: /stem/Conv 8.2 dB alone" in choice.reasons[-1]


def test_the_front_holds_what_nothing_betters() -> None:
    worse = point("int8-per-tensor", db=20, drop=0.5, bound=1.5)
    small = point("int8-a", db=25, kib=50)
    best = point("int8")
    assert front([best, worse, small]) == [best, small]


def test_the_plot_is_a_picture_and_the_same_each_time() -> None:
    points = [FLOAT, point("int8", times=0.5), point("int8-mse", outcome=Outcome.FAIL, times=0.7)]
    picture = plot(points, "small")
    assert picture.startswith(b"\x89PNG")
    assert picture == plot(points, "small")
    assert plot([], "nothing judged").startswith(b"\x89PNG")


names = st.lists(st.text(min_size=1, max_size=12), max_size=3).map(tuple)


@given(
    names,
    st.sampled_from(["minmax", "percentile"]),
    st.booleans(),
    st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=2),
)
def test_what_is_pasted_is_the_recipe_that_was_judged(
    layers: tuple[str, ...], algorithm: str, per_channel: bool, units: dict[str, str]
) -> None:
    one = point(
        "int8-mixed-1",
        keep_float=list(layers),
        per_channel=per_channel,
        calibration={"algorithm": algorithm, "clips": 77},
        op_target=units,
    )
    choice = choose(PATH, [one], None)
    parsed = tomllib.loads(as_toml("small", [choice]))
    assert [Recipe.model_validate(each) for each in parsed["recipe"]] == [one.recipe]
