"""The commit a house is at, and who works there; nothing where nobody knows."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.origin import commit, person


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for arguments in (
        ["init", "-q"],
        ["config", "user.name", "A Person"],
        ["config", "user.email", "a@example.org"],
        ["commit", "-q", "--allow-empty", "-m", "first"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    return tmp_path


def test_the_commit_of_a_clean_repository(repository: Path) -> None:
    head = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    assert commit(repository, {}) == head.stdout.strip()
    assert person(repository, {"USER": "someone"}) == "A Person"


def test_changes_are_told(repository: Path) -> None:
    (repository / "model.toml").write_text("1")
    subprocess.run(["git", "-C", str(repository), "add", "."], check=True)
    found = commit(repository, {})
    assert found is not None
    assert found.endswith("+changes")


@pytest.mark.parametrize("name", ["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT"])
def test_ci_names_the_commit(tmp_path: Path, name: str) -> None:
    assert commit(tmp_path, {name: "c0ffee"}) == "c0ffee"


def test_outside_a_repository_nothing_is_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit(tmp_path, {}) is None
    monkeypatch.setenv("PATH", "")
    assert commit(tmp_path, {}) is None
    assert person(tmp_path, {}) is None
    assert person(tmp_path, {"USER": "someone"}) == "someone"
