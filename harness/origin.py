"""Where a run or a release came from: the commit of its house, and who was at the keyboard."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

JOB = ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT")  # the commit, as GitHub, GitLab and Jenkins name it
SECONDS = 10.0


def commit(folder: Path, variables: Mapping[str, str] = os.environ) -> str | None:
    """The commit a folder is at, with ``+changes`` where files differ from it; None outside a repository."""
    named = next((variables[name] for name in JOB if variables.get(name)), None)
    found = named or _git(folder, "rev-parse", "HEAD")
    if found is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{found}+changes" if changed else found


def person(folder: Path, variables: Mapping[str, str] = os.environ) -> str | None:
    """Who works here, as git knows them, else as the system does."""
    return _git(folder, "config", "user.name") or variables.get("USER") or None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None  # no git, or a repository that does not answer: the record stays without
    return done.stdout.strip() or None if done.returncode == 0 else None
