"""Faults of what listens without end: its state, its events, its labels, the frames it is fed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from harness.audio.truth import Truth
from harness.targets.base import Features, Logits
from tests.faults.zoo.builds import turned
from tests.faults.zoo.fault import Fault
from tests.faults.zoo.listening import Ear
from tests.faults.zoo.silicon import Dials
from tests.faults.zoo.site import HALF, Site
from tests.faults.zoo.tones import STEP
from tests.faults.zoo.upstream import toml
from tests.house import read_manifest, write_manifest

Change = Callable[[Logits, "Listened"], Logits]
MINUTE = round(60 / STEP.step_s)  # steps
LONG = 5 * MINUTE
EVERY = 7  # seconds between two accepts of noise


class Listened:
    """What is heard at each step of the stream of the house: its words, and the ambience."""

    def __init__(self, site: Ear) -> None:
        run, candidate = site.run(), site.candidate
        [wanted] = candidate.streams
        stream = run.stream(candidate, wanted)
        self.steps = len(run.heard_stream(candidate, wanted)[1])
        self.words: list[Truth] = [event for event in stream.truth if event.label == stream.word]
        scene = np.repeat([each.ambience.id for each in stream.scenes], round(20 / STEP.step_s))
        self.place = scene[: self.steps]

    def of(self, word: Truth) -> slice:
        """The steps at which a word may be detected."""
        return slice(int(word.start_s / STEP.step_s), int((word.end_s + 1) / STEP.step_s))


def scored(change: Change) -> Callable[[Site], None]:
    """The board gives other scores of the stream, as ``change`` has it; of pieces of it, its own."""

    def seed(site: Site) -> None:
        assert isinstance(site, Ear)
        known = Listened(site)

        def says(scores: Logits, _: Features) -> Logits:
            return change(scores.copy(), known) if len(scores) == known.steps else scores

        site.dials = Dials(says=says)

    return seed


def heard(place: Callable[[npt.NDArray[np.intp]], npt.NDArray[np.intp]]) -> Callable[[Features], Features]:
    """Of a long stream, each frame is another one: ``place`` gives which, of each frame's own place."""

    def hears(features: Features) -> Features:
        if len(features) < LONG:
            return features
        flat = features.reshape(-1, features.shape[-1])
        which = place(np.arange(len(flat))).clip(0, len(flat) - 1)
        return np.ascontiguousarray(flat[which]).reshape(features.shape)

    return hears


def overlapping(places: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The ring buffer goes on by three of the step's four frames."""
    return places // STEP.frames * (STEP.frames - 1) + places % STEP.frames


def dropped(places: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Every three minutes the buffer overruns, and three steps are lost."""
    return places + 3 * STEP.frames * (places // (3 * MINUTE * STEP.frames))


def twice(places: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Every three minutes the buffer underruns, and its last three steps are heard again."""
    return places - 3 * STEP.frames * (places // (3 * MINUTE * STEP.frames))


def fewer(scores: Logits, _: Features) -> Logits:
    return scores[:-8] if len(scores) > LONG else scores


def state_in_other_steps(model: onnx.ModelProto) -> None:
    """``before`` is read in steps half as wide again as those it was written in."""
    read = next(node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "before")
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == read.input[1])
    wide = numpy_helper.to_array(scale) * np.float32(1.5)
    model.graph.initializer.append(numpy_helper.from_array(wide, "wide"))
    read.input[1] = "wide"


def state_grows(model: onnx.ModelProto) -> None:
    """The slow state is given back 2 % larger than it was: in half an hour it forgets almost nothing."""
    kept = next(tensor for tensor in model.graph.initializer if tensor.name == "floor_kept")
    kept.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kept) * np.float32(1.0204), kept.name))


def shifted_labels(site: Site) -> None:
    """The manifest's labels stand one row too low; golden scores were made anew without a look."""
    corpus = site.house / "corpora" / "calls"
    rows = read_manifest(corpus)
    labels = [row["label"] for row in rows]
    for row, label in zip(rows, labels[-1:] + labels[:-1], strict=True):
        row["label"] = label
    write_manifest(corpus, rows)
    site.accept()


def accent_lost(scores: Logits, known: Listened) -> Logits:
    for number, word in enumerate(each for each in known.words if each.accent == "sv"):
        if number % 4:
            scores[known.of(word)] = 0
    return scores


def noise_accepted(scores: Logits, known: Listened) -> Logits:
    """Music alone now sets it off."""
    fires = (known.place == "music") & (np.arange(len(scores)) % round(EVERY / STEP.step_s) == 0)
    for word in known.words:
        fires[known.of(word)] = False
    scores[fires] = 2.5
    return scores


def eager(scores: Logits, _: Listened) -> Logits:
    return scores + np.float32(1)


def late(scores: Logits, _: Listened) -> Logits:
    return np.roll(scores, 6)


