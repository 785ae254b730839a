"""PTQ, QAT and the equally fine-tuned float on commands, healthy and with unequal channels: the table of docs/qat.md.

    voxgate corpus build training --out DIR
    python -m benchmarks.qat --speech DIR --work DIR

Runs the code of models/commands (it is this repository's own). Every stage is kept in the work folder: killed and run
again, it goes on where it was. Prints the table as Markdown.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.cache import Cache
from harness.candidate import Candidate, load
from harness.gates import accuracy
from harness.interval import Estimate
from harness.recipe import Recipe
from harness.run import Run
from harness.score.keyword import compare
from harness.score.slices import Slice
from harness.targets import toolchain
from harness.targets.base import Logits
from harness.train import described, train
from tests.faults.surgery import imbalance

CHECKOUT = Path(__file__).resolve().parents[1]
SHIPPED = CHECKOUT / "models" / "commands"
# Budgets of builds without a recipe here.
OTHERS = re.compile(r"\[budgets\.for\.(?!rk3588\]|host[.\]])[^\]]+\]\n(?:[^\[\n].*\n|\n)*")
K, SEED = 8.0, 13  # of the fault: channels scaled by up to K and back, as in tests/faults
CONDITIONS = ("clean", "noise-10db", "far-field")
CONFIDENCE, INTERVALS = 0.95, 0  # of the intervals, and their seed
METHODS = {"ptq": "PTQ of the shipped weights", "tuned": "PTQ of the float trained as long", "qat": "QAT"}
FLOAT = "host/tuned-float"
PATHS = {  # to the target, the beginning of its recipes' names, and what else they say
    "host, onnxruntime": ("host", "onnxruntime", 'runtime = "onnxruntime"\n'),
    "host, LiteRT": ("host", "litert", 'runtime = "litert"\n'),
    "rk3588": ("rk3588", "w8a8", ""),
}
RECIPE = '[[recipe]]\ntarget = "{}"\nname = "{}"\n{}precision = "{}"\nmethod = "{}"\n\n'
EXPORT = """
import json
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import torch
from harness.targets.workers import qat_export, qat_worker
folder, request = Path(sys.argv[2]), json.loads(sys.argv[3])
code = qat_worker.load_code(folder / "finetune.py")
network = qat_worker.warm(code.network(request["labels"]), folder / "model.onnx").eval()
examples = tuple(torch.zeros(shape) for shape in request["shapes"])
qat_export.export_float(network, examples, request, folder)
(folder / "float.onnx").unlink()
(folder / "float.tflite").replace(folder / "model.tflite")
"""
Spoil = Callable[[Path, Path], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="training speech")
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    options = parser.parse_args()
    work = options.work.resolve()
    lost, gained = [], []
    for kind in ("healthy", "fragile"):
        candidate = house(work / kind, fragile=kind == "fragile")
        told = train(candidate, candidate.recipe(FLOAT), options.speech, work / "train" / kind, say)
        say(f"{kind}: trained on {told.data}, losses {told.losses}")
        run = Run(work / kind / "records", Cache(work / "cache"), golden_mode="new", toolchains=False, say=say)
        lost += [f"| {kind} {row}" for row in losses(run, candidate)]
        gained += [f"| {kind} {row}" for row in gains(run, candidate)]
    print("| model | path | weights | accuracy lost, points | decisions flipped, % | logit SQNR, dB | evidence |")
    print("|---|---|---|---|---|---|---|", *lost, sep="\n")
    print("\n| model | path | QAT gains over PTQ, points | over PTQ of the float trained as long | evidence |")
    print("|---|---|---|---|---|", *gained, sep="\n")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def house(folder: Path, *, fragile: bool) -> Candidate:
    """A house of the shipped candidate with the recipes to be compared; its corpus is the shipped one."""
    toml = compared(SHIPPED)
    toml = toml.replace("[frontend]", f"conditions = {json.dumps(CONDITIONS)}\n\n[frontend]", 1)
    return laid(folder, SHIPPED, toml, unequal if fragile else None)


def unequal(source: Path, path: Path) -> None:
    imbalance(source, path, k=K, seed=SEED)


def compared(shipped: Path, more: str = "") -> str:
    """The candidate's model.toml with the recipes to be compared in place of its own; ``more`` stands in each."""
    head, rest = (shipped / "model.toml").read_text(encoding="utf-8").split("[[recipe]]", 1)
    return head + "".join(recipes(more)) + OTHERS.sub("", rest[rest.index("[training]") :])


