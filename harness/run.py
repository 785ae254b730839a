"""One judging run: every stage at most once, each finished one on disk before the next begins.

pytest is a face of this class; `voxgate` commands and scripts use it just as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar, cast

import numpy as np

from harness import baseline as baselines
from harness import bench, fitting, streaming, together, windows
from harness.audio.clip import write_clip
from harness.audio.conditions import ARITHMETIC, CONDITIONS, Pcm, Renditions, render_corpus
from harness.audio.corpus import Clip, Corpus
from harness.audio.streams import Stream as Planned
from harness.baseline import Baseline
from harness.beside import Time
from harness.boards.lab import Lab
from harness.budgets import Floor
from harness.build import build
from harness.cache import Cache, digest, disk_error, write_whole
from harness.candidate import Candidate, Stream
from harness.energy import Energy
from harness.engine import Engine
from harness.errors import NotMeasured
from harness.golden import Golden
from harness.measure import EndToEnd, Latency, Ratio
from harness.pipeline import Couple, Pipeline
from harness.quantize.calibration import CalibrationSet, calibrate
from harness.quantize.coverage import Coverage, cover
from harness.recipe import FLOAT as FLOAT
from harness.recipe import Recipe
from harness.score import keyword
from harness.score.ctc import Decoder
from harness.score.drift import Pair
from harness.score.frontend import Parity
from harness.score.keyword import Comparison, Decisions
from harness.score.pipeline import Session
from harness.score.slices import Slice, cells, margins, matching
from harness.score.wakeword import Listening, Point
from harness.targets.base import Artifact, Board, Evidence, Features, Logits, Profile, Progress, Scores
from harness.targets.registry import registry
from harness.targets.state_scales import StateScale, state_scales
from harness.targets.told import DeviceMemory

Value = TypeVar("Value")

CALIBRATION_STEPS = 12  # of each clip that a streaming step is calibrated with: about a word
FLOAT_SUFFIX = "-float"  # of the name of a recipe's own float path


@dataclass(slots=True)
class Run:
    """What one run judges with. ``folder`` takes its records, ``cache`` what can be reused."""

    folder: Path
    cache: Cache
    data: Path | None = None
    seed: int = 0
    golden_mode: str = "check"
    rounds: int = 700
    lab: Lab | None = None  # boards to run on, in place of the targets' own
    sustain_s: float = 0.0  # of a load to time under; 0 for a burst
    toolchains: bool = True  # install a missing vendor toolchain when it is first needed
    say: Progress = lambda _: None
    engine: Engine = field(default_factory=Engine)  # who does what needs no board
    _memory: dict[Hashable, Any] = field(default_factory=dict)
    _locks: dict[Hashable, RLock] = field(default_factory=dict)

    def corpus(self, candidate: Candidate) -> Corpus:
        """The candidate's corpus, its audio checked, with labels mapped to the candidate's."""
        return self._once(("corpus", candidate.name), lambda: fitting.corpus(self, candidate))

    def clips(self, candidate: Candidate) -> tuple[Clip, ...]:
        return self.corpus(candidate).split("test").clips

    def conditions(self, candidate: Candidate) -> list[str]:
        return fitting.conditions(candidate)

    def ready(self, candidate: Candidate) -> None:
        """Raise what makes judging pointless: an unusable model, front end, or corpus."""
        self._once(("ready", candidate.name), lambda: fitting.check(self, candidate))

    def renditions(self, candidate: Candidate, condition: str) -> Renditions:
        corpus = self.corpus(candidate).split("test")
        samples = candidate.frontend.samples
        return self._once(
            ("audio", corpus.name, corpus.digest, samples, condition),
            lambda: render_corpus(corpus, CONDITIONS[condition], samples, self.cache, self.say, self.engine.render),
        )

    def features(self, candidate: Candidate, condition: str) -> Features:
        """``(n, frames, bins)`` of the test clips under one condition."""
        return self._once(("features", candidate.name, condition), lambda: windows.features(self, candidate, condition))

    def golden(self, candidate: Candidate) -> dict[str, Golden]:
        """Checked golden outputs by condition. Raises GoldenError when they cannot judge."""
        return self._once(("golden", candidate.name), lambda: windows.golden(self, candidate))

    def calibration(self, candidate: Candidate, recipe: Recipe) -> CalibrationSet:
        """The windows that set the recipe's ranges. Raises CandidateError, CorpusError."""
        wanted, sentences = recipe.calibration, candidate.grammar is not None
        front = candidate.frontend.lasting(CALIBRATION_STEPS) if candidate.states else candidate.frontend
        return self._once(
            ("calibration", candidate.name, wanted),
            lambda: calibrate(
                self.corpus(candidate),
                wanted,
                front,
                self.cache,
                self.say,
                sentences=sentences,
                by=self.engine.render,
            ),
        )

    def coverage(self, candidate: Candidate, recipe: Recipe) -> Coverage:
        """What the recipe's calibration holds of what the test clips hold."""
        names = fitting.conditions(candidate)
        return cover(
            self.calibration(candidate, recipe),
            self.clips(candidate),
            {name: self.features(candidate, name) for name in names},
            {name: self.renditions(candidate, name).levels_db for name in names},
        )

    def artifact(self, candidate: Candidate, recipe: Recipe) -> Artifact:
        return self._once(("artifact", candidate.name, recipe.id), lambda: self._build(candidate, recipe))

    def outputs(self, candidate: Candidate, recipe: Recipe) -> dict[str, Logits]:
        """Logits by condition of the built artifact on its board here."""
        return self._once(("outputs", candidate.name, recipe.id), lambda: windows.outputs(self, candidate, recipe))

    def parity(self, candidate: Candidate, recipe: Recipe) -> tuple[Logits, Logits]:
        """Logits of the float model and of the recipe's own float path on the first clean clips."""
        return self._once(("parity", candidate.name, recipe.id), lambda: windows.parity(self, candidate, recipe))

    def infer(self, candidate: Candidate, recipe: Recipe, features: Features) -> Logits:
        """Logits ``(n, labels)`` of any windows ``(n, frames, bins)`` by the built artifact."""
        return windows.infer(self, candidate, recipe, features)

    def decoder(self, candidate: Candidate) -> Decoder:
        """What makes text of a command candidate's outputs. Raises Unsupported for other tasks."""
        return self._once(("decoder", candidate.name), lambda: fitting.decoding(candidate))

    def choices(self, candidate: Candidate) -> tuple[str, ...]:
        """What a rendering can be decided as: labels, or the sentences of the grammar."""
        return candidate.grammar.sentences if candidate.grammar else candidate.labels

    def decided(self, candidate: Candidate, outputs: Logits) -> Decisions:
        """The place among :meth:`choices` that each row of outputs decides for."""
        if candidate.grammar is None:
            return keyword.decisions(outputs)
        decoding = self.decoder(candidate)
        return decoding.decided(decoding.scores(outputs))

    def comparison(self, candidate: Candidate, recipe: Recipe) -> Comparison:
        return self._once(("comparison", candidate.name, recipe.id), lambda: windows.compare(self, candidate, recipe))

    def stream(self, candidate: Candidate, wanted: Stream) -> Planned:
        """A stream of the candidate, planned. Raises Unsupported where its recordings are not here."""
        key = ("stream", candidate.name, wanted.name)
        return self._once(key, lambda: streaming.planned(self, candidate, wanted))

    def heard_stream(self, candidate: Candidate, wanted: Stream) -> tuple[str, Features]:
        """The key of a stream's features, and the features ``(steps, frames, bins)``."""
        key = ("heard", candidate.name, wanted.name)
        return self._once(key, lambda: streaming.features(self, candidate, self.stream(candidate, wanted), wanted.name))

    def scores(self, candidate: Candidate, recipe: Recipe, wanted: Stream) -> Scores:
        """What the build said, one score a step of the stream."""
        key = ("scores", candidate.name, recipe.id, wanted.name)
        return self._once(key, lambda: streaming.scores(self, candidate, recipe, wanted))

    def whole(self, candidate: Candidate, recipe: Recipe) -> Pair:
        """Float streaming beside the float model over the whole of a stream. Raises Unsupported."""
        return self._once(("whole", candidate.name, recipe.id), lambda: streaming.whole(self, candidate, recipe))

    def own_path(self, candidate: Candidate, recipe: Recipe) -> Pair:
        """Float streaming beside that of the recipe's own float path."""
        return self._once(("own path", candidate.name, recipe.id), lambda: streaming.own_path(self, candidate, recipe))

    def golden_scores(self, candidate: Candidate) -> streaming.Released:
        """Checked golden scores of a stream, and those of now. Raises GoldenError."""
        return self._once(("golden scores", candidate.name), lambda: streaming.golden(self, candidate))

    def listening(self, candidate: Candidate, recipe: Recipe, name: str) -> tuple[Listening, Point]:
        """What the build said of one stream, and its events at the candidate's threshold."""
        key = ("listening", candidate.name, recipe.id, name)
        return self._once(key, lambda: streaming.listening(self, candidate, recipe, name))

    def state_scales(self, candidate: Candidate, recipe: Recipe) -> list[StateScale]:
        """In what steps each state is written and read. Raises NotMeasured where the artifact does not tell."""
        return state_scales(self.artifact(candidate, recipe))

    def against(self, candidate: Candidate, recipe: Recipe) -> Pair:
        """Float streaming beside the build's, over the longest of its streams that is here."""
        return self._once(("against", candidate.name, recipe.id), lambda: streaming.against(self, candidate, recipe))

    def words(self, candidate: Candidate, heard: Listening) -> list[Slice]:
        """Margins of the words in a stream."""
        return streaming.parts(self, candidate, heard)

    def probe(self, candidate: Candidate, recipe: Recipe) -> streaming.Probe:
        """Whether the build forgets one stream before it hears another."""
        return self._once(("probe", candidate.name, recipe.id), lambda: streaming.probe(self, candidate, recipe))

    def timings(self, candidate: Candidate, recipe: Recipe) -> EndToEnd:
        """Front end, inference and decision of single windows on the board here. Raises NotMeasured."""
        return self._once(("timings", candidate.name, recipe.id), lambda: bench.timings(self, candidate, recipe))

    def inference(self, candidate: Candidate, recipe: Recipe) -> Latency:
        """Inference alone: by the device's own clock where it has one, else as timed here. Raises NotMeasured."""
        return self._once(("inference", candidate.name, recipe.id), lambda: bench.inference(self, candidate, recipe))

    def side_by_side(self, candidate: Candidate, recipe: Recipe) -> Ratio:
        """Inference times of the artifact and of the recipe's own float path, in turns. Raises NotMeasured."""
        return self._once(("ratio", candidate.name, recipe.id), lambda: bench.side_by_side(self, candidate, recipe))

    def size(self, candidate: Candidate, recipe: Recipe, part: str) -> int:
        """Bytes of ``file``, ``weights`` or ``activations`` as built, or of ``rss`` as measured. Raises NotMeasured."""
        if part == "rss":
            return self._once(("rss", candidate.name, recipe.id), lambda: bench.rss(self, candidate, recipe))
        size: int | None = getattr(self.artifact(candidate, recipe).sizes, part)
        if size is None:
            raise NotMeasured(
                f"{part} memory of {candidate.name} on {recipe.id}: its toolchain does not report it; needs a board."
            )
        return size

    def device_memory(self, candidate: Candidate, recipe: Recipe) -> DeviceMemory:
        """What the loaded artifact takes of the device's own memory. Raises NotMeasured."""
        return self._once(("device", candidate.name, recipe.id), lambda: bench.device_memory(self, candidate, recipe))

    def beside(self, candidate: Candidate, recipe: Recipe) -> tuple[Time, ...]:
        """The toolchain's own number, inference alone and end to end; what lacks says why."""
        return self._once(("beside", candidate.name, recipe.id), lambda: bench.beside(self, candidate, recipe))

    def profile(self, candidate: Candidate, recipe: Recipe) -> Profile:
        """Where the time of one inference goes on the board here. Raises NotMeasured."""
        return self._once(("profile", candidate.name, recipe.id), lambda: bench.profile(self, candidate, recipe))

    def frontend(self, candidate: Candidate, recipe: Recipe) -> tuple[Parity, Evidence, str]:
        """How far the features of host and board lie apart, with evidence and source. Raises NotMeasured."""
        return self._once(("frontend", candidate.name, recipe.id), lambda: bench.frontend(self, candidate, recipe))

    def pipeline_stream(self, pipeline: Pipeline) -> Planned:
        """What a pipeline hears, planned. Raises Unsupported where a corpus is not here."""
        return self._once(("pipeline", pipeline.name), lambda: together.planned(self, pipeline))

    def session(self, pipeline: Pipeline, pair: Couple) -> Session:
        """The pipeline's stream lived through by one build."""
        return self._once(("session", pipeline.name, pair.id), lambda: together.session(self, pipeline, pair))

    def responses(self, pipeline: Pipeline, pair: Couple) -> together.Responses:
        """Times from the end of speech to the result. Raises NotMeasured."""
        return self._once(("responses", pipeline.name, pair.id), lambda: together.responses(self, pipeline, pair))

    def memory(self, pipeline: Pipeline, pair: Couple) -> int:
        """Resident bytes of both models together. Raises NotMeasured."""
        return self._once(("memory", pipeline.name, pair.id), lambda: together.memory(self, pipeline, pair))

    def energy(self, candidate: Candidate, recipe: Recipe) -> Energy:
        """Millijoules of one inference on the board here, idle subtracted. Raises NotMeasured."""
        return self._once(("energy", candidate.name, recipe.id), lambda: bench.energy_of(self, candidate, recipe))

    def board(self, candidate: Candidate, recipe: Recipe) -> Board:
        """Where the build runs: the lab's board for it, else the target's own here."""
        found = self.lab.board(recipe.target, build_name(candidate, recipe)) if self.lab and recipe != FLOAT else None
        return found or registry()[recipe.target].board(recipe)

    def baseline(self, candidate: Candidate, recipe: Recipe) -> Baseline | None:
        """What was released before; None where nothing was accepted. Raises BaselineError for a damaged file."""
        key = ("baseline", candidate.name, recipe.id)
        return self._once(key, lambda: baselines.read(candidate.house, candidate.name, recipe.id))

    def heard(self, candidate: Candidate) -> dict[str, str]:
        """By condition what a build is played: the clips, their window, and how they are rendered.

        The same on every machine, unlike the last bits of the audio, whose drift is golden's to tell.
        """
        corpus, samples = self.corpus(candidate).split("test").digest, candidate.frontend.samples
        return {
            name: digest(corpus, samples, CONDITIONS[name].params, ARITHMETIC) for name in fitting.conditions(candidate)
        }

    def margins(self, candidate: Candidate) -> list[Slice]:
        groups = self.corpus(candidate).groups
        return margins(groups, candidate.head.unseen_accents, fitting.conditions(candidate))

    def cells(self, candidate: Candidate) -> list[Slice]:
        return cells(self.corpus(candidate).groups, fitting.conditions(candidate))

    def floors(self, candidate: Candidate, of: str) -> dict[str, tuple[Floor, Slice]]:
        """Floors on ``golden`` or ``artifact`` by their id, patterns of slices spelled out."""
        groups = self.corpus(candidate).groups
        return {
            f"{floor.metric}:{part.id}": (floor, part)
            for floor in candidate.floors
            if "both" in (floor.of, of) or floor.of == of
            for part in matching(floor.slice, groups, candidate.head.unseen_accents, fitting.conditions(candidate))
        }

    def write(self, name: str, value: Any) -> None:
        """One JSON record of a finished stage, below the run's folder."""
        path = self.folder / f"{name}.json"
        try:
            write_whole(path, json.dumps(value, indent=1, sort_keys=True).encode())
        except OSError as error:
            raise disk_error(error, path) from error

    def write_audio(self, name: str, audio: Pcm, sample_rate: int) -> None:
        """A rendering ``(samples,)`` as a file below the run's folder."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_clip(path, audio, sample_rate)
        except OSError as error:
            raise disk_error(error, path) from error

    def _once(self, key: Hashable, make: Callable[[], Value]) -> Value:
        # A failure is remembered too: hundreds of tests share one build, and each must say why at once.
        with self._locks.setdefault(key, RLock()):  # stages wait for those they rest on, never the other way round
            if key not in self._memory:
                try:
                    self._memory[key] = make()
                except Exception as error:
                    self._memory[key] = error
        found = self._memory[key]
        if isinstance(found, Exception):
            raise found.with_traceback(None)
        return cast(Value, found)

    def fresh(self, candidate: Candidate, condition: str) -> Golden:
        """What golden of one condition would be, by the model and the tools of now."""
        return windows.fresh(self, candidate, condition)

    def golden_changes(self, candidate: Candidate) -> list[str]:
        """What this run wrote to the golden store; empty in check mode."""
        path = self.folder / candidate.name / "golden-changes.json"
        return cast(list[str], json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []

    def provision(self, candidate: Candidate, target: str) -> None:
        """Install what the target needs for the candidate where it is missing and this run may."""
        if self.toolchains:
            self._once(("provision", target, candidate.name), lambda: registry()[target].provision(candidate, self.say))

    def _build(self, candidate: Candidate, recipe: Recipe) -> Artifact:
        self.ready(candidate)
        self.provision(candidate, recipe.target)
        calibration: Features = np.zeros((0, candidate.frontend.frames, candidate.frontend.bins), np.float32)
        if recipe.calibrated and not candidate.imported:
            chosen = self.calibration(candidate, recipe)
            calibration = chosen.features.reshape(-1, *calibration.shape[1:])
            self.write(f"{candidate.name}/{recipe.id}/calibration", chosen.record())
        artifact, _ = build(
            registry()[recipe.target], candidate, recipe, calibration, self.cache, self.say, self.engine.build
        )
        self.write(f"{candidate.name}/{recipe.id}/artifact", artifact.record())
        return artifact


def build_name(candidate: Candidate, recipe: Recipe) -> str:
    """What a lab chooses a board by: the same for a recipe and its float path, which is timed beside it."""
    return f"{candidate.name} {recipe.id.removesuffix(FLOAT_SUFFIX)}"
