"""Who speaks: the voices of the test corpus, and the other ones that training may hear.

A speaker is an engine's voice in one accent, with a pitch and a rate of its own. The two sets
share no voice: no espeak-ng variant, no recorded human behind another engine.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from harness.audio.synth.accents import FOREIGN, NATIVE, UNSEEN

TEST_VARIANTS = ("f2", "Annie", "f4", "linda", "Andrea", "m3", "m7", "Mario", "paul", "Henrique")
TRAINING_VARIANTS = (
    "f1", "f3", "f5", "m1", "m2", "m4", "m5", "m6", "m8", "adam", "Alex", "Alicia", "Andy", "antonio", "aunty",
    "belinda", "benjamin", "boris", "caleb", "david", "Denis", "Diogo", "ed", "edward", "edward2", "Gene",
    "gustave", "Hugo", "iven", "iven2", "iven3", "Jacky", "john", "Lee", "marcelo", "Marco", "max", "Michael",
    "michel", "miguel", "Mike", "Nguyen", "pablo", "pedro", "quincy", "rob", "robert", "sandro", "shelby",
    "steph", "steph2", "steph3", "victor", "zac", "anika", "grandma", "grandpa", "norbert", "klatt", "klatt2",
    "klatt3", "klatt4",
)  # fmt: skip

# (engine, voice, accent): the recorded humans and neural voices of the other engines.
TEST_ENGINE_VOICES = (
    ("pico", "en-US", "en-us"),
    ("hibari", "heart", "en-us"),
    ("flite", "rms", "en-us"),
    ("flite", "awb", "en-gb-scotland"),
)
TRAINING_ENGINE_VOICES = (
    ("pico", "en-GB", "en-gb"),
    ("piper", "joe", "en-us"),
    ("flite", "slt", "en-us"),
    ("flite", "kal16", "en-us"),
)
# Resampling moves pitch and formants together: one recorded human heard as people of several sizes.
TRAINING_WARPS = (1.0, 0.88, 0.94, 1.06, 1.12, 1.18)

VOICES_PER_ACCENT = 10
TRAINING_VOICES_PER_ACCENT = 18


@dataclass(frozen=True, slots=True)
class Speaker:
    """One voice in one accent; ``rate``, ``pitch`` and ``warp`` are factors on what the engine says by itself."""

    accent: str
    engine: str
    voice: str
    rate: float = 1.0
    pitch: float = 1.0
    warp: float = 1.0

    @property
    def name(self) -> str:
        """Stable over builds: ``espeak-f3``, ``piper-joe-w112`` where warped."""
        family = "espeak" if self.engine == "espeak-ng" else self.engine
        warp = "" if self.warp == 1.0 else f"-w{round(self.warp * 100)}"
        return f"{family}-{self.voice.lower()}{warp}"

    @property
    def id(self) -> str:
        """Unique over the corpus: ``en-us/espeak-f3``."""
        return f"{self.accent}/{self.name}"


def corpus_speakers() -> Iterator[Speaker]:
    """Ten voices for each of the twenty accents."""
    for accent in (*NATIVE, *FOREIGN):
        others = [voice for voice in TEST_ENGINE_VOICES if voice[2] == accent]
        for engine, voice, _ in others:
            yield Speaker(accent, engine, voice)
        for variant in TEST_VARIANTS[: VOICES_PER_ACCENT - len(others)]:
            yield _espeak_speaker(accent, variant)


def training_speakers(voices_per_accent: int = TRAINING_VOICES_PER_ACCENT) -> Iterator[Speaker]:
    """Other voices, and only the accents that training may hear."""
    accents = [accent for accent in (*NATIVE, *FOREIGN) if accent not in UNSEEN]
    for index, accent in enumerate(accents):
        for step in range(voices_per_accent):
            variant = TRAINING_VARIANTS[(index * voices_per_accent + step) % len(TRAINING_VARIANTS)]
            yield _espeak_speaker(accent, variant)
    for engine, voice, accent in TRAINING_ENGINE_VOICES:
        for warp in TRAINING_WARPS:
            yield Speaker(accent, engine, voice, warp=warp)


def _espeak_speaker(accent: str, variant: str) -> Speaker:
    own = random.Random(zlib.crc32(f"{accent}/espeak-{variant}".encode()))  # noqa: S311 - repeatable, not secret
    return Speaker(
        accent, "espeak-ng", variant, rate=round(own.uniform(0.88, 1.12), 3), pitch=round(own.uniform(0.85, 1.15), 3)
    )
