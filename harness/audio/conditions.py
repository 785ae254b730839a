"""Conditions: named renderings of a corpus, the same on every machine and in any order.

A rendering is seeded by its clip and condition alone and rounded to int16, which hides most last-bit
differences between processors; :func:`compare` tells what those leave from a corpus that drifted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.audio import pool, simulated
from harness.audio.clip import Clip, Wave
from harness.audio.corpus import Corpus
from harness.audio.effects import level_db
from harness.audio.rendering import Pcm as Pcm
from harness.audio.rendering import dry_audio, from_pcm, rendered
from harness.audio.rooms import ROOMS, Bank, Room, cached_bank, make_bank
from harness.cache import Cache, digest
from harness.errors import CorpusError, nearest

ARITHMETIC = 1  # raise when effects, rooms or render change what they compute
MADE_WITH = ("audiomentations", "numpy", "pyroomacoustics", "scipy", "soundfile", "soxr")
SAME_DB = -50.0  # difference over signal of what counts as the same audio: far below any SNR rendered
SKETCH = 4

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Condition:
    """What a clip goes through, in this order: a room, noise, the device."""

    id: str
    title: str
    room: str | None = None
    snr_db: float | None = None
    band_hz: tuple[float, float] | None = None
    gain_db: tuple[float, float] = (0.0, 0.0)

    @property
    def params(self) -> dict[str, Any]:
        """Every parameter, the room's own included."""
        params = {key: value for key, value in asdict(self).items() if key not in ("id", "title")}
        return params | {"room": asdict(ROOMS[self.room]) if self.room else None}

    @property
    def digest(self) -> str:
        """Changes with a parameter, our arithmetic, a simulated room, or the version of a library that renders."""
        rooms = simulated.files(self.room) if self.room else []
        return digest(self.id, self.params, ARITHMETIC, {name: version(name) for name in MADE_WITH}, *rooms)


CONDITIONS: dict[str, Condition] = {
    condition.id: condition
    for condition in (
        Condition("clean", "as recorded"),
        Condition("noise-20db", "pink noise or babble at 20 dB SNR", snr_db=20),
        Condition("noise-10db", "pink noise or babble at 10 dB SNR", snr_db=10),
        Condition("room-small", "small room, RT60 0.3 s, 0.5 to 1.5 m", room="small"),
        Condition("room-large", "large room, RT60 0.8 s, 1 to 3 m", room="large"),
        Condition("far-field", "3 to 5 m in a room, RT60 0.5 s, noise at 15 dB SNR", room="far", snr_db=15),
        Condition("device", "300 to 6000 Hz, IMA ADPCM, gain -12 to +3 dB", band_hz=(300, 6000), gain_db=(-12, 3)),
    )
}


def known_condition(condition_id: str) -> Condition:
    """A condition by its id; raises CorpusError with the nearest name."""
    if condition_id not in CONDITIONS:
        raise CorpusError(
            f"no condition {condition_id!r}{nearest(condition_id, CONDITIONS)}; known: {', '.join(CONDITIONS)}."
        )
    return CONDITIONS[condition_id]


def render(audio: Wave, clip_id: str, condition: Condition, sample_rate: int, bank: Bank | None = None) -> Wave:
    """One clip under one condition: float32 in [-1, 1), of the same length, on the grid of int16.

    ``bank`` is the condition's room where the caller has it at hand; else it is simulated in this process.
    """
    own = None if condition.room is None else bank or make_bank(ROOMS[condition.room], sample_rate)
    return from_pcm(rendered(audio[None], [clip_id], condition, sample_rate, own)[0])


@dataclass(frozen=True, slots=True)
class Renditions:
    """A corpus under one condition. Row ``i`` of every array is ``clips[i]``.

    ``audio`` is ``(n, samples)`` int16, mapped from the cache; ``digest`` the sha256 of it; ``levels_db``
    ``(n,)`` RMS dBFS; ``sketch`` ``(n, 4)`` float32, from which :func:`compare` tells two audios apart.
    """

    corpus: str
    condition: str
    clips: tuple[Clip, ...]
    audio: Pcm
    sample_rate: int
    digest: str
    levels_db: npt.NDArray[np.float32]
    sketch: npt.NDArray[np.float32]


Renderer = Callable[[Path, Corpus, Condition, int, Cache, Say], None]  # fills a folder; the cache keeps rooms
Rendered = tuple[bytes, bytes, bytes]  # of some clips: int16 audio, float32 levels_db and sketch


def render_into(folder: Path, corpus: Corpus, condition: Condition, samples: int, cache: Cache, say: Say) -> None:
    """The files of :class:`Renditions`, by every processor of this machine."""
    count, rate = len(corpus.clips), corpus.sample_rate
    room = ROOMS[condition.room] if condition.room else None
    if room is not None:
        cached_bank(room, rate, cache, count)  # simulated once, here: parts find it
    asked = (asdict(condition), asdict(room) if room else None, str(cache.root), samples, rate)
    sounds = [(clip.id, str(clip.path), clip.resample, clip.mixed) for clip in corpus.clips]
    parts = ((asked, sounds[first : first + pool.SIZE]) for first in range(0, count, pool.SIZE))
    write_parts(folder, corpus, condition, samples, pool.over(rendered_part, parts, count), say)


def render_corpus(
    corpus: Corpus, condition: Condition, samples: int, cache: Cache, say: Say, by: Renderer = render_into
) -> Renditions:
    """Every clip, fitted to ``samples`` and rendered, made once per cache."""

    def make(folder: Path) -> None:
        by(folder, corpus, condition, samples, cache, say)

    order = digest([clip.id for clip in corpus.clips])
    key = digest("renditions", corpus.digest, order, condition.digest, samples, corpus.sample_rate)
    return read_renditions(cache.entry("renditions", key, make).path, corpus, condition)


