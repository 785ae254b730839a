from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.audio import conditions, effects, rendering, rooms
from harness.audio.conditions import (
    CONDITIONS,
    Condition,
    Renditions,
    compare,
    fingerprint,
    known_condition,
    render,
    render_corpus,
)
from harness.audio.corpus import Corpus, fit, load_corpus, read_clip
from harness.audio.rooms import ROOMS, Bank, cached_bank
from harness.cache import Cache
from harness.errors import CorpusError

from .conftest import tone

RATE = 16000
NOISY = ("noise-20db", "noise-10db")


@pytest.fixture(scope="session")
def banks(room_cache: Cache) -> dict[str | None, Bank | None]:
    return {None: None, **{name: cached_bank(room, RATE, room_cache) for name, room in ROOMS.items()}}


@pytest.fixture
def corpus(house: Path, room_cache: Cache) -> Corpus:
    return load_corpus("tones", house)


def level(audio: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(audio.astype(np.float64) ** 2)))


def speech(seed: int, level_dbfs: float) -> np.ndarray:
    wave = fit((tone(seed) / np.float32(32768)).astype(np.float32), RATE)
    return np.asarray(wave * 10 ** ((level_dbfs - level(wave)) / 20), np.float32)


def test_the_house_has_seven_conditions_in_order() -> None:
    assert list(CONDITIONS) == [
        "clean", "noise-20db", "noise-10db", "room-small", "room-large", "far-field", "device"
    ]  # fmt: skip
    with pytest.raises(CorpusError, match=r"no condition 'far-feild' \(did you mean 'far-field'\?\)"):
        known_condition("far-feild")


waves = hnp.arrays(np.float32, st.integers(1, 4000), elements=st.floats(-1, 1, width=32), fill=st.just(0))


@settings(max_examples=60, deadline=None)
@given(audio=waves, condition=st.sampled_from(list(CONDITIONS.values())), clip=st.text(max_size=8))
def test_any_clip_keeps_its_length_and_range(
    banks: dict[str | None, Bank | None], audio: np.ndarray, condition: Condition, clip: str
) -> None:
    out = render(audio, clip, condition, RATE, banks[condition.room])
    assert out.shape == audio.shape
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1
    assert np.array_equal(out * 32768, np.rint(out * 32768))


@given(hnp.arrays(np.int16, st.integers(1, 100)))
def test_clean_is_the_recording_itself(pcm: np.ndarray) -> None:
    audio = (pcm / np.float32(32768)).astype(np.float32)
    expected = audio if pcm.min() > -32768 else np.clip(audio, -1, 1)
    assert np.abs(render(audio, "c", CONDITIONS["clean"], RATE) - expected).max() <= 1.01 / 32768


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(-40, -18), st.sampled_from(NOISY), st.text(max_size=6))
def test_noise_is_at_its_snr(seed: int, level_dbfs: float, condition_id: str, clip: str) -> None:
    condition = CONDITIONS[condition_id]
    audio = speech(seed, level_dbfs)
    noisy = render(audio, clip, condition, RATE)
    gain = np.dot(noisy, audio) / np.dot(audio, audio)  # turned down as a whole where it would clip
    assert level(gain * audio) - level(noisy - gain * audio) == pytest.approx(condition.snr_db, abs=1.0)


def test_a_silent_room_has_noise_too() -> None:
    out = render(np.zeros(RATE, np.float32), "c", CONDITIONS["noise-10db"], RATE)
    assert level(out) == pytest.approx(effects.QUIET_DBFS - 10, abs=0.5)


def test_noise_is_pink_or_babble_by_clip() -> None:
    """Pink noise falls 3 dB an octave; babble holds little above 4 kHz and little below 80 Hz."""
    noises = [render(np.zeros(RATE, np.float32), str(i), CONDITIONS["noise-10db"], RATE) for i in range(20)]
    power = [np.abs(np.fft.rfft(noise)) ** 2 for noise in noises]
    lows = [p[:60].sum() / p.sum() > 0.02 for p in power]
    assert 4 <= sum(lows) <= 16
    assert len({noise.tobytes() for noise in noises}) == 20


