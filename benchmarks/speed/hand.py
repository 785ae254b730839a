"""The loops a person would write in place of a gate: python -m benchmarks.speed.hand HOUSE LOOP CLIPS WORK RESULT.

``same`` renders what the gate renders, to the bit, so its verdicts must be the gate's; by audiomentations, scipy and
soundfile, one clip after another (benchmarks/speed/byhand.py). ``usual`` is written with audiomentations alone, a room
simulated for every clip.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]
Render = Callable[[Wave, str, str], Wave]  # audio, clip, condition


def same(work: Path, rate: int) -> Render:
    """To the bit what the gate renders. Its rooms are given."""
    from benchmarks.speed.byhand import ByHand
    from harness.audio.conditions import CONDITIONS
    from harness.audio.rooms import ROOMS, cached_bank
    from harness.cache import Cache

    cache = Cache(work / "cache")
    rooms = {c.room: cached_bank(ROOMS[c.room], rate, cache).responses for c in CONDITIONS.values() if c.room}
    by_hand = ByHand(rate, rooms)
    return lambda audio, clip, name: by_hand(audio, clip, CONDITIONS[name])


def usual(work: Path, rate: int) -> Render:
    """By audiomentations' classes, with the same parameters. Rays are not traced, which is its default and slower."""
    from audiomentations import AddColorNoise, BandPassFilter, Compose, Gain, RoomSimulator

    from harness.audio.conditions import CONDITIONS
    from harness.audio.rooms import ROOMS

    def chain(name: str) -> Any:
        condition, steps = CONDITIONS[name], []
        if condition.room:
            room = ROOMS[condition.room]
            x, y, z = room.size_m
            steps.append(
                RoomSimulator(
                    min_size_x=x, max_size_x=x, min_size_y=y, max_size_y=y, min_size_z=z, max_size_z=z,
                    min_target_rt60=room.sabine_s, max_target_rt60=room.sabine_s, calculation_mode="rt60",
                    min_mic_distance=room.distance_m[0], max_mic_distance=room.distance_m[1],
                    use_ray_tracing=False, leave_length_unchanged=True, p=1.0,
                )
            )  # fmt: skip
        if condition.snr_db is not None:
            snr = condition.snr_db
            steps.append(AddColorNoise(min_snr_db=snr, max_snr_db=snr, min_f_decay=-3.01, max_f_decay=-3.01, p=1.0))
        if condition.band_hz is not None:
            low, high = condition.band_hz
            middle, width = (low + high) / 2, 2 * (high - low) / (low + high)
            steps += [BandPassFilter(middle, middle, width, width, p=1.0), Gain(*condition.gain_db, p=1.0)]
        return Compose(steps)

    chains = {name: chain(name) for name in CONDITIONS}
    return lambda audio, clip, name: np.asarray(chains[name](samples=audio, sample_rate=rate), np.float32)


def main(house: Path, loop: str, clips: int, work: Path, result: Path) -> None:
    import onnxruntime

    from harness.agent.ort import session_options
    from harness.audio.clip import fit, read_clip
    from harness.cache import Cache
    from harness.candidate import find_candidates
    from harness.run import Run

    (candidate,) = find_candidates([house])
    run = Run(folder=work / "run", cache=Cache(work / "cache"))
    chosen, front, rate = run.clips(candidate)[:clips], candidate.frontend, candidate.frontend.sample_rate
    render = {"same": same, "usual": usual}[loop](work, rate)
    built = run.artifact(candidate, candidate.recipes[0]).file  # not counted: the loop is given its int8 model
    sessions = [
        onnxruntime.InferenceSession(str(file), session_options(), providers=["CPUExecutionProvider"])
        for file in (candidate.model, built)
    ]
    names = [(each.get_inputs()[0].name, each.get_inputs()[0].shape) for each in sessions]
    for name in run.conditions(candidate):  # imports and tables, as any loop has before it
        front.features(render(fit(read_clip(chosen[0], rate), front.samples), chosen[0].id, name))
    wall, spent = time.monotonic(), time.process_time()
    outputs: list[list[list[npt.NDArray[np.float32]]]] = []
    for condition in run.conditions(candidate):
        logits: list[list[npt.NDArray[np.float32]]] = [[], []]
        for clip in chosen:
            audio = render(fit(read_clip(clip, rate), front.samples), clip.id, condition)
            window = front.features(audio)
            for session, (name, shape), found in zip(sessions, names, logits, strict=True):
                found.append(session.run(None, {name: window.reshape(shape)})[0][0])
        outputs.append(logits)
    told = {"renderings": len(outputs) * len(chosen), "conditions": len(outputs), "seconds": time.monotonic() - wall}
    result.write_text(json.dumps(told | {"processor": time.process_time() - spent}), encoding="utf-8")
    np.save(result.with_suffix(".npy"), np.array(outputs, np.float32), allow_pickle=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