def read_renditions(folder: Path, corpus: Corpus, condition: Condition) -> Renditions:
    """What a renderer left of the corpus in a folder."""
    facts = json.loads((folder / "facts.json").read_text())
    return Renditions(
        corpus=corpus.name,
        condition=condition.id,
        clips=corpus.clips,
        audio=np.load(folder / "audio.npy", mmap_mode="r", allow_pickle=False),
        sample_rate=corpus.sample_rate,
        digest=facts["sha256"],
        levels_db=np.load(folder / "levels_db.npy", allow_pickle=False),
        sketch=np.load(folder / "sketch.npy", allow_pickle=False),
    )


def write_parts(
    folder: Path, corpus: Corpus, condition: Condition, samples: int, parts: Iterable[Rendered], say: Say
) -> None:
    """The files of :class:`Renditions` from those of some clips at a time, in order."""
    count, index = len(corpus.clips), 0
    levels, sketch = np.zeros(count, np.float32), np.zeros((count, SKETCH), np.float32)
    total = hashlib.sha256()
    with (folder / "audio.npy").open("wb") as file:
        # Written, not mapped: a full disk must be an OSError here, and is a bus error in a map.
        header = {"descr": "<i2", "fortran_order": False, "shape": (count, samples)}
        np.lib.format.write_array_header_1_0(file, header)
        for pcm, own_levels, own_sketch in parts:
            if index % 500 == 0:
                say(f"{corpus.name}: {condition.id}, {index} of {count} clips")
            file.write(pcm)
            total.update(pcm)
            own = np.frombuffer(own_levels, np.float32)
            levels[index : index + len(own)] = own
            sketch[index : index + len(own)] = np.frombuffer(own_sketch, np.float32).reshape(-1, SKETCH)
            index += len(own)
    np.save(folder / "levels_db.npy", levels, allow_pickle=False)
    np.save(folder / "sketch.npy", sketch, allow_pickle=False)
    (folder / "facts.json").write_text(json.dumps({"sha256": total.hexdigest()}))


Asked = tuple[dict[str, Any], dict[str, Any] | None, str, int, int]  # condition, its room, cache, samples, rate


Sound = tuple[str, str, bool, bool]  # of a clip: id, path, resample, mixed


def rendered_part(request: tuple[Asked, list[Sound]]) -> Rendered:
    """Some clips under one condition: builtin values, for whatever process does it."""
    (params, room, cache, samples, rate), clips = request
    condition, signs = Condition(**params), _signs(samples)
    bank = _bank(Room(**room), rate, cache) if room else None
    dry = [
        dry_audio(Clip(clip_id, Path(path), "", "", "", "test", None, resample, mixed), rate, samples)
        for clip_id, path, resample, mixed in clips
    ]
    pcm = rendered(np.stack(dry), [clip_id for clip_id, *_ in clips], condition, rate, bank)
    waves = [from_pcm(wave) for wave in pcm]
    levels = np.array([level_db(wave) for wave in waves], np.float32)
    sketch = np.array([wave @ signs for wave in waves], np.float32)
    return pcm.astype("<i2").tobytes(), levels.tobytes(), sketch.tobytes()


@lru_cache(maxsize=8)
def _bank(room: Room, rate: int, cache: str) -> Bank:
    return cached_bank(room, rate, Cache(Path(cache)))


@lru_cache(maxsize=4)
def _signs(samples: int) -> npt.NDArray[np.float32]:
    """Fixed random signs ``(samples, 4)`` to project audio on.

    The squared differences of projections estimate the energy of the difference of two audios (Achlioptas,
    J. Comput. Syst. Sci. 66, 2003), so that a few numbers a clip can stand for it in golden.
    """
    return np.random.default_rng(1).choice(np.array([-1, 1], np.float32), (samples, SKETCH))


def fingerprint(renditions: Renditions) -> dict[str, Any]:
    """What golden keeps of the audio it was made from, for :func:`compare`: digest, levels_db, sketch."""
    return {"digest": renditions.digest, "levels_db": renditions.levels_db, "sketch": renditions.sketch}


def compare(recorded: Mapping[str, Any], renditions: Renditions) -> str:
    """``identical``, ``same within -72 dB``, or ``drifted: ...`` naming the first clips.

    Another processor's rounding moves a rendering by a few last bits, some -70 dB of the signal; other
    noise, rooms or audio move it by more than SAME_DB.
    """
    if recorded["digest"] == renditions.digest:
        return "identical"
    sketch = np.asarray(recorded["sketch"], np.float32).reshape(-1, SKETCH)
    if sketch.shape != renditions.sketch.shape:
        return f"drifted: {len(sketch)} clips recorded, {len(renditions.clips)} rendered"
    energy = renditions.audio.shape[1] * 10 ** (renditions.levels_db.astype(np.float64) / 10)
    change = np.square(sketch.astype(np.float64) - renditions.sketch).mean(axis=1)
    # One step of int16 is no drift, however quiet the clip.
    floor = renditions.audio.shape[1] * 2.0**-30
    ratio_db = 10 * np.log10(np.maximum(change - floor, 1e-12) / np.maximum(energy, 1e-12))
    moved = np.flatnonzero(ratio_db > SAME_DB)
    if not moved.size:
        return f"same within {ratio_db.max():.0f} dB"
    first = ", ".join(f"{renditions.clips[i].id} ({ratio_db[i]:.0f} dB)" for i in moved[:3])
    return f"drifted: {len(moved)} of {len(sketch)} clips of {renditions.condition}, first {first}"
