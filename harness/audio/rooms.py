"""Rooms: a bank of impulse responses for each, by the image-source method of pyroomacoustics.

A response starts at its direct sound, so that a reverberated clip keeps its place in the window.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.audio import pool, simulated
from harness.cache import Cache, digest
from harness.errors import CorpusError

MARGIN_M = 0.5  # of a talker or a device to the nearest wall
LEAD_S = 0.001  # kept before the direct sound: the interpolated arrival has a foot
DECAY_DB = 30  # fitted and extrapolated to 60 (ISO 3382-1's T30)
MAX_RESPONSE_S = 5.0

Point = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Room:
    """A box-shaped room. ``sabine_s`` is the reverberation time asked of Sabine's formula.

    Image sources in a flat room decay more slowly than Sabine's diffuse field, so the time measured on the
    responses is what counts, and what titles state.
    """

    name: str
    size_m: tuple[float, float, float]
    sabine_s: float
    distance_m: tuple[float, float]
    positions: int = 6
    seed: int = 1


ROOMS = {
    room.name: room
    for room in (
        Room("small", (4.0, 3.5, 2.6), sabine_s=0.33, distance_m=(0.5, 1.5)),
        Room("large", (10.0, 8.0, 3.5), sabine_s=0.66, distance_m=(1.0, 3.0)),
        Room("far", (7.0, 6.0, 2.8), sabine_s=0.42, distance_m=(3.0, 5.0)),
    )
}


@dataclass(frozen=True, slots=True)
class Bank:
    """Impulse responses ``(n, taps)`` float32 at one rate, each with its measured RT60 in seconds."""

    responses: npt.NDArray[np.float32]
    rt60_s: tuple[float, ...]
    sample_rate: int


@lru_cache(maxsize=16)
def make_bank(room: Room, sample_rate: int, clips: int = 0) -> Bank:
    """Simulate every position of a room, air absorption included. Repeats for the same room and versions.

    ``clips`` are those it is made for: of enough, positions are simulated beside each other.
    """
    parts = [(asdict(room), sample_rate, place) for place in range(room.positions)]
    told = list(pool.over(response_part, parts, clips))
    responses = [np.frombuffer(response, np.float32) for response, _ in told]
    return Bank(_padded(responses), tuple(seconds for _, seconds in told), sample_rate)


def response_part(request: tuple[dict[str, Any], int, int]) -> tuple[bytes, float]:
    """The float32 response and the RT60 of one position: builtin values, for whatever process does it."""
    asked, sample_rate, place = request
    room = Room(**asked)
    talker, device = _positions(room)[place]
    response = _response(room, sample_rate, talker, device)
    return response.tobytes(), rt60(response, sample_rate)


def cached_bank(room: Room, sample_rate: int, cache: Cache, clips: int = 0) -> Bank:
    """The bank of a room: the house's own as it came, another simulated once per cache.

    ``clips`` as :func:`make_bank` takes them.
    """
    if (found := simulated.find(asdict(room), sample_rate)) is not None:
        return Bank(*found, sample_rate)

    def make(folder: Path) -> None:
        bank = make_bank(room, sample_rate, clips)
        np.save(folder / "responses.npy", bank.responses, allow_pickle=False)
        (folder / "bank.json").write_text(json.dumps({"rt60_s": bank.rt60_s, "room": asdict(room)}))

    key = digest("rooms", asdict(room), sample_rate, version("pyroomacoustics"), version("numpy"))
    folder = cache.entry("rooms", key, make).path
    responses = np.load(folder / "responses.npy", allow_pickle=False)
    rt60_s = json.loads((folder / "bank.json").read_text())["rt60_s"]
    return Bank(responses, tuple(rt60_s), sample_rate)


def measured_bank(folder: Path, sample_rate: int) -> Bank:
    """Responses measured in a real room: mono audio files of one folder, resampled where needed."""
    from harness.audio.clip import Clip, read_clip

    files = sorted(folder.glob("*.wav"))
    if not files:
        raise CorpusError(f"{folder} holds no impulse responses (*.wav); name a folder that does.")
    clips = [Clip(path.stem, path, "", "", "", "test", resample=True) for path in files]
    responses = [_from_direct(read_clip(clip, sample_rate), sample_rate) for clip in clips]
    return Bank(_padded(responses), tuple(rt60(response, sample_rate) for response in responses), sample_rate)


def rt60(response: npt.NDArray[np.float32], sample_rate: int) -> float:
    """Reverberation time in seconds by Schroeder's backward integration."""
    from pyroomacoustics.experimental import measure_rt60

    return round(float(measure_rt60(response, sample_rate, decay_db=DECAY_DB)), 4)


def _padded(responses: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    taps = max(len(response) for response in responses)
    return np.stack([np.pad(response, (0, taps - len(response))) for response in responses])


def _positions(room: Room) -> list[tuple[Point, Point]]:
    """Talker and device, drawn until their distance is the room's, both clear of the walls."""
    draw = np.random.default_rng(room.seed)
    low, high = np.full(3, MARGIN_M), np.array(room.size_m) - MARGIN_M
    found: list[tuple[Point, Point]] = []
    while len(found) < room.positions:
        talker, device = draw.uniform(low, high), draw.uniform(low, high)
        if room.distance_m[0] <= np.linalg.norm(talker - device) <= room.distance_m[1]:
            found.append((talker, device))
    return found


def _response(room: Room, sample_rate: int, talker: Point, device: Point) -> npt.NDArray[np.float32]:
    import pyroomacoustics

    absorption, order = pyroomacoustics.inverse_sabine(room.sabine_s, room.size_m)
    with _one_thread():
        box = pyroomacoustics.ShoeBox(
            room.size_m,
            fs=sample_rate,
            materials=pyroomacoustics.Material(absorption),
            max_order=order,
            air_absorption=True,
        )
        box.add_source(talker)
        box.add_microphone(device)
        box.compute_rir()
    response = _from_direct(np.asarray(box.rir[0][0], np.float32), sample_rate)
    return response[: round(1.5 * room.sabine_s * sample_rate)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order: with several threads the last bits would depend on the number of cores."""
    from pyroomacoustics.parameters import constants

    before = constants.get("num_threads")
    constants.set("num_threads", 1)
    try:
        yield
    finally:
        constants.set("num_threads", before)


def _from_direct(response: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.float32]:
    """Cut what comes before the direct sound: the first arrival within 6 dB of the loudest."""
    size = np.abs(response)
    arrival = int(np.argmax(size >= size.max() / 2))
    return response[max(0, arrival - round(LEAD_S * sample_rate)) :][: round(MAX_RESPONSE_S * sample_rate)]
