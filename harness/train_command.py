"""``voxgate train``: fine-tune a candidate by its own Python, as its int8 will compute and as long in float."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.errors import Unsupported
from harness.opened import house_options, opened, say


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = commands.add_parser("train", help="train a candidate for int8 (QAT), and as long in float: docs/qat.md")
    train.add_argument("candidate", type=Path, help="folder with a model.toml")
    train.add_argument("--speech", type=Path, required=True, metavar="DIR", help="its training data")
    train.add_argument("--recipe", action="append", default=[], metavar="TARGET/NAME", help="for this one; repeatable")
    train.add_argument(
        "--run-code", action="store_true", help="yes, run the candidate's own Python, with your rights on this machine"
    )
    train.add_argument("--toolchains", choices=("auto", "never"), default="never", help="install the missing one?")
    train.set_defaults(call=_train)
    house_options(train)


def _train(options: argparse.Namespace) -> None:
    from harness.quantize import trained
    from harness.targets import toolchain
    from harness.train import TOOLCHAIN, UNDECLARED, code_of, recipes, train

    candidate, run = opened(options, "train")
    _, code = code_of(candidate)
    asked = recipes(candidate, tuple(options.recipe))
    if not options.run_code:
        raise Unsupported(
            f"{candidate.name}: training runs {code} and what it imports, the candidate's own Python, with your rights "
            "on this machine. Read it; where you trust it, run this again with --run-code."
        )
    if options.toolchains == "auto":
        toolchain.install(TOOLCHAIN, say)
    for recipe in asked:
        found = train(candidate, recipe, options.speech, run.folder, say)
        place = trained.place(candidate, recipe)
        for kind, losses in found.losses.items():
            print(f"{kind}: loss by epoch {', '.join(f'{loss:.4f}' for loss in losses)}")
        kept = ", ".join(f"{name} {decibels:g} dB" for name, decibels in found.agreement.items())
        print(f"exported, against the trained network: {kept}")
        print(f"trained for {trained.scheme(recipe)} int8, seed {found.seed}, {found.epochs} epochs: {place}")
    if asked == [UNDECLARED]:
        print(f'no recipe of {candidate.name} uses it yet: add one with method = "qat" or "tuned" to its model.toml')
