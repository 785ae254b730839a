"""The synthetic speech of this model: what it is trained on, and what corpora/computer holds.

    python -m models.computer.speech training DIR
    python -m models.computer.speech corpus DIR

Needs the extra ``corpus``. The two share no voice (harness.audio.synth.voices) and no word but the wake word, and the
training set holds none of the accents that stay unseen.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

from harness.audio.synth.build import build_corpus
from harness.audio.synth.plan import CALIBRATION_VOICES_PER_ACCENT, Plan, Utterance
from harness.audio.synth.voices import Speaker, corpus_speakers, training_speakers
from harness.audio.synth.words import TRAINING_ORDINARY, UNKNOWN

WORD = "computer"
TAKES = 3

# Near the wake word in sound. "computers" and "computer's" are left out of both: a device may well wake.
TRAINING_NEAR = (
    "compute", "commuter", "come to her", "pewter", "confuse her", "competing", "comparison", "the future",
    "peter", "computation", "commute", "company", "conductor", "consumer", "can you tell", "put her", "a tutor",
    "come over here", "compute it", "competitor", "computing", "committee", "contributor", "scooter", "neuter",
    "comb", "composer", "producer", "come to a", "batter", "compare", "compass", "comfort", "common", "looter",
    "shooter", "recruiter", "polluter", "disputer", "composed", "complete", "complain", "compact", "combine",
)  # fmt: skip
TEST_NEAR = (
    "commuting", "complete her", "computable", "router", "disputed", "composure", "compete", "come to us", "suitor",
    "compliment", "beautiful", "commander", "competence", "come home peter", "commodore", "executor", "comma",
    "accuser", "compounded", "come through here",
)  # fmt: skip
NEAR_EACH, ORDINARY_EACH = 11, 9


def training_plan() -> Plan:
    """Every training voice says the wake word three times, and twenty other words."""
    near, ordinary = cycle(TRAINING_NEAR), cycle(word for word in TRAINING_ORDINARY if word != WORD)
    said: list[Utterance] = []
    for speaker in training_speakers():
        said += (Utterance(WORD, WORD, speaker, "train", take) for take in range(TAKES))
        others = (*islice(near, NEAR_EACH), *islice(ordinary, ORDINARY_EACH))
        said += (Utterance(UNKNOWN, text, speaker, "train") for text in others)
    return Plan("computer-training", "Training speech for the computer model", tuple(said))


def corpus_plan() -> Plan:
    """The committed corpus: split ``test`` on all accents, ``calibration`` on training voices."""
    said = [each for speaker, near in zip(corpus_speakers(), cycle(TEST_NEAR)) for each in _pair(speaker, near, "test")]
    heard: dict[str, int] = {}
    for speaker, near in zip(training_speakers(), cycle(TRAINING_NEAR)):
        heard[speaker.accent] = heard.get(speaker.accent, 0) + 1
        if speaker.engine == "espeak-ng" and heard[speaker.accent] <= CALIBRATION_VOICES_PER_ACCENT:
            said += _pair(speaker, near, "calibration")
    title = "The wake word computer and words near it, synthetic speech: twenty accents, ten voices each"
    return Plan("computer", title, tuple(said))


def _pair(speaker: Speaker, near: str, split: str) -> Iterator[Utterance]:
    yield Utterance(WORD, WORD, speaker, split)
    yield Utterance(UNKNOWN, near, speaker, split)


PLANS: dict[str, Callable[[], Plan]] = {"training": training_plan, "corpus": corpus_plan}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    build_corpus(PLANS[asked.plan](), asked.folder)


if __name__ == "__main__":
    main()