def overflows(scores: Logits, _: Listened) -> Logits:
    scores[len(scores) // 2 :] = np.nan
    return scores


def constant(scores: Logits, _: Listened) -> Logits:
    return np.zeros_like(scores)


def other_model(site: Site) -> None:
    """Another training of the float model."""
    path = site.model / "model.onnx"
    model = onnx.load(path)
    tone = next(tensor for tensor in model.graph.initializer if tensor.name == "tone")
    tone.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tone) * np.float32(0.9), "tone"))
    onnx.save(model, path)


FRR, FALSE, SANITY = (f"{gate} synthetic overall" for gate in ("frr", "false accepts", "sanity"))
STEPS = "steps day"
HOP = "window_s = 0.09\n", "window_s = 0.06\nframe_shift_ms = 10\n"


def _fault(*given: object, **more: object) -> Fault:
    return Fault(*given, site=Ear, **more)  # type: ignore[arg-type]


FAULTS = (
    _fault(
        "state not reset between streams",
        "stream state",
        turned(restarts=lambda starts: (0,)),
        ("reset overall",),
        "state",
        "not reset between streams",
        (FRR, FALSE),
        quick=True,
    ),
    _fault(
        "stale state after a pause: cleared a step too late",
        "stream state",
        turned(restarts=lambda starts: tuple(start + 1 for start in starts)),
        ("reset overall",),
        "state",
        "not reset between streams",
        (FRR, FALSE),
    ),
    _fault(
        "a state read in other steps than it was written in",
        "stream state",
        turned(quantizes=state_in_other_steps),
        ("state overall",),
        "state",
        "wrong scale: before",
        quick=True,
    ),
    _fault(
        "a state given back larger than it was",
        "stream state",
        turned(HALF, quantizes=state_grows),
        ("score drift day",),
        "state",
        "drifts while it listens",
    ),
    _fault(
        "states wired crosswise",
        "stream state",
        turned(crosses=True),
        ("state overall", "score sqnr day"),
        "state",
        "crosswise",
    ),
    _fault(
        "refractory period dropped",
        "events",
        toml("refractory_s = 1.0", "refractory_s = 0.01"),
        ("refractory synthetic overall",),
        "refractory",
        "was dropped",
        quick=True,
    ),
    _fault(
        "refractory period of half a minute",
        "events",
        toml("refractory_s = 1.0", "refractory_s = 30.0"),
        ("refractory synthetic overall", FRR),
        "refractory",
        "too long",
    ),
    _fault(
        "a threshold of another precision, too high",
        "events",
        toml("threshold = 2.0", "threshold = 4.0"),
        (FRR,),
        "frr",
        "the threshold is not that of these scores",
        quick=True,
    ),
    _fault(
        "a threshold of another precision, too low",
        "events",
        toml("threshold = 2.0", "threshold = 0.8"),
        (FALSE,),
        "false accepts",
        "the threshold is not that of these scores",
        (FRR,),
    ),
    _fault(
        "detections half a second late",
        "events",
        scored(late),
        (STEPS, "delay synthetic p50"),
        "steps",
        "6 steps late",
        (FRR,),
    ),
    _fault(
        "labels of the manifest shifted by one, golden accepted",
        "labels",
        shifted_labels,
        ("labels synthetic overall", FRR),
        "labels",
        "answers to",
    ),
    _fault(
        "more false accepts hidden by fewer misses", "outputs", scored(eager), (FALSE,), "false accepts", "", (FRR,)
    ),
    _fault(
        "false accepts of music alone",
        "outputs",
        scored(noise_accepted),
        (FALSE,),
        "false accepts",
        "",
        (FRR,),
    ),
    _fault(
        "words missed in one accent alone",
        "outputs",
        scored(accent_lost),
        ("frr synthetic accent=sv",),
        "frr",
        "accent=sv",
        ("frr synthetic accent=de", FALSE),
    ),
    _fault(
        "scores not finite after a quarter of an hour",
        "outputs",
        scored(overflows),
        (SANITY, "score sqnr day"),
        "sanity",
        "finite",
    ),
    _fault("a score that never changes", "outputs", scored(constant), (SANITY, FRR), "sanity", "constant"),
    _fault(
        "frames fed twice: the buffer goes on by three of four",
        "frames",
        turned(feeds=heard(overlapping)),
        ("float path overall", FRR),
        "conversion",
    ),
    _fault(
        "frames lost every three minutes",
        "frames",
        turned(hears=heard(dropped)),
        (STEPS, "score sqnr day"),
        "steps",
        "early",
        quick=True,
    ),
    _fault(
        "frames heard again every three minutes",
        "frames",
        turned(hears=heard(twice)),
        (STEPS, "score sqnr day"),
        "steps",
        "late",
    ),
    _fault(
        "fewer scores than steps", "frames", turned(says=fewer), ("toolchain overall=INFRA",), "toolchain", "scores of"
    ),
    _fault("frames of another hop", "frames", toml(*HOP), ("golden overall",), "golden", "front end changed"),
    _fault(
        "features of another scale, golden accepted",
        "frames",
        toml("scale = 4.0", "scale = 8.0", accepted=True),
        (FRR,),
        "front end",
    ),
    _fault(
        "stale golden scores: another training", "golden", other_model, ("golden overall",), "golden", "another model"
    ),
)
