"""``voxgate sweep``, ``diagnose`` and ``calibrate``: which recipe to ship, and why one fails."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import CandidateError, ToolchainError, Unsupported
from harness.opened import ASK_DOCTOR, house_options, opened, say
from harness.terminal import print_table

if TYPE_CHECKING:
    from harness.candidate import Candidate
    from harness.recipe import Recipe


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sweep = commands.add_parser("sweep", help="judge every sensible recipe on every target here, and recommend one")
    sweep.add_argument("candidate", type=Path, help="folder with a model.toml")
    sweep.add_argument("--target", action="append", default=[], metavar="NAME", help="this one only; repeatable")
    sweep.add_argument("--toolchains", choices=("auto", "never"), default="never", help="install missing ones?")
    sweep.add_argument("--rounds", type=int, default=700, help="timed inferences of each build (default: 700)")
    sweep.add_argument("--seed", type=int, default=0, help="of the intervals (default: 0)")
    sweep.set_defaults(call=_sweep)

    diagnose = commands.add_parser("diagnose", help="why a build loses accuracy: experiments, causes, fixes to try")
    diagnose.add_argument("candidate", type=Path, help="folder with a model.toml")
    diagnose.add_argument("--recipe", action="append", default=[], metavar="TARGET/NAME", help="this one; repeatable")
    diagnose.add_argument("--slice", metavar="ID", help="as accent=ja (default: the worst that fails, or overall)")
    diagnose.add_argument("--seconds", type=float, default=300.0, help="begin no experiment after that (default: 300)")
    diagnose.add_argument("--json", action="store_true", help="for machines")
    diagnose.add_argument("--toolchains", choices=("auto", "never"), default="never", help="install missing ones?")
    diagnose.set_defaults(call=_diagnose)

    calibrate = commands.add_parser("calibrate", help="what a recipe's calibration holds of what the test holds")
    calibrate.add_argument("candidate", type=Path, help="folder with a model.toml")
    calibrate.add_argument("--recipe", action="append", default=[], metavar="TARGET/NAME", help="this one; repeatable")
    calibrate.add_argument("--json", action="store_true", help="for machines")
    calibrate.set_defaults(call=_calibrate)
    for command in (sweep, diagnose, calibrate):
        house_options(command)


def _sweep(options: argparse.Namespace) -> None:
    from harness.cache import disk_error
    from harness.sweep.pareto import plot
    from harness.sweep.recommend import as_toml
    from harness.sweep.sweep import RECORD, sweep
    from harness.sweep.table import table, words
    from harness.targets.registry import known_target

    for name in options.target:
        known_target(name, "--target", ASK_DOCTOR)
    candidate, run = opened(options, "sweep")
    run.toolchains, run.rounds, run.seed = options.toolchains == "auto", options.rounds, options.seed
    run.say = say
    found = sweep(run, candidate, list(dict.fromkeys(options.target)))
    folder = run.folder / candidate.name
    try:
        (folder / "pareto.png").write_bytes(plot(found.points, f"{candidate.name}: recipes"))
        (folder / "recommended.toml").write_text(as_toml(candidate.name, found.choices), encoding="utf-8")
    except OSError as error:
        raise disk_error(error, folder) from error
    print_table(table(found))
    print("\n".join(words(found)))
    print(f"{found.seconds:.0f} s; all figures: {folder / f'{RECORD}.json'}, plot: {folder / 'pareto.png'}")
    print(f"review, then paste into model.toml: {folder / 'recommended.toml'}")


def _diagnose(options: argparse.Namespace) -> None:
    from harness.diagnose import diagnose
    from harness.report import diagnosis

    candidate, run = opened(options, "diagnose")
    run.toolchains = options.toolchains == "auto"
    run.say = say
    told = []
    for recipe in _recipes(candidate, options.recipe):
        try:
            told.append(diagnose(run, candidate, recipe, slice_id=options.slice, seconds=options.seconds))
        except (ToolchainError, Unsupported) as lack:
            if options.recipe:
                raise
            run.say(f"no diagnosis of {recipe.id}: {lack}")
    if not told:
        raise Unsupported(f"no build of {candidate.name} can be diagnosed here. {ASK_DOCTOR}")
    if options.json:
        print(json.dumps([each.as_json() for each in told], indent=1))
        return
    for each in told:
        for table in diagnosis.tables(each):
            print_table(table)
            print()
        print("\n".join(diagnosis.rest(each)))


def _calibrate(options: argparse.Namespace) -> None:
    from harness.report import diagnosis

    candidate, run = opened(options, "calibrate")
    found: dict[str, list[Recipe]] = {}
    for recipe in _recipes(candidate, options.recipe):
        if recipe.calibrated:  # recipes that share a calibration share its table
            key = recipe.calibration.model_copy(update={"algorithm": "minmax"})
            found.setdefault(key.model_dump_json(), []).append(recipe)
    if not found:
        raise CandidateError(f"{candidate.name} has no int8 recipe among those asked for: nothing is calibrated.")
    told = []
    for recipes in found.values():
        coverage, chosen = run.coverage(candidate, recipes[0]), run.calibration(candidate, recipes[0])
        warnings = [*chosen.warnings, *coverage.doubts]
        names = [recipe.id for recipe in recipes]
        told.append({"recipes": names, **coverage.as_json(), "clips": len(chosen.clips), "warnings": warnings})
        if not options.json:
            print(
                f"{candidate.name}, {', '.join(names)}: {len(chosen.clips)} clips, seed {recipes[0].calibration.seed}"
            )
            print_table(diagnosis.coverage_table(coverage))
            print("\n".join((*diagnosis.absent(coverage), *(f"warning: {each}" for each in warnings))))
    if options.json:
        print(json.dumps(told, indent=1))


def _recipes(candidate: Candidate, wanted: Sequence[str]) -> list[Recipe]:
    """The recipes named, or all. Raises CandidateError with the nearest name."""
    return [candidate.recipe(name) for name in wanted] if wanted else list(candidate.recipes)
