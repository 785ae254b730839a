"""Of the recipes that pass, the one to ship on each path, with its reasons in words and as TOML to paste."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.recipe import Recipe
from harness.report.conclusion import interval
from harness.row import Row, printable
from harness.sweep.point import Point
from harness.sweep.search import Search

ALIKE_SIZE = 1.35  # times the smallest: scales and names are a third of a small file, a wider type doubles it
ALIKE_TIME = 1.20  # times the fastest, side by side with float
ALIKE_POINTS = 0.25  # points of the worst slice's upper bound
ALIKE_DB = 3.0  # half the noise
WIDTH = {"int8": 0, "int8-dynamic": 1, "int8-weight-only": 2, "int16": 4, "fp16": 5, "fp32": 6}  # narrowest first
FLOATS = ("fp32", "fp16")
MOST = 200  # characters of a reason; the JSON has the whole


@dataclass(frozen=True, slots=True)
class Choice:
    """What to ship on one path, or why nothing may."""

    path: str
    point: Point | None
    reasons: tuple[str, ...]


def choose(path: str, points: Sequence[Point], search: Search | None) -> Choice:
    """The smallest of those that pass, then the fastest, then the most exact; the plainest of those alike.

    ``points`` are in the order of plainness. Where time was not measured the narrowest type stands for the fastest.
    """
    passing = [point for point in points if point.passes]
    if not passing:
        return Choice(path, None, tuple(_why_none(points, search)))
    best = _most_exact(_fastest(_smallest(passing)))[0]
    told = [headline(best, points), *_compared(best, points)]
    if search is not None and search.found is best:
        told.append(
            f"no plain int8 recipe passes; {len(best.recipe.keep_float)} of {len(search.sensitivities)} layers stay in "
            f"float, the costliest first: {_costliest(search)}"
        )
    return Choice(path, best, tuple(told))


def headline(point: Point, points: Sequence[Point]) -> str:
    """``int8 on rk3588: 0.3 points on the worst slice [0.0, 0.9], 62 % smaller``."""
    parts = [f"{point.recipe.name} on {point.path}"]
    figures = [text for text in (_drop(point.drop), _sqnr(point.sqnr), _smaller(point, points)) if text]
    return f"{parts[0]}: {', '.join(figures)}; {point.word}"


def why(point: Point) -> str:
    """Why it does not pass, at most MOST characters."""
    told = printable(point.lack or (point.conclusion.reason if point.conclusion else ""))
    return told if len(told) <= MOST else f"{told[:MOST]}..."


def as_toml(candidate: str, choices: Iterable[Choice]) -> str:
    """``[[recipe]]`` tables to paste into model.toml, each below its reasons."""
    lines = [
        f"# Recommended for {candidate} by voxgate sweep. Review, then put into its model.toml in place of the",
        "# recipes of the same target; budgets.for tables name recipes by target/name.",
    ]
    for choice in choices:
        lines += ["", *(f"# {printable(reason)}" for reason in choice.reasons)]
        if choice.point is not None:
            lines += ["[[recipe]]", *_toml(choice.point.recipe)]
    return "\n".join(lines) + "\n"


def _toml(recipe: Recipe) -> Iterable[str]:
    given: dict[str, Any] = recipe.model_dump(mode="json", exclude_defaults=True)
    given = {"target": recipe.target, "name": recipe.name, **given}
    for key, value in given.items():
        if value is not None:
            yield f"{key} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_value(key)} = {_value(each)}" for key, each in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML escapes as JSON does, and DEL too


def _smallest(points: list[Point]) -> list[Point]:
    least = min(_size(point) for point in points)
    return [point for point in points if _size(point) <= ALIKE_SIZE * least]


def _fastest(points: list[Point]) -> list[Point]:
    times = [row.value for point in points if (row := point.slowdown) is not None and row.value is not None]
    if len(times) < len(points):
        narrowest = min(map(_width, points))
        return [point for point in points if _width(point) == narrowest]
    return [point for point, took in zip(points, times, strict=True) if took <= ALIKE_TIME * min(times)]


def _most_exact(points: list[Point]) -> list[Point]:
    bound = min(_bound(point) for point in points)
    near = [point for point in points if _bound(point) <= bound + ALIKE_POINTS]
    most = max(_db(point) for point in near)
    return [point for point in near if _db(point) >= most - ALIKE_DB]


def _compared(best: Point, points: Sequence[Point]) -> Iterable[str]:
    """What the others would gain or lose, one clause each."""
    for point in points:
        if point is best:
            continue
        name = point.recipe.name
        if not point.passes:
            yield f"{name}: {point.word}, {why(point)}"
        else:
            yield f"{name} gains {_gain(point, best)}"


def _gain(point: Point, best: Point) -> str:
    gains, costs = [], []
    if _size(point) * ALIKE_SIZE < _size(best):
        gains.append(f"{100 * (1 - _size(point) / _size(best)):.0f} % of size")
    if _bound(point) < _bound(best) - ALIKE_POINTS:
        gains.append(f"{_bound(best) - _bound(point):.1f} points")
    elif _db(point) > _db(best) + ALIKE_DB:
        gains.append(f"{_db(point) - _db(best):.0f} dB but no points")
    if _size(point) > ALIKE_SIZE * _size(best):
        costs.append(f"is {100 * (_size(point) / _size(best) - 1):.0f} % larger")
    if point.slowdown and best.slowdown and point.slowdown.value and best.slowdown.value:
        ratio = point.slowdown.value / best.slowdown.value
        costs += [f"takes {ratio:.1f} times as long"] if ratio > ALIKE_TIME else []
    elif _width(point) > _width(best):
        costs.append("computes in a wider type, its time not measured")
    return ", and ".join([" and ".join(gains) or "nothing", *costs])


def _why_none(points: Sequence[Point], search: Search | None) -> Iterable[str]:
    yield "no recipe passes the gates it would be judged by; nothing is recommended"
    for point in points:
        yield f"{point.recipe.name}: {point.word}, {why(point)}"
    if search is not None and search.lack:
        yield f"mixed precision: {search.lack}"


def _costliest(search: Search) -> str:
    return ", ".join(f"{each.layer} {each.sqnr:.1f} dB alone" for each in search.sensitivities[:3])


def _drop(row: Row | None) -> str:
    if row is None or row.value is None:
        return ""
    return f"{row.value:.1f} points on the worst slice ({row.slice}) {interval(row)}, {row.evidence}, n={row.n}"


def _sqnr(row: Row | None) -> str:
    return "" if row is None or row.value is None else f"{row.value:.1f} dB"


def _smaller(point: Point, points: Sequence[Point]) -> str:
    """Its file beside that of the path's float recipe."""
    floats = [each for each in points if each.recipe.precision in FLOATS and each.sizes]
    if not floats or point.recipe.precision in FLOATS:
        return f"{_size(point) / 1024:.0f} KiB"
    ratio = _size(point) / _size(floats[0])
    change = f"{100 * (1 - ratio):.0f} % smaller" if ratio <= 1 else f"{100 * (ratio - 1):.0f} % larger"
    return f"{change} than {floats[0].recipe.name}"


def _size(point: Point) -> int:
    return point.sizes.file if point.sizes else 0


def _bound(point: Point) -> float:
    """The most points that any margin may have lost: the same slice for all where nothing flips in the smallest."""
    return max((row.high for row in point.margins if row.high is not None), default=0.0)


def _width(point: Point) -> int:
    recipe = point.recipe
    return WIDTH[recipe.precision] + (3 if recipe.activation_bits == 16 else 1 if recipe.keep_float else 0)


def _db(point: Point) -> float:
    return point.sqnr.value if point.sqnr is not None and point.sqnr.value is not None else 0.0
