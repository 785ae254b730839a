"""The ``voxgate`` command: what is done beside judging."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import webbrowser
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

from harness import __version__, advice_command, lab_command, train_command
from harness.boards.virtual import command as virtual_lab
from harness.errors import Unsupported, VoxgateError
from harness.opened import ASK_DOCTOR, house_options, opened, say
from harness.terminal import print_table

OK, FAULT = 0, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; a fault a person can mend is one paragraph on stderr and exit status 2."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names are UTF-8, a terminal need not be
    try:
        options.call(options)
        sys.stdout.flush()
    except VoxgateError as error:
        print(f"voxgate: {error}", file=sys.stderr)
        return FAULT
    except BrokenPipeError:  # whoever read has enough, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("voxgate: interrupted; finished parts are kept", file=sys.stderr)
        return FAULT
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="voxgate", description="May this quantized voice model ship? Judging is pytest's; this does the rest."
    )
    parser.add_argument("--version", action="version", version=f"voxgate {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    # No character opens an option of its own: all that follows is pytest's.
    gate = commands.add_parser("gate", help="judge: pytest, with its options", prefix_chars="\0", add_help=False)
    gate.add_argument("arguments", nargs="*")
    gate.set_defaults(call=_gate)

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

    baseline = commands.add_parser("baseline", help="what was released before").add_subparsers(
        metavar="WHAT", required=True
    )
    accept = baseline.add_parser("accept", help="make the last run the baseline of its builds, for review and commit")
    accept.add_argument("candidate", type=Path, help="folder with a model.toml")
    accept.add_argument("--build", action="append", default=[], metavar="TARGET/RECIPE", help="this one; repeatable")
    accept.add_argument("--without-board", action="store_true", help="also a build whose board figures are open")
    accept.add_argument("--restart", action="store_true", help="measure slow drift from this release on")
    accept.set_defaults(call=_baseline_accept)
    for command in (plan, placement, accept):
        house_options(command)
    advice_command.add(commands)
    train_command.add(commands)

    history = commands.add_parser("history", help="what a candidate's figures did over its runs")
    history.add_argument("candidate", help="its name")
    history.add_argument("--work", type=Path, default=Path(".voxgate"), help="work folder (default: .voxgate)")
    history.add_argument("--history", type=Path, metavar="FILE", help="the store (default: WORK/history.sqlite)")
    history.add_argument("--runs", type=int, default=200, metavar="N", help="the last N (default: 200)")
    history.set_defaults(call=_history)

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
    lab = commands.add_parser("lab", help="boards").add_subparsers(metavar="WHAT", required=True)
    lab_command.add(lab)
    virtual_lab.add(lab)
    return parser


def _gate(options: argparse.Namespace) -> None:
    command = [sys.executable, "-m", "pytest", *options.arguments]
    os.execv(sys.executable, command)  # noqa: S606 the exit status is pytest's alone


def _report(options: argparse.Namespace) -> None:
    from harness.report.render import render

    page = render(options.work, print)
    if options.open and not webbrowser.open(page.as_uri()):
        print("no browser could be started here; open the page named above")


def _plan(options: argparse.Namespace) -> None:
    from harness.plan import plan
    from harness.report.summary import plan_table

    candidate, run = opened(options, "plan")
    count = len(run.conditions(candidate))
    entries = [
        entry
        for recipe in candidate.recipes
        for entry in plan(candidate, recipe, run.clips(candidate), run.margins(candidate), count)
    ]
    print(plan_table(entries))


def _baseline_accept(options: argparse.Namespace) -> None:
    from harness.errors import BaselineError
    from harness.report.accept import Asked, accept
    from harness.report.records import read

    if os.environ.get("CI"):
        raise BaselineError(
            "baseline accept refuses under CI: a release is accepted by a person, in a commit. Run it locally."
        )
    records = read(options.work)
    candidate, run = opened(options, "baseline")
    for line in accept(records, candidate, run, Asked(tuple(options.build), options.without_board, options.restart)):
        print(line)


def _history(options: argparse.Namespace) -> None:
    from harness.cache import disk_error
    from harness.history import NAME, History
    from harness.report import timeline

    found = timeline.points(History(options.history or options.work / NAME), options.candidate, options.runs)
    print_table(timeline.runs_table(found))
    print_table(timeline.figures_table(timeline.series(found)[1]))
    print("\n".join(timeline.findings(found)) or "nothing drifts toward its limit")
    name = re.sub(r"[^\w-]", "-", options.candidate)
    page = options.work / "history" / f"{name}.html"
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(timeline.page(options.candidate, found), encoding="utf-8")
    except OSError as error:
        raise disk_error(error, page) from error
    print(f"plots: {page}")


def _placement(options: argparse.Namespace) -> None:
    from harness.report import placement
    from harness.targets.registry import known_target

    candidate, run = opened(options, "placement")
    run.toolchains = options.toolchains == "auto"
    for name in options.target:
        known_target(name, "--target", ASK_DOCTOR)
    run.say = say
    builds = placement.place_all(run, candidate, options.target)
    if options.json:
        print(json.dumps(placement.as_json(candidate, builds), indent=1))
    else:
        print_table(placement.table(candidate, builds))
        print("\n".join(placement.conclusions(candidate, builds)))
    if not any(placed.artifact for placed in builds):
        raise Unsupported(f"no placement of {candidate.name} is known here. {ASK_DOCTOR}")


def _doctor(options: argparse.Namespace) -> None:
    from harness.report import doctor
    from harness.targets.registry import known_target, registry

    for name in options.target:
        known_target(name, "doctor", ASK_DOCTOR)
    names = options.target or list(registry())
    if options.json:
        print(json.dumps(doctor.as_json(registry(), names), indent=1))
    else:
        print_table(doctor.table(registry(), names))


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
