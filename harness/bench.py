"""What a build's board is asked for its figures: times, memory, shares of time, energy; each on disk at once."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import beside as besides
from harness import energy
from harness.audio import probe
from harness.beside import Time
from harness.candidate import Candidate
from harness.energy import Energy
from harness.errors import InfraError
from harness.measure import EndToEnd, Latency, Ratio, environment, latencies, ratio, steady
from harness.recipe import Recipe
from harness.score.frontend import Parity, compare
from harness.targets.base import Board, Evidence, Profile
from harness.targets.registry import registry
from harness.targets.told import DeviceMemory

if TYPE_CHECKING:
    from harness.run import Run

TIMED_CLIPS = 64


def timings(run: Run, candidate: Candidate, recipe: Recipe) -> EndToEnd:
    """Front end, inference and decision of single windows. Raises NotMeasured where the board is none to time."""
    artifact, board = run.artifact(candidate, recipe), run.board(candidate, recipe)
    lasting = f", {run.sustain_s:g} s long" if run.sustain_s else ""
    run.say(f"timing {candidate.name} {recipe.id} on {board.name}: {run.rounds} rounds{lasting}")
    audio = np.array(run.renditions(candidate, run.conditions(candidate)[0]).audio[:TIMED_CLIPS])
    taken = board.time(artifact, candidate.frontend, audio, run.rounds, run.sustain_s)
    found = latencies(taken)
    parts = {name: getattr(found, name).samples_ms.tolist() for name in ("total", "front", "inference", "decision")}
    _write_timings(run, candidate, recipe, "timings", board, taken.throttled, taken.vitals, parts)
    return found


def inference(run: Run, candidate: Candidate, recipe: Recipe) -> Latency:
    """Inference alone: by the device's own clock where it has one, else as timed here. Raises NotMeasured."""
    board = run.board(candidate, recipe)
    windows = run.features(candidate, run.conditions(candidate)[0])[:TIMED_CLIPS]
    found = board.times(run.artifact(candidate, recipe), windows, run.rounds)
    if found is None:
        return run.timings(candidate, recipe).inference
    told = {"ms": {"inference": found.samples_ms.tolist()}, "clock": board.name, "note": found.note}
    run.write(f"{candidate.name}/{recipe.id}/timings", told)
    return Latency(found.samples_ms, 0, steady(found.samples_ms), found.note)


def beside(run: Run, candidate: Candidate, recipe: Recipe) -> tuple[Time, ...]:
    """The toolchain's own number, inference alone and end to end."""
    run.say(f"{candidate.name} {recipe.id}: the toolchain's own number, where it has one")
    found = besides.measure(run, candidate, recipe)
    run.write(f"{candidate.name}/{recipe.id}/beside", besides.as_json(found))
    return found


def side_by_side(run: Run, candidate: Candidate, recipe: Recipe) -> Ratio:
    """Inference of the artifact and of its own float path, in turns. Raises NotMeasured."""
    own, board = registry()[recipe.target].float_recipe(recipe), run.board(candidate, recipe)
    quantized, plain = run.artifact(candidate, recipe), run.artifact(candidate, own)
    run.say(f"timing {candidate.name} {recipe.id} against {own.id} on {board.name}: {run.rounds} rounds")
    windows = run.features(candidate, run.conditions(candidate)[0])[:TIMED_CLIPS]
    taken = board.time_in_turns(quantized, plain, windows, run.rounds)
    parts = {name: column.tolist() for name, column in zip(("own", "float"), taken.samples_ms.T, strict=True)}
    _write_timings(run, candidate, recipe, "turns", board, taken.throttled, taken.vitals, parts)
    return ratio(taken, candidate.budgets(recipe).confidence)


def _write_timings(
    run: Run,
    candidate: Candidate,
    recipe: Recipe,
    name: str,
    board: Board,
    throttled: str,
    vitals: dict[str, Any],
    parts: dict[str, list[float]],
) -> None:
    about = {"name": board.name, "evidence": board.evidence.value, "identity": board.identity()}
    about |= {"throttled": throttled, "vitals": vitals}
    record = {"ms": parts, "board": about, "environment": environment() | board.vitals()}
    run.write(f"{candidate.name}/{recipe.id}/{name}", record)


def rss(run: Run, candidate: Candidate, recipe: Recipe) -> int:
    """Bytes of resident memory that the artifact needs. Raises NotMeasured."""
    window = np.zeros((candidate.frontend.frames, candidate.frontend.bins), np.float32)
    return run.board(candidate, recipe).rss(run.artifact(candidate, recipe), window)


def frontend(run: Run, candidate: Candidate, recipe: Recipe) -> tuple[Parity, Evidence, str]:
    """Features by host and board of the same audio, with evidence and source. Raises NotMeasured, CandidateError.

    On a real board they are computed there; elsewhere a recording that the candidate brings is worth more.
    """
    board, front = run.board(candidate, recipe), candidate.frontend
    if candidate.device_features and board.evidence is not Evidence.BOARD:
        audio, told = probe.recorded(candidate.device_features, front.sample_rate)
        again, evidence, source = told, Evidence.BOARD, f"recorded in {candidate.device_features.name}"
        front = probe.lasting(front, audio.shape[1])
    else:
        audio = probe.probe(front)
        front = probe.lasting(front, audio.shape[1])
        told, again = (board.features(front, audio) for _ in range(2))
        evidence, source = board.evidence, board.name
    limit = candidate.budgets(recipe).frontend or 0.0
    found = compare(front.batch(audio), told, again, front.scale, limit)
    about = {"rms": None if found.rms is None else found.rms.tolist(), "frames": found.frames, "cause": found.cause}
    run.write(f"{candidate.name}/{recipe.id}/frontend", about | {"evidence": evidence.value, "source": source})
    return found, evidence, source


def device_memory(run: Run, candidate: Candidate, recipe: Recipe) -> DeviceMemory:
    """What the artifact takes of the device's own memory. Raises NotMeasured."""
    found = run.board(candidate, recipe).device_memory(run.artifact(candidate, recipe))
    told = {"bytes": found.bytes, "parts": dict(found.parts), "evidence": found.evidence.value, "source": found.source}
    run.write(f"{candidate.name}/{recipe.id}/device-memory", told)
    return found


def profile(run: Run, candidate: Candidate, recipe: Recipe) -> Profile:
    """Where the time of one inference goes. Raises NotMeasured."""
    found = run.board(candidate, recipe).profile(run.artifact(candidate, recipe))
    run.write(f"{candidate.name}/{recipe.id}/profile", asdict(found))
    return found


def energy_of(run: Run, candidate: Candidate, recipe: Recipe) -> Energy:
    """Millijoules of one inference, idle subtracted. Raises NotMeasured, InfraError."""
    artifact, board = run.artifact(candidate, recipe), run.board(candidate, recipe)
    meter = board.meter(artifact)
    run.say(f"energy of {candidate.name} {recipe.id} on {board.name} by {meter.source}")
    audio = np.array(run.renditions(candidate, run.conditions(candidate)[0]).audio[:TIMED_CLIPS])

    disturbed: list[str] = []

    def work(seconds: float) -> int:
        taken = board.time(artifact, candidate.frontend, audio, 1, seconds)
        disturbed.append(taken.throttled)
        if taken.tries > 1:  # what it took to get it back is nobody's inference
            raise InfraError(f"{board.name} was lost while its power was measured, and is back. Run again.")
        return taken.rounds

    found = replace(energy.measure(meter, work), throttled=next(filter(None, disturbed), ""))
    record = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in asdict(found).items()}
    run.write(f"{candidate.name}/{recipe.id}/energy", record)
    return found
