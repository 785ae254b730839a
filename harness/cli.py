"""The ``voxgate`` command: what is done beside judging."""

from __future__ import annotations

import argparse
import json
import sys
import webbrowser
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from harness import __version__
from harness.errors import CandidateError, ToolchainError, Unsupported, VoxgateError

if TYPE_CHECKING:
    from rich.table import Table

    from harness.candidate import Candidate, Recipe
    from harness.run import Run

OK, FAULT = 0, 2
ASK_DOCTOR = "Run: voxgate doctor"
MOST_COLUMNS = 100_000  # of a table in a pipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; a fault a person can mend is one paragraph on stderr and exit status 2."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names are UTF-8, a terminal need not be
    try:
        options.call(options)
    except VoxgateError as error:
        print(f"voxgate: {error}", file=sys.stderr)
        return FAULT
    except KeyboardInterrupt:
        print("voxgate: interrupted; finished parts are kept", file=sys.stderr)
        return FAULT
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="voxgate", description="May this quantized voice model ship? To judge, run pytest; this does the rest."
    )
    parser.add_argument("--version", action="version", version=f"voxgate {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    report = commands.add_parser("report", help="render the report of the last run, and say where it is")
    report.add_argument("--work", type=Path, default=Path(".voxgate"), help="the run's work folder (default: .voxgate)")
    report.add_argument("--open", action="store_true", help="and open it in the browser")
    report.set_defaults(call=_report)

    plan = commands.add_parser("plan", help="which budgets of a candidate its corpus can decide at all")
    plan.add_argument("candidate", type=Path, help="folder with a model.toml")
    plan.set_defaults(call=_plan)

    placement = commands.add_parser("placement", help="where every node of a candidate runs, on every target")
    placement.add_argument("candidate", type=Path, help="folder with a model.toml")
    placement.add_argument("--target", action="append", default=[], metavar="NAME", help="this one only; repeatable")
    placement.add_argument("--json", action="store_true", help="for machines")
    placement.add_argument("--toolchains", choices=("auto", "never"), default="never", help="install missing ones?")
    placement.set_defaults(call=_placement)

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
    for command in (plan, placement, diagnose, calibrate):
        command.add_argument("--house", type=Path, help="folder with corpora/ and golden/ (found from the candidate)")
        command.add_argument("--data", type=Path, help="folder of audio that corpora refer to but do not carry")
        command.add_argument("--work", type=Path, default=Path(".voxgate"), help="work folder (default: .voxgate)")

    doctor = commands.add_parser("doctor", help="what this machine can do for each target, and what mends the rest")
    doctor.add_argument("target", nargs="*", help="these only")
    doctor.add_argument("--json", action="store_true", help="for machines")
    doctor.set_defaults(call=_doctor)

    corpus = commands.add_parser("corpus", help="make speech").add_subparsers(metavar="WHAT", required=True)
    build = corpus.add_parser("build", help="synthesize a corpus anew; the same bytes on every run")
    build.add_argument("name", help="commands, or training")
    build.add_argument("--out", type=Path, required=True, help="an empty folder for manifest and clips")
    build.set_defaults(call=_corpus_build)

    toolchain = commands.add_parser("toolchain", help="vendor toolchains").add_subparsers(metavar="WHAT", required=True)
    install = toolchain.add_parser("install", help="install one into an environment of its own")
    install.add_argument("name", help="the target it builds for, as rk3588")
    install.set_defaults(call=_toolchain_install)
    toolchain.add_parser("list", help="what there is and what is installed").set_defaults(call=_toolchain_list)
    return parser


def _report(options: argparse.Namespace) -> None:
    from harness.report.render import render

    page = render(options.work, print)
    if options.open and not webbrowser.open(page.as_uri()):
        print("no browser could be started here; open the page named above")


def _plan(options: argparse.Namespace) -> None:
    from harness.plan import plan
    from harness.report.summary import plan_table

    candidate, run = _opened(options, "plan")
    count = len(run.conditions(candidate))
    entries = [
        entry
        for recipe in candidate.recipes
        for entry in plan(candidate, recipe, run.clips(candidate), run.margins(candidate), count)
    ]
    print(plan_table(entries))


def _placement(options: argparse.Namespace) -> None:
    from harness.report import placement
    from harness.targets.registry import known_target

    candidate, run = _opened(options, "placement")
    run.toolchains = options.toolchains == "auto"
    for name in options.target:
        known_target(name, "--target", ASK_DOCTOR)
    run.say = lambda text: print(f"voxgate: {text}", file=sys.stderr)
    builds = placement.place_all(run, candidate, options.target)
    if options.json:
        print(json.dumps(placement.as_json(candidate, builds), indent=1))
    else:
        _print(placement.table(candidate, builds))
        print("\n".join(placement.conclusions(candidate, builds)))
    if not any(placed.artifact for placed in builds):
        raise Unsupported(f"no placement of {candidate.name} is known here. {ASK_DOCTOR}")


def _diagnose(options: argparse.Namespace) -> None:
    from harness.diagnose import diagnose
    from harness.report import diagnosis

    candidate, run = _opened(options, "diagnose")
    run.toolchains = options.toolchains == "auto"
    run.say = lambda text: print(f"voxgate: {text}", file=sys.stderr)
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
            _print(table)
            print()
        print("\n".join(diagnosis.rest(each)))


def _calibrate(options: argparse.Namespace) -> None:
    from harness.report import diagnosis

    candidate, run = _opened(options, "calibrate")
    found: dict[str, list[Recipe]] = {}
    for recipe in _recipes(candidate, options.recipe):
        if recipe.precision == "int8":  # recipes that share a calibration share its table
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
            _print(diagnosis.coverage_table(coverage))
            print("\n".join((*diagnosis.absent(coverage), *(f"warning: {each}" for each in warnings))))
    if options.json:
        print(json.dumps(told, indent=1))


def _recipes(candidate: Candidate, wanted: Sequence[str]) -> list[Recipe]:
    """The recipes named, or all. Raises CandidateError with the nearest name."""
    return [candidate.recipe(name) for name in wanted] if wanted else list(candidate.recipes)


def _doctor(options: argparse.Namespace) -> None:
    from harness.report import doctor
    from harness.targets.registry import known_target, registry

    for name in options.target:
        known_target(name, "doctor", ASK_DOCTOR)
    names = options.target or list(registry())
    if options.json:
        print(json.dumps(doctor.as_json(registry(), names), indent=1))
    else:
        _print(doctor.table(registry(), names))


def _opened(options: argparse.Namespace, stage: str) -> tuple[Candidate, Run]:
    """The candidate of a folder, checked, and a run of its own below the work folder."""
    from harness.cache import Cache
    from harness.candidate import load
    from harness.run import Run

    folder = options.candidate.resolve()
    candidate = load(folder, options.house or _house(folder))
    work = options.work.absolute()  # builds run elsewhere, in folders of their own
    run = Run(folder=work / stage, cache=Cache(work / "cache"), data=options.data)
    run.ready(candidate)
    return candidate, run


def _print(table: Table) -> None:
    """A table folded at the terminal's width; a pipe has none, so there every row is one line."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=MOST_COLUMNS)
    with console.capture() as printed:
        console.print(table)
    print("\n".join(line.rstrip() for line in printed.get().splitlines()))


def _house(folder: Path) -> Path:
    return folder.parent.parent if folder.parent.name == "models" else folder.parent


def _corpus_build(options: argparse.Namespace) -> None:
    from harness.audio.synth.build import build_corpus

    print(build_corpus(options.name, options.out, progress=print))


def _toolchain_install(options: argparse.Namespace) -> None:
    from harness.targets.toolchain import install

    install(options.name, print)


def _toolchain_list(options: argparse.Namespace) -> None:
    from harness.targets.toolchain import installed, names

    for name in names():
        found = installed(name)
        print(f"{name}: {found.folder if found else f'not installed; run: voxgate toolchain install {name}'}")