@pytest.mark.parametrize("condition_id", ["room-small", "room-large", "far-field"])
def test_rooms_keep_the_level_and_lengthen_the_sound(banks: dict[str | None, Bank | None], condition_id: str) -> None:
    condition = replace(CONDITIONS[condition_id], snr_db=None)
    click = np.zeros(RATE, np.float32)
    click[2000:2100] = 0.2
    wet = render(click, "c", condition, RATE, banks[condition.room])
    assert level(wet) == pytest.approx(level(click), abs=0.3)
    assert np.abs(wet[:1900]).max() < 0.01  # nothing before the sound itself
    assert level(wet[2500:5000]) > -70


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100), st.floats(-35, -12), st.text(max_size=6))
def test_device_cuts_its_band_and_never_clips(seed: int, level_dbfs: float, clip: str) -> None:
    audio = np.random.default_rng(seed).normal(size=RATE).astype(np.float32)
    audio *= 10 ** ((level_dbfs - level(audio)) / 20)
    audio = np.clip(audio, -1, 1)
    out = render(audio, clip, CONDITIONS["device"], RATE)
    assert np.abs(out).max() < 1
    density = np.abs(np.fft.rfft(out)) ** 2
    inside = density[1000:5000].mean()
    assert 10 * np.log10(density[20:100].mean() / inside) < -9
    gain = 10 * np.log10(inside / (np.abs(np.fft.rfft(audio)) ** 2)[1000:5000].mean())
    assert -14 < gain < 5


def test_generators_of_the_caller_go_on_undisturbed() -> None:
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    render(speech(1, -25), "c", CONDITIONS["noise-10db"], RATE)
    assert (random.random(), np.random.random()) == expected


CHILD = """
import hashlib, json, sys
from pathlib import Path
from typing import Any
import numpy as np
from harness.audio.conditions import CONDITIONS, render
from harness.audio.rooms import ROOMS, cached_bank
from harness.cache import Cache
cache, work = Cache(Path(sys.argv[1])), json.loads(sys.argv[2])
found = {}
for clip, condition_id in work:
    condition = CONDITIONS[condition_id]
    bank = cached_bank(ROOMS[condition.room], 16000, cache) if condition.room else None
    audio = np.random.default_rng(int(clip)).normal(size=8000).astype(np.float32) * np.float32(0.1)
    wave = render(audio, clip, condition, 16000, bank)
    found[f"{clip}|{condition_id}"] = hashlib.sha256(wave.tobytes()).hexdigest()
print(json.dumps(found))
"""


def test_two_processes_and_two_orders_give_the_same_bits(room_cache: Cache, banks: object) -> None:
    work = [(str(clip), condition) for clip in range(6) for condition in CONDITIONS]
    shuffled = random.Random(3).sample(work, len(work))
    found = []
    for order in (work, shuffled):
        command = [sys.executable, "-c", CHILD, str(room_cache.root), json.dumps(order)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(run.stdout.splitlines()[-1]))
    assert found[0] == found[1]
    assert len(set(found[0].values())) == len(work)


@pytest.mark.parametrize("name", [field.name for field in fields(Condition) if field.name != "title"])
def test_digest_of_a_condition_changes_with_every_parameter(name: str) -> None:
    other: dict[str, Any] = {
        "id": "x", "room": "small", "snr_db": 3.0, "band_hz": (1.0, 2.0), "gain_db": (1.0, 2.0)
    }  # fmt: skip
    condition = CONDITIONS["clean"]
    assert replace(condition, **{name: other[name]}).digest != condition.digest
    assert replace(condition, title="another title").digest == condition.digest


def test_digest_of_a_condition_changes_with_its_room_and_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    before = CONDITIONS["room-small"].digest
    with monkeypatch.context() as patched:
        patched.setitem(rooms.ROOMS, "small", replace(ROOMS["small"], seed=2))
        assert CONDITIONS["room-small"].digest != before
    monkeypatch.setattr(conditions, "version", lambda name: "0.0")
    assert CONDITIONS["room-small"].digest != before


