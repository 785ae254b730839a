"""Many clips at once are each alone, and what audiomentations and scipy make of it by hand: to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.speed.byhand import ByHand
from harness.audio.conditions import CONDITIONS, render
from harness.audio.effects import Draw, babble, pink
from harness.audio.rendering import from_pcm, rendered
from harness.audio.rooms import ROOMS, Bank, cached_bank
from harness.cache import Cache

from .conftest import tone

RATE = 16000
CLIPS = 14  # of both noises, of most responses, one of them silent


@pytest.fixture(scope="module", params=[RATE, 8000])
def rate(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def banks(rate: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bank]:
    if rate == RATE:  # the house's own
        return {name: cached_bank(room, rate, Cache(tmp_path_factory.mktemp("none"))) for name, room in ROOMS.items()}
    draw = np.random.default_rng(0)
    decay = np.exp(-np.arange(3000) / 300)
    return {name: Bank((draw.normal(size=(6, 3000)) * decay).astype(np.float32), (0.3,) * 6, rate) for name in ROOMS}


@pytest.mark.parametrize("name", CONDITIONS)
def test_together_alone_and_by_hand_are_the_same_bits(name: str, rate: int, banks: dict[str, Bank]) -> None:
    condition = CONDITIONS[name]
    bank = banks[condition.room] if condition.room else None
    audio = np.stack([np.resize(tone(seed, rate=rate), rate) for seed in range(CLIPS)]) / np.float32(32768)
    audio[5] = 0
    audio[6] *= 3  # beyond full scale once it is noisy
    ids = [f"c{index}" for index in range(CLIPS)]
    together = from_pcm(rendered(audio, ids, condition, rate, bank))
    by_hand = ByHand(rate, {room: own.responses for room, own in banks.items()})
    for wave, clip, found in zip(audio, ids, together, strict=True):
        assert np.array_equal(found, render(wave, clip, condition, rate, bank))
        assert np.array_equal(found, by_hand(wave, clip, condition))


@pytest.mark.parametrize("noise", [pink, babble], ids=["pink", "babble"])
def test_a_noise_is_its_seeds_whoever_else_is_shaped(noise: object, rate: int) -> None:
    assert noise in (pink, babble)
    kind = pink if noise is pink else babble
    drawn = [kind.draw(Draw(seed), rate, rate) for seed in range(3)]
    for seed, wave in enumerate(kind.shape(drawn, rate)):
        assert np.array_equal(wave, kind(rate, rate, Draw(seed)))
    assert not np.array_equal(kind(rate, rate, Draw(0)), kind(rate, rate, Draw(1)))
