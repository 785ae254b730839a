"""The CI files that docs offer call commands that exist, and let nothing but pytest decide."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from harness import cli
from harness.plugin import options

FOLDER = Path(__file__).parents[1] / "docs" / "ci"
FILES = sorted(FOLDER.glob("*.yml"))
CHECKOUT = FOLDER.parents[1]


def calls(file: Path, program: str) -> list[list[str]]:
    found = re.findall(rf"\.venv/bin/{program} (.*)", file.read_text(encoding="utf-8"))
    return [shlex.split(call) for call in found]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_command_is_known(file: Path) -> None:
    commands = calls(file, "voxgate")
    assert commands
    for command in commands:
        assert cli._parser().parse_args(command).call


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_option_of_the_gate_is_known(file: Path) -> None:
    (gate,) = calls(file, "pytest")
    parser = pytest.Parser(_ispytest=True)
    options.add(parser)
    known = {name for group in parser._groups for option in group.options for name in option.names()}
    named = {word.partition("=")[0] for word in gate if word.startswith("--")}
    assert "--release" in named
    assert named <= known


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nothing_forgives_the_gate(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"continue-on-error|allow_failure|\|\| *true|quality-gate", text)
    assert all((CHECKOUT / name).is_file() for name in re.findall(r"-r (requirements/\S+)", text))


def test_there_are_both() -> None:
    assert [file.stem for file in FILES] == ["github-actions", "gitlab-ci"]