def test_renditions_are_what_render_gives(corpus: Corpus, room_cache: Cache) -> None:
    said: list[str] = []
    condition = CONDITIONS["noise-20db"]
    renditions = render_corpus(corpus, condition, RATE, room_cache, said.append)
    assert renditions.audio.shape == (12, RATE)
    assert renditions.audio.dtype == np.int16
    assert isinstance(renditions.audio, np.memmap)
    assert [clip.id for clip in renditions.clips] == [clip.id for clip in corpus.clips]
    for row, clip in zip(renditions.audio, renditions.clips, strict=True):
        expected = render(fit(read_clip(clip, RATE), RATE), clip.id, condition, RATE)
        assert np.array_equal(row / np.float32(32768), expected)
    assert renditions.digest == hashlib.sha256(renditions.audio.tobytes()).hexdigest()
    assert renditions.levels_db == pytest.approx([level(row / 32768) for row in renditions.audio], abs=1e-3)
    assert said == ["tones: noise-20db, 0 of 12 clips"]


def test_a_recording_of_two_channels_is_rendered_as_their_mean(
    corpus: Corpus, tmp_path: Path, room_cache: Cache
) -> None:
    left = fit(read_clip(corpus.clips[0], RATE), RATE)
    soundfile.write(tmp_path / "two.wav", np.stack([left, np.zeros_like(left)], axis=1), RATE, subtype="FLOAT")
    two = replace(corpus.clips[0], path=tmp_path / "two.wav", mixed=True)
    renditions = render_corpus(replace(corpus, clips=(two,)), CONDITIONS["clean"], RATE, room_cache, print)
    assert renditions.levels_db == pytest.approx([level(left / 2)], abs=0.01)


def test_renditions_are_made_once_and_keep_the_order_of_clips(corpus: Corpus, room_cache: Cache) -> None:
    condition = CONDITIONS["device"]
    first = render_corpus(corpus, condition, RATE, room_cache, print)
    again = render_corpus(corpus, condition, RATE, room_cache, lambda text: pytest.fail(text))
    assert again.digest == first.digest
    turned = replace(corpus, clips=tuple(reversed(corpus.clips)))
    back = render_corpus(turned, condition, RATE, room_cache, print)
    assert np.array_equal(back.audio[::-1], first.audio)
    assert render_corpus(corpus, condition, 8000, room_cache, print).audio.shape == (12, 8000)


def rendition(corpus: Corpus, cache: Cache, condition_id: str = "noise-20db") -> Renditions:
    return render_corpus(corpus, CONDITIONS[condition_id], RATE, cache, lambda text: None)


def changed(renditions: Renditions, audio: np.ndarray) -> Renditions:
    sketch = (audio / 32768).astype(np.float32) @ conditions._signs(RATE)
    levels = np.array([level(row / 32768) for row in audio], np.float32)
    return replace(renditions, audio=audio, digest="other", sketch=sketch, levels_db=levels)


def test_compare_forgives_last_bits_and_nothing_more(corpus: Corpus, room_cache: Cache) -> None:
    renditions = rendition(corpus, room_cache)
    recorded = fingerprint(renditions)
    assert compare(recorded, renditions) == "identical"
    audio = np.array(renditions.audio)
    bits = audio.copy()
    bits[:, ::50] += 1
    assert compare(recorded, changed(renditions, bits)).startswith("same within -")
    other = audio.copy()
    other[3] = np.roll(other[3], 40)
    verdict = compare(recorded, changed(renditions, other))
    assert verdict.startswith("drifted: 1 of 12 clips of noise-20db, first c3 (")


def test_compare_tells_other_noise_of_the_same_level(
    corpus: Corpus, room_cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    renditions = rendition(corpus, room_cache)
    monkeypatch.setattr(rendering, "crc32", lambda data: len(data))
    reseeded = rendition(corpus, Cache(tmp_path / "other"))
    assert reseeded.levels_db == pytest.approx(renditions.levels_db, abs=0.5)
    assert compare(fingerprint(renditions), reseeded).startswith("drifted: 12 of 12")
    fewer = replace(renditions, digest="other", sketch=renditions.sketch[:3])
    assert compare(fingerprint(renditions), fewer) == "drifted: 12 clips recorded, 12 rendered"
