"""The ``voxgate`` command: what is done beside judging."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

from harness import __version__
from harness.errors import VoxgateError

OK, FAULT = 0, 2


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
    plan.add_argument("--house", type=Path, help="folder with corpora/ and golden/ (default: found from the candidate)")
    plan.add_argument("--data", type=Path, help="folder of audio that corpora refer to but do not carry")
    plan.add_argument("--work", type=Path, default=Path(".voxgate"))
    plan.set_defaults(call=_plan)

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
    from harness.cache import Cache
    from harness.candidate import load
    from harness.plan import plan
    from harness.report.summary import plan_table
    from harness.run import Run

    folder = options.candidate.resolve()
    candidate = load(folder, options.house or _house(folder))
    run = Run(folder=options.work / "plan", cache=Cache(options.work / "cache"), data=options.data)
    run.ready(candidate)
    count = len(run.conditions(candidate))
    entries = [
        entry
        for recipe in candidate.recipes
        for entry in plan(candidate, recipe, run.clips(candidate), run.margins(candidate), count)
    ]
    print(plan_table(entries))


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
