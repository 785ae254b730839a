"""Faults of spoken commands, their tokens and grammar; and of the pipeline that hears them after a wake word."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.score.ctc import Decoder
from harness.targets.base import Features, Logits
from tests.faults.zoo.boards import answers
from tests.faults.zoo.builds import turned
from tests.faults.zoo.fault import Fault
from tests.faults.zoo.listening import Both, Voice
from tests.faults.zoo.silicon import Dials
from tests.faults.zoo.site import Heard, Site
from tests.faults.zoo.tones import ALPHABET, FRONT, SENTENCES, WINDOW, save_voice
from tests.house import edit

LABELS = ["<blank>", *ALPHABET]
SURE = 20.0  # the logit of a token that is decided


def labelled(labels: list[str]) -> Callable[[Site], None]:
    """Other labels in model.toml, golden outputs made anew without a look."""

    def seed(site: Site) -> None:
        edit(site.model / "model.toml", _listed(LABELS), _listed(labels))
        site.accept()

    return seed


def _listed(labels: list[str]) -> str:
    return str(labels).replace("'", '"')


def framed(logits: Logits) -> Logits:
    return logits.reshape(len(logits), -1, len(LABELS))


def flat(frames: Logits) -> Logits:
    return np.ascontiguousarray(frames.reshape(len(frames), -1), np.float32)


def blank_last(logits: Logits, _: Features) -> Logits:
    """The blank behind the letters, as other toolkits have it."""
    return flat(np.roll(framed(logits), -1, axis=2))


def parted(logits: Logits, _: Features) -> Logits:
    """A blank in every second frame: what one letter's frames held is several letters now."""
    frames = framed(logits).copy()
    frames[:, ::2] = np.eye(len(LABELS))[0] * SURE
    return flat(frames)


def decided(logits: Logits, _: Features) -> Logits:
    """Only the best token of each frame is given, as by an ArgMax at the end of the graph."""
    return flat(SURE * np.eye(len(LABELS))[framed(logits).argmax(axis=2)])


