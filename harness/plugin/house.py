"""The session's candidates, its Run, and the rows judged so far."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import __version__
from harness.boards.lab import Lab
from harness.boards.lab import load as load_lab
from harness.cache import Cache, disk_error
from harness.candidate import Candidate, find_candidates
from harness.errors import Unsupported, VoxgateError
from harness.gates.base import Build
from harness.gates.judged import Judged
from harness.history import History
from harness.pipeline import Pipeline, find_pipelines
from harness.plan import Decidable, plan
from harness.plugin.options import Options
from harness.recipe import Recipe
from harness.row import Row
from harness.run import Run
from harness.score.slices import Slice

if TYPE_CHECKING:
    from harness.diagnose import Diagnosis

HOUSE: pytest.StashKey[House] = pytest.StashKey()
LATEST = "latest"


@dataclass
class House:
    """What every hook and fixture of one pytest session shares."""

    options: Options
    say: Callable[[str], None]
    folder: Path
    rows: list[Row] = field(default_factory=list)
    _judged: dict[tuple[str, str], Judged] = field(default_factory=dict)
    _diagnoses: dict[tuple[str, str], Diagnosis | None] = field(default_factory=dict)
    fault: VoxgateError | None = None  # met while collecting; stops the session before it judges
    lost: str = ""  # why records of this run could not be written
    withheld: list[str] = field(default_factory=list)  # builds that --release does not release, and why
    drift: list[str] = field(default_factory=list)  # what moves toward its limit over many runs
    _begun: bool = False

    @cached_property
    def candidates(self) -> dict[str, Candidate]:
        return {candidate.name: candidate for candidate in find_candidates(self.options.candidates)}

    @cached_property
    def pipelines(self) -> dict[str, Pipeline]:
        return {pipeline.name: pipeline for pipeline in find_pipelines(self.options.candidates, self.candidates)}

    @cached_property
    def lab(self) -> Lab | None:
        """The boards of ``--lab``. Raises InfraError where its file is unusable."""
        return load_lab(self.options.lab, self.options.lab_needs, self.say) if self.options.lab else None

    @cached_property
    def run(self) -> Run:
        return Run(
            folder=self.folder,
            cache=Cache(self.options.work / "cache"),
            data=self.options.data,
            seed=self.options.seed,
            golden_mode=self.options.golden,
            rounds=self.options.rounds,
            lab=self.lab,
            sustain_s=self.options.sustain_s,
            toolchains=self.options.toolchains == "auto",
            say=self.say,
        )

    def close(self) -> None:
        """Whoever did stages is asked for no more."""
        if "run" in self.__dict__:
            self.run.engine.close()

    @cached_property
    def history(self) -> History:
        return History(self.options.history)

    def remember(self, command: str, rows: list[Row]) -> None:
        """Add rows to the history, the first of them as a run that has begun. Raises InfraError."""
        if not self._begun:
            self.history.begin(self.folder.name, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", command, __version__)
            self._begun = True
        self.history.add(self.folder.name, rows)

    def judged(self, build: Build) -> Judged:
        """The accuracy gates of a build, its outputs at hand."""
        key = (build.candidate.name, build.recipe.id)
        if key not in self._judged:
            judged = Judged(build, self.run)
            judged.keep()  # runs the artifact: a failure belongs to the fixture, not to a gate
            self._judged[key] = judged
        return self._judged[key]

    def diagnosis(self, candidate: str, build: str, part: str) -> Diagnosis | None:
        """Why the build fails, asked at its first failing slice and told at all; None where it cannot be told."""
        if (candidate, build) not in self._diagnoses:
            self._diagnoses[candidate, build] = self._diagnose(candidate, build, part)
        return self._diagnoses[candidate, build]

    def _diagnose(self, candidate: str, build: str, part: str) -> Diagnosis | None:
        from harness.diagnose import diagnose  # lazily: a run in which nothing fails spends no time on it

        found = self.candidates[candidate]
        seconds = self.options.diagnose
        self.say(
            f"{candidate} on {build} fails: looking for the cause (at most about {seconds:g} s; --diagnose=0: never)"
        )
        try:
            return diagnose(self.run, found, found.recipe(build), slice_id=part, failed=True, seconds=seconds)
        except VoxgateError as error:
            self.say(f"no diagnosis of {candidate} on {build}: {error}")
            return None

    def slices(self, candidate: Candidate) -> list[Slice] | Unsupported:
        """Margins of the candidate's corpus, or why its corpus is not here."""
        try:
            return self.run.margins(candidate)
        except Unsupported as lack:
            return lack

    def has_cells(self, candidate: Candidate) -> bool:
        """Whether its corpus has several accents and conditions; True where the corpus is not here to tell."""
        try:
            return bool(self.run.cells(candidate))
        except Unsupported:
            return True

    def plan(self, candidate: Candidate, recipe: Recipe) -> list[Decidable]:
        run = self.run
        return plan(candidate, recipe, run.clips(candidate), run.margins(candidate), len(run.conditions(candidate)))


def new_folder(work: Path) -> Path:
    """A fresh folder for this run's records."""
    # Not named by its process: containers that share a history all number theirs from 1.
    folder = work / "runs" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise disk_error(error, folder) from error
    return folder


def make_latest(folder: Path) -> None:
    """Point ``runs/latest`` to a run that judges; one that merely lists tests is not worth a report."""
    link = folder.with_name(f".{LATEST}-{secrets.token_hex(4)}")  # containers number their processes alike
    link.symlink_to(folder.name, target_is_directory=True)
    link.replace(folder.with_name(LATEST))
