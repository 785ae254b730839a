"""Measure float, fp16, int8 and mixed recipes of the commands_ctc candidate, and write the table in docs/commands.md.

    python models/commands_ctc/compare.py [--work DIR]

Needs the RK3588 toolchain (``voxgate toolchain install rk3588``). Every figure is over all test renderings; intervals
are one-sided bounds at the candidate's confidence, over speakers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.cache import Cache
from harness.candidate import Candidate, load
from harness.errors import VoxgateError
from harness.interval import Estimate
from harness.recipe import Recipe
from harness.run import Run
from harness.score.command import CommandComparison
from harness.score.slices import Slice

HERE = Path(__file__).resolve().parent
HOUSE = HERE.parents[1]
PAGE = HOUSE / "docs" / "commands.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

CORE = ("*/far/MatMul*", "*/far/Softmax")  # attention itself
FUSED_CORE = ("*/far/MatMul_1",)  # as rknn-toolkit2 calls it
RECIPES = (
    Recipe(target="host", name="fp32", precision="fp32", runtime="onnxruntime"),
    Recipe(target="host", name="int8", precision="int8", runtime="onnxruntime"),
    Recipe(target="host", name="int8-attention-float", precision="int8", runtime="onnxruntime", keep_float=CORE),
    Recipe(target="host", name="int8-per-tensor", precision="int8", runtime="onnxruntime", per_channel=False),
    Recipe(target="rk3588", name="fp16", precision="fp16"),
    Recipe(target="rk3588", name="w8a8", precision="int8"),
    Recipe(target="rk3588", name="w8a8-per-tensor", precision="int8", per_channel=False),
    Recipe(target="rk3588", name="w8a8-attention-fp16", precision="int8", keep_float=FUSED_CORE),
)
HEAD = (
    "| build | evidence | WER, % | WER above golden's, points | commands right, % | commands lost, points | SQNR, dB "
    "| file, KiB | weights, KiB |\n|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".voxgate"), help="work folder (default: .voxgate)")
    work = parser.parse_args().work.absolute()
    candidate = load(HERE, HOUSE)
    run = Run(work / "compare", Cache(work / "cache"), say=lambda text: print(text, file=sys.stderr, flush=True))
    table = "\n".join([HEAD, *(line(run, candidate, recipe) for recipe in RECIPES)])
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(
        f"{before}{BEGIN}\n{told(run, candidate)}\n\n{table}\n\n{floats(run, candidate)}\n{END}{after}", "utf-8"
    )


def line(run: Run, candidate: Candidate, recipe: Recipe) -> str:
    """A row of the table; what a toolchain cannot do is told in it."""
    name = f"{recipe.target} {recipe.name}"
    try:
        found = run.comparison(candidate, recipe)
    except VoxgateError as error:
        return f"| {name} | not measured: {str(error).split('. ')[0]} | | | | | | | |"
    artifact = run.artifact(candidate, recipe)
    sizes = (f"{size / 1024:.0f}" if size else "" for size in (artifact.sizes.file, artifact.sizes.weights))
    return f"| {name} | {artifact.evidence} | {' | '.join(figures(found, candidate, recipe))} | {' | '.join(sizes)} |"


def figures(found: CommandComparison, candidate: Candidate, recipe: Recipe) -> Iterator[str]:
    confidence, everything = candidate.budgets(recipe).confidence, Slice("overall", "overall")
    yield bounded(found.wer(everything, confidence, 0), 100)
    yield bounded(found.wer_rise(everything, confidence, 0), 100)
    yield bounded(found.accuracy(everything, confidence, 0, keywords=False), 100)
    yield bounded(found.drop(everything, confidence, 0), 100)
    yield bounded(found.sqnr(everything, confidence, 0), 1)


def bounded(figure: Estimate, unit: float) -> str:
    value, low, high = (round(unit * each, 1) + 0.0 for each in (figure.value, figure.low, figure.high))  # no -0.0
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def told(run: Run, candidate: Candidate) -> str:
    clips = run.clips(candidate)
    names = run.conditions(candidate)
    speakers, accents = len({clip.speaker for clip in clips}), len({clip.accent for clip in clips})
    return (
        f"n = {len(clips) * len(names)} renderings of {len(clips)} clips ({', '.join(names)}), {speakers} synthetic "
        f"voices, {accents} accents; one-sided bounds at {candidate.budgets(RECIPES[0]).confidence:.0%}, over voices."
    )


def floats(run: Run, candidate: Candidate) -> str:
    """What the float model is worth, by condition and accent: WER without the grammar, commands right under it."""
    found = run.comparison(candidate, RECIPES[0])
    confidence = candidate.budgets(RECIPES[0]).confidence
    rows = ["| float model on | WER, % | commands right, % | n |", "|---|---|---|---|"]
    for part in run.margins(candidate):
        wer, right = found.wer(part, confidence, 0), found.accuracy(part, confidence, 0, keywords=False)
        rows.append(f"| {part.id} | {bounded(wer, 100)} | {bounded(right, 100)} | {wer.n} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
