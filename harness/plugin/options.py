"""Command line and ini options, and what they come to."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import pytest

from harness.targets.registry import registry

MARK_WORDS = re.compile(r"[A-Za-z_][\w.]*")
LOGIC = {"and", "or", "not", "True", "False", "None"}
SHARED_DATA = Path("..") / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Options:
    """What a person asked for. Folders are absolute; ``candidates`` is empty outside a house."""

    candidates: tuple[Path, ...]
    work: Path
    data: Path | None
    golden: Literal["check", "new", "update"]
    require_board: bool
    inconclusive: Literal["fail", "skip"]
    toolchains: Literal["auto", "never"]
    seed: int
    rounds: int
    diagnose: float


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
    group.addoption("--data", metavar="DIR", help="folder of audio that corpora refer to but do not carry")
    group.addoption(
        "--golden",
        choices=("check", "new", "update"),
        default="check",
        help="check golden outputs (default), write missing ones, or rewrite the selected ones for review",
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
    group.addoption(
        "--diagnose",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="begin experiments on why a build fails its accuracy for so long (default: 120; 0: none)",
    )
    parser.addini("voxgate_candidates", "as --candidates", type="paths", default=[])
    parser.addini("voxgate_work", "as --work", default="")
    parser.addini("voxgate_data", "as --data", default="")


def read(config: pytest.Config) -> Options:
    """The options of this run. Raises UsageError where they contradict each other."""
    given = [Path(folder).absolute() for folder in config.getoption("--candidates")]
    golden = cast(Literal["check", "new", "update"], config.getoption("--golden"))
    if golden == "update":
        _may_update(config)
    if config.getoption("--rounds") < 1:
        raise pytest.UsageError("--rounds must be at least 1.")
    return Options(
        candidates=tuple(given or config.getini("voxgate_candidates")),
        work=_folder(config, "--work", "voxgate_work") or config.invocation_params.dir / ".voxgate",
        data=_data(config),
        golden=golden,
        require_board=config.getoption("--require-board"),
        inconclusive=config.getoption("--inconclusive"),
        toolchains=config.getoption("--toolchains"),
        seed=config.getoption("--bootstrap-seed"),
        rounds=config.getoption("--rounds"),
        diagnose=config.getoption("--diagnose"),
    )


def add_markers(config: pytest.Config) -> None:
    for name, target in registry().items():
        config.addinivalue_line("markers", f"{name}: {target.title}")
    config.addinivalue_line("markers", "xdist_group(name): tests of one board, run by one worker (pytest-xdist)")
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