def cut(logits: Logits, _: Features) -> Logits:
    """What comes behind the middle of the frames is never written."""
    frames = framed(logits).copy()
    frames[:, 9 * frames.shape[1] // 16 :] = np.eye(len(LABELS))[0] * SURE
    return flat(frames)


def hidden_by_a_gain(site: Site) -> None:
    """Renderings of one accent that are spelled right, and of others that are not, answer for each other."""
    decoder, sentences = site.run().decoder(site.candidate), sorted(SENTENCES)

    def change(heard: Heard, logits: Logits) -> Logits:
        said = np.array(heard.truth)
        right = np.array([text == sentences[i] for text, i in zip(decoder.spelled(logits), said, strict=True)])
        own = np.array(heard.accent) == "de"
        found = logits.copy()
        for sentence in set(heard.truth):
            mine, other = (np.flatnonzero((said == sentence) & mask) for mask in (own & right, ~own & ~right))
            pairs = min(len(mine), len(other))
            found[mine[:pairs]], found[other[:pairs]] = logits[other[:pairs]], logits[mine[:pairs]]
        return found

    answers(change)(site)


def grammar(*sentences: str) -> Callable[[Site], None]:
    def seed(site: Site) -> None:
        write_grammar(site, sentences)

    return seed


def write_grammar(site: Site, sentences: tuple[str, ...]) -> None:
    (site.model / "grammar.toml").write_text(f"patterns = {_listed(list(sentences))}\n")


def no_grammar(site: Site) -> None:
    """Whatever the letters spell is a sentence."""
    run, candidate = site.run(), site.candidate
    decoder: Decoder = run.decoder(candidate)
    spelled = [text for each in run.golden(candidate).values() for text in decoder.spelled(each.logits)]
    known = {" ".join(text.split()) for text in spelled} - {""}
    write_grammar(site, tuple(sorted({*SENTENCES, *known})))


def late_trigger(site: Site) -> None:
    """Of a stream, every score comes a second late."""
    site.dials = Dials(says=lambda outputs, _: np.roll(outputs, 12) if outputs.ndim == 1 else outputs)


def short_window(site: Site) -> None:
    front = WINDOW.model_copy(update={"window_s": 1.2})
    save_voice(site.house / "models" / "voice" / "model.onnx", front)
    toml = site.house / "models" / "voice" / "model.toml"
    edit(toml, FRONT.format(WINDOW.window_s), FRONT.format(front.window_s))


def of_candidate(name: str, old: str, new: str) -> Callable[[Site], None]:
    return lambda site: edit(site.house / "models" / name / "model.toml", old, new)


def open_ears(site: Site) -> None:
    of_candidate("ear", "threshold = 2.0", "threshold = -9.0")(site)
    of_candidate("voice", "reject = -3.5", "reject = -99.0")(site)


def _voice(*given: object, **more: object) -> Fault:
    return Fault(*given, site=Voice, **more)  # type: ignore[arg-type]


def _both(*given: object, **more: object) -> Fault:
    return Fault(*given, site=Both, **more)  # type: ignore[arg-type]


WER, RISE, ACCURACY, SANITY = "wer overall", "wer_rise overall", "accuracy overall", "sanity overall"
SUCCESS = "success synthetic overall"
FAULTS = (
    _voice(
        "CTC blank index wrong, golden accepted",
        "tokens",
        labelled([*LABELS[-1:], *LABELS[1:-1], "<blank>"]),
        (SANITY, WER),
        "sanity",
        "CTC blank index wrong: output 0 is the blank",
        quick=True,
    ),
    _voice(
        "letters shifted by one, golden accepted",
        "tokens",
        labelled(["<blank>", *LABELS[2:], " "]),
        (SANITY, WER),
        "sanity",
        "labels shifted by one",
    ),
    _voice(
        "the build's blank behind its letters",
        "tokens",
        turned(says=blank_last),
        (SANITY, RISE, ACCURACY),
        "sanity",
        "the blank too",
    ),
    _voice(
        "letters listed anew, golden not",
        "tokens",
        lambda site: edit(site.model / "model.toml", _listed(LABELS), _listed([*LABELS[1:], "<blank>"])),
        ("golden overall",),
        "golden",
        "its labels are",
    ),
    _voice("repeats not collapsed", "decoding", turned(says=parted), (SANITY, RISE), "sanity", "repeats", quick=True),
    _voice(
        "one token a frame in place of likelihoods",
        "decoding",
        turned(says=decided),
        (SANITY, ACCURACY),
        "sanity",
        "decided already",
        (WER, RISE),
    ),
    _voice(
        "grammar of another release: a command missing",
        "decoding",
        grammar(*SENTENCES[1:]),
        ("corpus overall",),
        "corpus",
        "which the grammar",
    ),
    _voice("words decoded without the grammar", "decoding", no_grammar, ("golden overall",), "golden", "grammar"),
    _voice("the last frames not written", "outputs", turned(says=cut), (RISE, ACCURACY), "accuracy"),
    _voice(
        "words lost in one accent, as many gained elsewhere",
        "outputs",
        hidden_by_a_gain,
        ("wer_rise accent=de",),
        "wer_rise",
        "accent=de",
        (f"{RISE}=INCONCLUSIVE", WER),
    ),
    _both(
        "the trigger late: the command's first word is cut off",
        "pipeline",
        late_trigger,
        (SUCCESS, "wer synthetic overall"),
        "success",
        "began after the command",
    ),
    _both(
        "a window that ends before the command does",
        "pipeline",
        short_window,
        (SUCCESS, "command accuracy synthetic overall"),
        "success",
        "ended before the command",
    ),
    _both(
        "a trigger that never wakes",
        "pipeline",
        of_candidate("ear", "threshold = 2.0", "threshold = 80.0"),
        (SUCCESS,),
        "success",
        "45 never woke it",
    ),
    _both(
        "a trigger that everything wakes, a recognizer that rejects nothing",
        "pipeline",
        open_ears,
        ("false activations synthetic overall",),
        "false activations",
    ),
)
