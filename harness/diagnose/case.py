"""One build under diagnosis: whose it is, on which slice, against what, and how much time is left."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from harness import __version__
from harness.build import build
from harness.cache import digest
from harness.candidate import Candidate
from harness.diagnose import probe
from harness.diagnose.effect import Effect, Sample
from harness.diagnose.findings import Cause, Kind, Trial
from harness.diagnose.probe import Probe, Variant
from harness.errors import VoxgateError
from harness.recipe import Recipe
from harness.run import Run
from harness.score.slices import Slice
from harness.targets.base import Features, Job, LayerError, Logits
from harness.targets.registry import registry

MOST = 256  # renderings an experiment is judged on
ANALYSIS = "analysis.json"
EMULATED = 32  # windows for questions that an emulator answers window by window


@dataclass(slots=True)
class Case:
    """What every experiment of one diagnosis shares. ``sample`` is the slice, or an even part of it."""

    run: Run
    candidate: Candidate
    recipe: Recipe
    part: Slice
    sample: Sample
    tested: Logits  # of the build, on the sample
    calibration: Features  # that the build's ranges were set by
    deadline: float  # by time.monotonic()
    trials: list[Trial] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    reproduced: bool = True  # whether quantizing on this host does to the outputs what the target does

    @property
    def subject(self) -> str:
        return f"diagnosis of {self.candidate.name} {self.recipe.id}"

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def time_for(self, what: str) -> bool:
        """Whether there is time for it; what there is none for is told."""
        if self.left > 0:
            return True
        self.left_out.append(f"{what}: no time left")
        return False

    def effect(self, after: Logits, before: Logits | None = None) -> Effect:
        return self.sample.effect(self.tested if before is None else before, after)

    def tell(self, kind: Kind, name: str, effect: Effect | None, note: str = "") -> None:
        self.trials.append(Trial(kind, name, effect, note))
        self.run.say(f"{self.subject}: {name}: {effect.text if effect else note}")

    def sure(self) -> bool:
        """Whether a cause is found that explains the loss by itself."""
        return any(cause.sure for cause in self.causes)

    @property
    def litert(self) -> bool:
        return self.recipe.target == "host" and self.recipe.runtime == "litert"

    def here(self, recipe: Recipe) -> Recipe:
        """The recipe as this host's own quantizers can honour it."""
        if self.litert:
            return recipe
        algorithm = recipe.calibration.algorithm
        calibration = recipe.calibration.model_copy(
            update={"algorithm": algorithm if algorithm == "percentile" else "minmax"}
        )
        return recipe.model_copy(
            update={
                "runtime": "onnxruntime",
                "precision": "int8",
                "activation_bits": 8,
                "calibration": calibration,
            }
        )

    def probe(
        self,
        variants: Sequence[Variant],
        *,
        source: Path | None = None,
        windows: Features | None = None,
        taps: int = 0,
    ) -> Probe:
        """Variants quantized on this host from ``source``, else the float file that the recipe starts from.

        They run on ``windows``, else on those of the sample.
        """
        if source is None:
            source = self.candidate.tflite if self.litert and self.candidate.tflite else self.candidate.model
        fed = self.sample.windows if windows is None else windows
        return probe.run(source, fed, variants, self.run.cache, max(1.0, self.left), self.subject, taps)

    def analysed(self, windows: Features) -> dict[str, LayerError]:
        """What the target's own tool says of every tensor of the build as it is, kept in the cache."""
        target = registry()[self.recipe.target]
        windows = np.ascontiguousarray(windows)
        told = (self.calibration.shape, self.calibration.tobytes(), windows.shape, windows.tobytes())
        versions = (target.tools(self.recipe), target.settings())
        key = digest(__version__, self.recipe.model_dump(mode="json"), self.candidate.model, *versions, *told)

        def make(folder: Path) -> None:
            job = Job(self.candidate, self.recipe, self.calibration, self.candidate.model, folder, key, self.run.say)
            found = {name: asdict(error) for name, error in target.layer_errors(job, windows).items()}
            (folder / ANALYSIS).write_text(json.dumps(found), encoding="utf-8")

        path = self.run.cache.entry("analyses", key, make).path / ANALYSIS
        return {name: LayerError(**error) for name, error in json.loads(path.read_text(encoding="utf-8")).items()}

    def outputs(self, recipes: Sequence[tuple[Recipe, Features]]) -> list[Logits | None]:
        """Outputs by other recipes and calibrations: on this host where that tells, else by the target itself."""
        if self.reproduced:
            found = self.probe([Variant(self.here(recipe), windows) for recipe, windows in recipes])
            return [found.outputs.get(index) for index in range(len(recipes))]
        return [self._built(recipe, windows) for recipe, windows in recipes]

    def _built(self, recipe: Recipe, calibration: Features) -> Logits | None:
        if self.left <= 0:
            return None
        target = registry()[recipe.target]
        try:
            artifact, _ = build(target, self.candidate, recipe, calibration, self.run.cache, self.run.say)
            return np.asarray(target.board(recipe).run(artifact, self.sample.windows, self.run.say), np.float32)
        except VoxgateError as error:
            self.run.say(f"{self.subject}: {error}")
            return None
