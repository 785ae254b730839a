"""Command line and ini options, and what they come to."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import pytest

from harness import history
from harness.errors import ToolchainError
from harness.targets.registry import registry

MARK_WORDS = re.compile(r"[A-Za-z_][\w.]*")
ADDRESS = re.compile(r"(tcp|tls)://[^\s/]+:\d{1,5}")
LOGIC = {"and", "or", "not", "True", "False", "None"}
MOST_MINUTES = 120
SHARED_DATA = Path("..") / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Options:
    """What a person asked for. Folders are absolute; ``candidates`` is empty outside a house."""

    candidates: tuple[Path, ...]
    work: Path
    data: Path | None
    history: Path
    golden: Literal["check", "new", "update"]
    release: bool
    require_board: bool
    inconclusive: Literal["fail", "skip"]
    toolchains: Literal["auto", "never"]
    seed: int
    rounds: int
    lab: Path | None
    lab_needs: tuple[str, ...]
    sustain_s: float
    diagnose: float
    scheduler: str


def add(parser: pytest.Parser) -> None:
    group = parser.getgroup("voxgate", "may this quantized voice model ship?")
    group.addoption(
        "--candidates",
        action="append",
        default=[],
        metavar="DIR",
        help="folder of candidates (*/model.toml, or models/*/model.toml beside golden/ and corpora/); repeatable",
    )
    group.addoption("--work", metavar="DIR", help="folder for caches, records and reports (default: .voxgate)")
    group.addoption("--history", metavar="FILE", help="store of every run's figures (default: WORK/history.sqlite)")
    group.addoption("--data", metavar="DIR", help="folder of audio that corpora refer to but do not carry")
    group.addoption(
        "--golden",
        choices=("check", "new", "update"),
        default="check",
        help="check golden outputs (default), write missing ones, or rewrite the selected ones for review",
    )
    group.addoption(
        "--release",
        action="store_true",
        help="decide a release: --require-board, and every judged build MAY SHIP, whole, or the run fails",
    )
    group.addoption("--require-board", action="store_true", help="what only a board can tell is an error, not a skip")
    group.addoption(
        "--inconclusive",
        choices=("fail", "skip"),
        default="fail",
        help="whether a gate that needs more data fails (default) or is skipped with its reason",
    )
    group.addoption(
        "--toolchains",
        choices=("auto", "never"),
        default="auto",
        help="install a missing vendor toolchain when it is first needed (default), or never",
    )
    group.addoption("--bootstrap-seed", type=int, default=0, metavar="N", help="seed of the resampling (default: 0)")
    group.addoption(
        "--rounds", type=int, default=700, metavar="N", help="timed inferences a build (default: 700; p99 needs 662)"
    )
    group.addoption("--lab", metavar="FILE", help="lab.toml: boards to run on, in place of this machine and simulators")
    group.addoption(
        "--lab-needs", action="append", default=[], metavar="CAPABILITY", help="only boards that have it; repeatable"
    )
    group.addoption(
        "--sustain",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="time under a load of this length, and judge its last third (default: a burst)",
    )
    parser.addini("voxgate_lab", "as --lab", default="")
    group.addoption(
        "--diagnose",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="begin experiments on why a build fails its accuracy for so long (default: 120; 0: none)",
    )
    group.addoption(
        "--scheduler",
        metavar="ADDRESS",
        help="have the workers of a Dask scheduler (tcp://HOST:PORT) render, build, run and decode (docs/cluster.md)",
    )
    parser.addini("voxgate_scheduler", "as --scheduler", default="")
    parser.addini("voxgate_candidates", "as --candidates", type="paths", default=[])
    parser.addini("voxgate_work", "as --work", default="")
    parser.addini("voxgate_history", "as --history", default="")
    parser.addini("voxgate_data", "as --data", default="")


def read(config: pytest.Config) -> Options:
    """The options of this run. Raises UsageError where they contradict each other."""
    given = [Path(folder).absolute() for folder in config.getoption("--candidates")]
    golden = cast(Literal["check", "new", "update"], config.getoption("--golden"))
    if golden == "update":
        _may_update(config)
    release = config.getoption("--release")
    if release and (golden != "check" or config.getoption("--inconclusive") == "skip"):
        raise pytest.UsageError(
            "--release accepts neither new golden outputs nor open questions: drop the other option."
        )
    if config.getoption("--rounds") < 1:
        raise pytest.UsageError("--rounds must be at least 1.")
    if not 0 <= config.getoption("--sustain") <= MOST_MINUTES:
        raise pytest.UsageError(f"--sustain takes 0 to {MOST_MINUTES} minutes.")
    work = _folder(config, "--work", "voxgate_work") or config.invocation_params.dir / ".voxgate"
    return Options(
        candidates=tuple(given or config.getini("voxgate_candidates")),
        work=work,
        history=_folder(config, "--history", "voxgate_history") or work / history.NAME,
        data=_data(config),
        golden=golden,
        release=release,
        require_board=release or config.getoption("--require-board"),
        inconclusive=config.getoption("--inconclusive"),
        toolchains=config.getoption("--toolchains"),
        seed=config.getoption("--bootstrap-seed"),
        rounds=config.getoption("--rounds"),
        lab=_folder(config, "--lab", "voxgate_lab"),
        lab_needs=tuple(config.getoption("--lab-needs")),
        sustain_s=60 * config.getoption("--sustain"),
        diagnose=config.getoption("--diagnose"),
        scheduler=_scheduler(config),
    )


def add_markers(config: pytest.Config) -> None:
    try:
        targets = registry()
    except ToolchainError as error:  # another distribution's
        raise pytest.UsageError(str(error)) from error
    for name, target in targets.items():
        config.addinivalue_line("markers", f"{name}: {target.title}")
    config.addinivalue_line("markers", "xdist_group(name): tests of one board, run by one worker (pytest-xdist)")
    config.addinivalue_line("markers", "task(*names): judges the candidates of these tasks only (voxgate)")
    config.addinivalue_line("markers", "gate(name): one test for each slice with a limit for this gate (voxgate)")


def check_markers(config: pytest.Config) -> None:
    """An unknown word in -m would select nothing and look green: an error that names the nearest target."""
    known = {str(line).split(":")[0].split("(")[0].strip() for line in config.getini("markers")}
    for word in MARK_WORDS.findall(config.option.markexpr or ""):
        if word not in known | LOGIC:
            close = difflib.get_close_matches(word, list(registry()), n=1, cutoff=0.5)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise pytest.UsageError(
                f"-m {config.option.markexpr!r}: no target or marker is named {word!r}.{hint} "
                f"Targets: {', '.join(registry())}."
            )


def _may_update(config: pytest.Config) -> None:
    if os.environ.get("CI"):
        raise pytest.UsageError(
            "--golden=update refuses under CI: golden outputs are accepted by a person, in a commit. Run it locally."
        )
    if not (config.option.keyword or config.option.markexpr or config.getoption("--candidates")):
        raise pytest.UsageError(
            "--golden=update needs a selection, so that nothing is accepted by accident: add -k NAME, -m TARGET or "
            "--candidates DIR."
        )


def _scheduler(config: pytest.Config) -> str:
    address = str(config.getoption("--scheduler") or config.getini("voxgate_scheduler"))
    if address and not ADDRESS.fullmatch(address):
        raise pytest.UsageError(f"--scheduler {address!r:.80} is no address of a Dask scheduler: tcp://HOST:8786.")
    if address and getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("--scheduler has its own workers, and judges in one process: drop -n.")
    return address


def _folder(config: pytest.Config, option: str, ini: str) -> Path | None:
    given = config.getoption(option)
    if given:
        return Path(given).absolute()
    value = config.getini(ini)
    return (config.rootpath / value).absolute() if value else None


def _data(config: pytest.Config) -> Path | None:
    named = _folder(config, "--data", "voxgate_data")
    if named is None and os.environ.get("VOXGATE_DATA"):
        named = Path(os.environ["VOXGATE_DATA"]).absolute()
    if named is not None:
        return named
    beside = (config.rootpath / SHARED_DATA).resolve()
    return beside if beside.is_dir() else None
