from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from pyroomacoustics.parameters import constants

from harness.audio import simulated
from harness.audio.conditions import CONDITIONS
from harness.audio.rooms import (
    MARGIN_M,
    ROOMS,
    Room,
    _positions,
    cached_bank,
    make_bank,
    measured_bank,
    response_part,
    rt60,
)
from harness.cache import Cache
from harness.errors import CorpusError

from .conftest import write_audio

CLOSET = Room("closet", (2.5, 2.2, 2.4), sabine_s=0.15, distance_m=(0.5, 1.0), positions=2)
STATED_S = {"small": 0.3, "large": 0.8, "far": 0.5}


@pytest.mark.parametrize("name", ROOMS)
def test_measured_rt60_is_what_titles_state(name: str, room_cache: Cache) -> None:
    bank = cached_bank(ROOMS[name], 16000, room_cache)
    assert bank.responses.dtype == np.float32
    assert len(bank.responses) == len(bank.rt60_s) == ROOMS[name].positions
    assert bank.rt60_s == pytest.approx([STATED_S[name]] * len(bank.rt60_s), rel=0.1)


@pytest.mark.parametrize("room", ROOMS.values(), ids=lambda room: room.name)
def test_positions_are_clear_of_walls_and_at_their_distance(room: Room) -> None:
    positions = _positions(room)
    assert len(positions) == room.positions
    for talker, device in positions:
        assert room.distance_m[0] <= np.linalg.norm(talker - device) <= room.distance_m[1]
        for point in (talker, device):
            assert (point >= MARGIN_M).all()
            assert (point <= np.array(room.size_m) - MARGIN_M).all()


def test_direct_sound_comes_first() -> None:
    for response in make_bank(CLOSET, 16000).responses:
        assert np.argmax(np.abs(response)) <= 0.005 * 16000


def test_another_process_simulates_the_same_bits() -> None:
    code = (
        "import hashlib, json; from harness.audio.rooms import Room, make_bank\n"
        f"bank = make_bank({CLOSET!r}, 16000)\n"
        "print(json.dumps([hashlib.sha256(bank.responses.tobytes()).hexdigest(), bank.rt60_s]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    digest, times = json.loads(run.stdout.splitlines()[-1])
    bank = make_bank(CLOSET, 16000)
    assert digest == hashlib.sha256(bank.responses.tobytes()).hexdigest()
    assert tuple(times) == bank.rt60_s


def test_threads_of_the_library_are_given_back() -> None:
    before = constants.get("num_threads")
    make_bank.__wrapped__(CLOSET, 8000)
    assert constants.get("num_threads") == before


def test_cache_keeps_the_bank_and_tells_rooms_apart(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first, again = cached_bank(CLOSET, 8000, cache), cached_bank(CLOSET, 8000, cache)
    assert np.array_equal(first.responses, again.responses)
    cached_bank(Room("closet", CLOSET.size_m, 0.15, (0.5, 1.0), positions=2, seed=2), 8000, cache)
    assert [entry.hit for entry in cache.used] == [False, True, False]


@pytest.mark.parametrize("name", ROOMS)
def test_the_rooms_that_came_are_what_is_simulated(name: str) -> None:
    """One position of each: the first bits of rounding apart, on whatever processor."""
    room = ROOMS[name]
    came = simulated.find(asdict(room), 16000)
    assert came is not None
    assert came[0].shape[0] == len(came[1]) == room.positions
    response, seconds = response_part((asdict(room), 16000, 2))
    fresh = np.frombuffer(response, np.float32)
    kept = came[0][2][: len(fresh)]
    assert np.square(fresh - kept).sum() < 1e-8 * np.square(kept).sum()
    assert seconds == pytest.approx(came[1][2], rel=1e-3)


def test_another_room_of_the_same_name_did_not_come() -> None:
    assert simulated.find(asdict(replace(ROOMS["small"], seed=2)), 16000) is None
    assert simulated.find(asdict(ROOMS["small"]), 8000) is None


def test_renderings_in_other_responses_are_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: CONDITIONS[name].digest for name in ("clean", "room-small", "room-large")}
    for path in simulated.HERE.glob("*.safetensors"):
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content[:-4] + bytes(4) if path.name.startswith("small") else content)
    monkeypatch.setattr(simulated, "HERE", tmp_path)
    assert {name for name, was in before.items() if CONDITIONS[name].digest != was} == {"room-small"}


def test_rt60_of_an_exact_decay() -> None:
    t = np.arange(16000) / 16000
    response = np.random.default_rng(0).normal(size=16000) * 10 ** (-3 * t / 0.4)
    assert rt60(response.astype(np.float32), 16000) == pytest.approx(0.4, rel=0.03)


def test_measured_folder_is_read_from_its_direct_sound(tmp_path: Path) -> None:
    wave = np.zeros(4000, np.int16)
    decay = np.random.default_rng(0).normal(size=3000) * 10 ** (-3 * np.arange(3000) / 16000 / 0.1) * 3000
    wave[1000:] = decay
    wave[1000] = 30000
    write_audio(tmp_path / "a.wav", wave)
    bank = measured_bank(tmp_path, 16000)
    assert int(np.argmax(np.abs(bank.responses[0]))) == 16
    with pytest.raises(CorpusError, match="no impulse responses"):
        measured_bank(tmp_path / "none", 16000)


def test_a_real_room_measures_like_ours(room_cache: Cache) -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "rirs"
    if not folder.is_dir():
        pytest.skip("measured rooms are not here: put IoSR Real Room BRIRs (MIT) into ../shared/data/rirs")
    real, ours = measured_bank(folder, 16000), cached_bank(ROOMS["small"], 16000, room_cache)
    assert np.median(real.rt60_s) == pytest.approx(np.median(ours.rt60_s), rel=0.25)