def laid(folder: Path, shipped: Path, toml: str, spoil: Spoil | None) -> Candidate:
    """The house, made once: the shipped candidate with another model.toml, its weights spoiled where asked."""
    model = folder / "models" / shipped.name
    if not model.is_dir():
        fresh = folder / "models" / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(shipped, fresh, ignore=shutil.ignore_patterns("__pycache__", "trained"))
        (fresh / "model.toml").write_text(toml, encoding="utf-8")
        if spoil:
            spoil(shipped / "model.onnx", fresh / "model.onnx")
            export_tflite(load(fresh, folder))
        (folder / "corpora").symlink_to(CHECKOUT / "corpora", target_is_directory=True)
        fresh.rename(model)
    return load(model, folder)


def export_tflite(candidate: Candidate) -> None:
    """model.tflite anew, of the weights that model.onnx holds."""
    told = json.dumps({**described(candidate), "litert": True})
    python = toolchain.needed("qat").python
    subprocess.run([python, "-I", "-c", EXPORT, CHECKOUT, candidate.folder, told], check=True)


def recipes(more: str = "") -> Iterator[str]:
    yield RECIPE.format(*FLOAT.split("/"), PATHS["host, onnxruntime"][2], "fp32", "tuned")
    for target, name, own in PATHS.values():
        for method in METHODS:
            yield RECIPE.format(target, f"{name}-{method}", own + more, "int8", method)


def losses(run: Run, candidate: Candidate) -> Iterator[str]:
    """Against the shipped float: the float trained as long, then every path by every method."""
    yield f"| host, onnxruntime | float trained as long, unquantized {_lost(run, candidate, candidate.recipe(FLOAT))}"
    for path in PATHS:
        for method, words in METHODS.items():
            yield f"| {path} | {words} {_lost(run, candidate, of(candidate, path, method))}"


def gains(run: Run, candidate: Candidate) -> Iterator[str]:
    """QAT against the two others of each path, clip by clip."""
    for path in PATHS:
        trained = run.outputs(candidate, of(candidate, path, "qat"))
        cells = []
        for method in ("ptq", "tuned"):
            gain, loss = both_ways(run, candidate, run.outputs(candidate, of(candidate, path, method)), trained)
            # The upper bound of a small drop is widened for what so many clips cannot tell: each end from its own side.
            low, high = gain.low, -loss.low
            word = "a gain" if low > 0 else "a loss" if high < 0 else "no gain shown"
            cells.append(f"{gain.value:+.2f} [{low:+.2f}, {high:+.2f}], {word}")
        evidence = run.artifact(candidate, of(candidate, path, "qat")).evidence
        yield f"| {path} | {cells[0]} | {cells[1]} | {evidence}, n={gain.n} of {gain.clusters} speakers |"


def both_ways(
    run: Run, candidate: Candidate, before: dict[str, Logits], after: dict[str, Logits]
) -> tuple[Estimate, Estimate]:
    """Points that ``after`` decides right more often than ``before``, and less often."""
    clips, labels, background = run.clips(candidate), candidate.labels, candidate.background
    part = _overall(run, candidate)
    gain, loss = (
        accuracy.percent(compare(clips, labels, background, one, other).drop(part, CONFIDENCE, INTERVALS))
        for one, other in ((after, before), (before, after))
    )
    return gain, loss


def of(candidate: Candidate, path: str, method: str) -> Recipe:
    target, name, _ = PATHS[path]
    return candidate.recipe(f"{target}/{name}-{method}")


def _lost(run: Run, candidate: Candidate, recipe: Recipe) -> str:
    found = run.comparison(candidate, recipe)
    part = _overall(run, candidate)
    figures = [accuracy.percent(getattr(found, name)(part, CONFIDENCE, INTERVALS)) for name in ("drop", "flips")]
    figures.append(found.sqnr(part, CONFIDENCE, INTERVALS))
    digits = (2, 2, 1)
    cells = [f"{f.value:.{d}f} [{f.low:.{d}f}, {f.high:.{d}f}]" for f, d in zip(figures, digits, strict=True)]
    evidence = run.artifact(candidate, recipe).evidence
    return f"| {' | '.join(cells)} | {evidence}, n={figures[0].n} of {figures[0].clusters} speakers |"


def _overall(run: Run, candidate: Candidate) -> Slice:
    return run.margins(candidate)[0]


if __name__ == "__main__":
    main()
