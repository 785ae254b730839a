"""Faults of the board: what it answers, how long it takes, what memory it needs; and what is done with its answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harness.targets.base import Features, Logits
from tests.faults.zoo.builds import DROP, SQNR, turned
from tests.faults.zoo.fault import Fault
from tests.faults.zoo.silicon import Dials, looks
from tests.faults.zoo.site import RARE, SILICON, Heard, Site

Mask = npt.NDArray[np.bool_]
Wrong = Callable[[Heard, Logits], Logits]  # of all renderings, in their order


def answers(change: Wrong) -> Callable[[Site], None]:
    """The board answers otherwise for the renderings that ``change`` picks by what is known of each."""

    def seed(site: Site) -> None:
        heard = site.heard

        def says(logits: Logits, features: Features) -> Logits:
            known = [(row, place) for row, place in enumerate(heard.places(features)) if place is not None]
            if not known:
                return logits
            rows, places = map(list, zip(*known, strict=True))
            whole = np.zeros((len(heard.accent), logits.shape[1]), np.float32)
            whole[places] = logits[rows]
            spoiled = logits.copy()
            spoiled[rows] = change(heard, whole)[places]
            return spoiled

        site.build, site.dials = SILICON, Dials(says=says)

    return seed


def some(mask: Mask, share: float) -> Mask:
    """An even ``share`` of what the mask marks."""
    places = np.flatnonzero(mask)
    found = np.zeros_like(mask)
    found[places[np.linspace(0, len(places) - 1, round(share * len(places))).astype(int)]] = True
    return found


def misled(logits: Logits, mask: Mask) -> Logits:
    """Another label wins by as much."""
    return np.where(mask[:, None], np.roll(logits, 1, axis=1), logits).astype(np.float32)


def where(accent: str | None = None, condition: str | None = None, share: float = 1.0) -> Wrong:
    def change(heard: Heard, logits: Logits) -> Logits:
        mask = np.ones(len(logits), bool)
        if accent:
            mask &= np.array(heard.accent) == accent
        if condition:
            mask &= np.array(heard.condition) == condition
        return misled(logits, some(mask, share))

    return change


def not_finite(heard: Heard, logits: Logits) -> Logits:
    spoiled = logits.copy()
    spoiled[17] = np.nan
    return spoiled


def constant(heard: Heard, logits: Logits) -> Logits:
    mask = np.array(heard.accent) == "fr"
    return np.where(mask[:, None], logits[0], logits).astype(np.float32)


def mended(heard: Heard, logits: Logits) -> tuple[Logits, Mask]:
    """All that is decided wrong decided right, which no build can do by itself; and where that was."""
    truth = np.array(heard.truth)
    wrong = logits.argmax(axis=1) != truth
    best = logits.copy()
    best[wrong, truth[wrong]] = logits[wrong].max(axis=1) + 1
    return best, wrong


def hidden_by_a_gain(heard: Heard, logits: Logits) -> Logits:
    """As many of one accent lost as are gained elsewhere."""
    best, wrong = mended(heard, logits)
    own = np.array(heard.accent) == "de"
    gained = np.where((wrong & ~own)[:, None], best, logits).astype(np.float32)
    lost = own & ~wrong
    return misled(gained, some(lost, (wrong & ~own).sum() / lost.sum()))


def other_decisions(heard: Heard, logits: Logits) -> Logits:
    """As many lost everywhere as are gained everywhere."""
    best, wrong = mended(heard, logits)
    return misled(best, some(~wrong, wrong.sum() / (~wrong).sum()))


def state_kept(logits: Logits, _: Features) -> Logits:
    """The window before still sounds in this one: its state was not reset."""
    return logits + 0.7 * np.roll(logits, 1, axis=0)


def one_late(logits: Logits, _: Features) -> Logits:
    """The answer to the window before: a buffer is read before it is written."""
    return np.roll(logits, 1, axis=0)


def next_label(logits: Logits, _: Features) -> Logits:
    return np.roll(logits, 1, axis=1)


def twice(logits: Logits, _: Features) -> Logits:
    return 2 * logits


def spikes(i: int, _: np.random.Generator) -> float:
    return 8.0 if i % 40 == 39 else 1.0


def bimodal(_: int, random: np.random.Generator) -> float:
    return 1.5 if random.random() < 0.3 else 1.0


HOT = looks(celsius=(61, 84, 95), mhz=(2000, 1600, 1200))
P50, P95, P99 = (f"latency inference {name}" for name in ("p50", "p95", "p99"))
RATIO = "latency inference over float, p50"
WHOLE = "latency end to end p50"
LOSES = "or its toolchain"
FAULTS = (
    Fault("an input that is clipped", "board", turned(hears=lambda x: x.clip(-0.5, 0.5)), (SQNR, DROP), "board", LOSES),
    Fault(
        "its own front end a few frames late",
        "board",
        turned(hears=lambda x: np.roll(x, 6, axis=1)),
        (SQNR,),
        "board",
        LOSES,
    ),
    Fault("outputs dequantized by twice the scale", "board", turned(says=twice), (SQNR,), "board", LOSES, (DROP,)),
    Fault("state kept from the window before", "state", turned(says=state_kept), (SQNR,), "board", LOSES, quick=True),
    Fault("answers one window late", "state", turned(says=one_late), (SQNR, DROP), "board", LOSES),
    Fault("decoding with the next label", "decoding", turned(says=next_label), (SQNR, DROP), "board", LOSES),
    Fault("NaN on one clip", "outputs", answers(not_finite), ("sanity overall",), "board", LOSES, quick=True),
    Fault(
        "a constant output on one accent",
        "outputs",
        answers(constant),
        ("sanity overall", "accuracy accent=fr"),
        "board",
        LOSES,
    ),
    Fault(
        "a drop on a rare accent alone",
        "outputs",
        answers(where(accent=RARE, share=0.4)),
        (f"accuracy accent={RARE}",),
        "board",
        LOSES,
        quick=True,
    ),
    Fault(
        "a drop in noise alone",
        "outputs",
        answers(where(condition="noise-10db", share=0.15)),
        ("accuracy condition=noise-10db",),
        "board",
        LOSES,
        ("accuracy condition=clean",),
    ),
    Fault(
        "a loss hidden by an equal gain elsewhere",
        "outputs",
        answers(hidden_by_a_gain),
        ("accuracy accent=de",),
        "board",
        LOSES,
        (f"{DROP}=INCONCLUSIVE",),
        quick=True,
    ),
    Fault(
        "other decisions, as many right as before",
        "outputs",
        answers(other_decisions),
        ("flips overall",),
        "board",
        LOSES,
        (DROP,),
    ),
    Fault(
        "5 % slower", "latency", turned(times=lambda i, random: 1.05), (P50, RATIO), "latency", "inference", quick=True
    ),
    Fault("20 % slower", "latency", turned(times=lambda i, random: 1.2), (P50, P95, P99, RATIO, WHOLE), "latency"),
    Fault(
        "5 % slower on a board that is 5 % faster today",
        "latency",
        turned(times=lambda i, random: 1.05, pace=lambda i, random: 0.95),
        (RATIO,),
        "latency",
        "over float",
        (P50,),
    ),
    Fault("spikes", "latency", turned(times=spikes), (P99,), "latency", "inference p99", (P50, P95), quick=True),
    Fault("two modes", "latency", turned(times=bimodal), (P95, P99), "latency", "p9", (P50,)),
    Fault(
        "a front end twice as slow", "latency", turned(front_ms=4.0), (WHOLE,), "latency", "end to end", (P50, RATIO)
    ),
    Fault(
        "a board that throttles",
        "latency",
        turned(pace=lambda i, random: 1.5, vitals=HOT),
        (f"{P50}=INCONCLUSIVE", f"{WHOLE}=INCONCLUSIVE"),
        "board",
        "policy0 at 1200 of 2000 MHz",
        (RATIO,),
        quick=True,
    ),
    Fault(
        "a board that grows slower and slower",
        "latency",
        turned(pace=lambda i, random: 1 + i / 2000),
        (f"{P50}=INCONCLUSIVE",),
        "board",
        "timings drifted",
        (RATIO,),
    ),
    Fault(
        "a leak of 64 KiB an inference", "memory", turned(leak=65536), ("footprint rss",), "memory", "rss", quick=True
    ),
    Fault(
        "a file larger by what nobody reads",
        "memory",
        turned(ballast=100_000),
        ("footprint file",),
        "memory",
        "file",
        (DROP,),
    ),
    Fault(
        "twice the activations",
        "memory",
        turned(activations=64_000),
        ("footprint activations",),
        "memory",
        "activations",
        (DROP,),
    ),
)
