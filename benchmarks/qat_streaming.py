"""PTQ, QAT and the equally fine-tuned float on computer, a streaming step: the tables of docs/qat.md.

    python -m models.computer.sequences --speech DIR --data ../shared/data
    python -m benchmarks.qat_streaming --speech DIR --work DIR

Healthy, and with the channels of its convolutions unequal. Every stage is kept in the work folder: killed and run
again, it goes on where it was. Prints the tables as Markdown.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.qat import CHECKOUT, CONFIDENCE, FLOAT, INTERVALS, METHODS, PATHS, SEED, K, compared, laid, of, say
from harness.cache import Cache
from harness.candidate import Candidate
from harness.gates.accuracy import percent
from harness.interval import Estimate
from harness.recipe import FLOAT as ORIGINAL
from harness.recipe import Recipe
from harness.run import Run
from harness.score.drift import Minutes
from harness.score.wakeword import Listening, Point
from harness.train import train
from tests.faults.surgery import imbalance_step

SHIPPED = CHECKOUT / "models" / "computer"
RANGES = 'calibration = { condition = ["clean", "noise-10db", "far-field"] }\n'  # as the shipped recipes
STREAMS = re.compile(r"(?:#[^\n]*\n)*\[\[stream\]\]\n(?:[^\[\n].*\n|\n)*")
STREAM = """\
[[stream]]
name = "heard"
corpora = ["computer", "commands"]
word_from = ["computer"]
hours = 4.0
words = 600
seed = 44

"""
HEARD = "heard"
ALIKE = 2.0  # false accepts an hour, at most: the thresholds at which builds are compared beside the candidate's own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="training sequences")
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--seed", type=int, help="of the training, in place of model.toml's")
    parser.add_argument("--path", action="append", choices=PATHS, help="these alone; repeatable")
    options = parser.parse_args()
    work = options.work.resolve()
    each, gained = [], []
    for kind in ("healthy", "fragile"):
        candidate = house(work / f"{kind}-{options.seed or 'shipped'}", fragile=kind == "fragile", seed=options.seed)
        told = train(candidate, candidate.recipe(FLOAT), options.speech, work / "train" / kind, say)
        say(f"{kind}: trained on {told.data}, losses {told.losses}")
        run = Run(work / kind / "records", Cache(work / "cache"), golden_mode="new", toolchains=False, say=say)
        each += [f"| {kind} {row}" for row in figures(run, candidate, options.path or PATHS)]
        gained += [f"| {kind} {row}" for row in gains(run, candidate, options.path or PATHS)]
    print("| model | path | weights | missed, % | false accepts an hour | score SQNR, dB | drift, dB | evidence |")
    print("|---|---|---|---|---|---|---|---|", *each, sep="\n")
    alike = f"at {ALIKE:g} false accepts an hour"
    print(f"\n| model | path | QAT against | words gained, points | {alike} | SQNR gained, dB |")
    print("|---|---|---|---|---|---|", *gained, sep="\n")


def house(folder: Path, *, fragile: bool, seed: int | None = None) -> Candidate:
    """A house of the shipped candidate with the recipes to be compared, all of which hear one stream."""
    head, rest = compared(SHIPPED, RANGES).split("[training]", 1)
    toml = f"{head}{STREAM}[training]{STREAMS.sub('', rest)}"
    if seed is not None:
        toml = re.sub(r"(\[training\][^\[]*\nseed = )\d+", rf"\g<1>{seed}", toml)
    return laid(folder, SHIPPED, toml, unequal if fragile else None)


def unequal(source: Path, path: Path) -> None:
    imbalance_step(source, path, k=K, seed=SEED)


def figures(run: Run, candidate: Candidate, paths: Iterable[str]) -> Iterator[str]:
    """At the candidate's threshold: the shipped float, the float trained as long, then every path by every method."""
    yield f"| host, onnxruntime | shipped float {_told(run, candidate, ORIGINAL)}"
    trained = candidate.recipe(FLOAT)
    yield f"| host, onnxruntime | float trained as long, unquantized {_told(run, candidate, trained)}"
    for path in paths:
        for method, words in METHODS.items():
            yield f"| {path} | {words} {_told(run, candidate, of(candidate, path, method))}"


def _told(run: Run, candidate: Candidate, recipe: Recipe) -> str:
    _, point = run.listening(candidate, recipe, HEARD)
    missed, rate = percent(point.frr(CONFIDENCE, INTERVALS)), point.rate(CONFIDENCE)
    cells = [
        f"{missed.value:.1f} [{missed.low:.1f}, {missed.high:.1f}]",
        f"{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}], n={point.false_accepts}",
    ]
    if recipe == ORIGINAL:
        cells += ["", ""]
    else:
        minutes = run.against(candidate, recipe).minutes
        level, growth = minutes.level(CONFIDENCE, INTERVALS), minutes.growth(CONFIDENCE, INTERVALS)
        cells += [f"{each.value:.{d}f} [{each.low:.{d}f}, {each.high:.{d}f}]" for each, d in ((level, 1), (growth, 2))]
    heard = f"n={missed.n} words of {missed.clusters} speakers, {point.hours:.2f} h"
    return f"| {' | '.join(cells)} | {run.artifact(candidate, recipe).evidence}, {heard} |"


def gains(run: Run, candidate: Candidate, paths: Iterable[str]) -> Iterator[str]:
    """QAT against the two others of each path, word by word and minute by minute."""
    for path in paths:
        qat = of(candidate, path, "qat")
        for method in ("ptq", "tuned"):
            other = of(candidate, path, method)
            cells = [_cell(*_words(run, candidate, other, qat, rate)) for rate in (None, ALIKE)]
            cells.append(_cell(*_decibels(run, candidate, other, qat)))
            yield f"| {path} | {METHODS[method]} | {' | '.join(cells)} |"


def _cell(value: float, low: float, high: float) -> str:
    word = "a gain" if low > 0 else "a loss" if high < 0 else "no gain shown"
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}], {word}"


def _words(
    run: Run, candidate: Candidate, before: Recipe, after: Recipe, rate: float | None
) -> tuple[float, float, float]:
    """Points of the words that ``after`` hears and ``before`` misses, less the others; paired, by speaker.

    At the candidate's threshold, or where each gives at most ``rate`` false accepts an hour.
    """
    one, other = (_point(*run.listening(candidate, recipe, HEARD), rate) for recipe in (before, after))
    # The upper bound of a small loss is widened for what so few words cannot tell: each end from its own side.
    gain, loss = percent(one.lost(other, CONFIDENCE, INTERVALS)), percent(other.lost(one, CONFIDENCE, INTERVALS))
    return gain.value, gain.low, -loss.low


def _point(heard: Listening, point: Point, rate: float | None) -> Point:
    return point if rate is None else heard.operate(rate)


def _decibels(run: Run, candidate: Candidate, before: Recipe, after: Recipe) -> tuple[float, float, float]:
    """dB of SQNR that ``after`` has more than ``before``, over the same minutes."""
    one, other = (run.against(candidate, recipe).minutes.sqnr_db for recipe in (before, after))
    found: Estimate = Minutes(other - one).level(CONFIDENCE, INTERVALS)
    return found.value, found.low, found.high


if __name__ == "__main__":
    main()
