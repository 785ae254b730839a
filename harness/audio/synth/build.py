"""Build a corpus folder: speak the plan in fresh processes, write FLAC, manifest and corpus.toml.

Each batch (one engine, one accent) is spoken by a process of its own in a fixed order, so a build
is repeated to the bit on the same engine versions.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from pathlib import Path

import soundfile

from harness.audio.synth.accents import FOREIGN, NATIVE
from harness.audio.synth.phrases import phrases_plan, phrases_training_plan
from harness.audio.synth.plan import Plan, Utterance, commands_plan, training_plan
from harness.audio.synth.render import Pcm, render
from harness.audio.synth.speech import SAMPLE_RATE
from harness.errors import CorpusError, nearest

BUILDER_VERSION = 1
LICENCE = "CC0-1.0"
HEADER = ("clip", "path", "label", "speaker", "accent", "engine", "split", "sha256", "text")
PLANS: dict[str, Callable[[], Plan]] = {
    "commands": commands_plan,
    "training": training_plan,
    "phrases": phrases_plan,
    "phrases-training": phrases_training_plan,
}

Progress = Callable[[int, int], None]


def build_corpus(plan: str | Plan, out: Path, *, progress: Progress | None = None) -> Path:
    """Write ``out``/corpus.toml, manifest.tsv and clips/ for a plan or the name of a known one.

    ``progress(done, total)`` is called after each batch, in clips. Raises CorpusError for an unknown name or
    a folder that holds another corpus, ToolchainError naming the engine that is not installed.
    """
    plan = _known(plan) if isinstance(plan, str) else plan
    _claim(out)
    rows: list[str] = []
    for utterance, pcm in _spoken(plan, progress):
        path = out / "clips" / f"{utterance.clip}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, pcm, SAMPLE_RATE, subtype="PCM_16", format="FLAC", compression_level=1.0)
        rows.append(_row(utterance, pcm))
    (out / "manifest.tsv").write_text("\n".join(["\t".join(HEADER), *sorted(rows)]) + "\n", encoding="utf-8")
    (out / "corpus.toml").write_text(_describe(plan), encoding="utf-8")
    return out


def build_training(out: Path, *, voices_per_accent: int | None = None, progress: Progress | None = None) -> Path:
    """Write the training speech of the commands model: other voices and unknown words than the corpus."""
    plan = training_plan() if voices_per_accent is None else training_plan(voices_per_accent)
    return build_corpus(plan, out, progress=progress)


def audio_digest(pcm: Pcm) -> str:
    """SHA-256 of the samples as int16 little-endian: the same whatever encoder wrote the file."""
    return hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest()


def _known(name: str) -> Plan:
    if name not in PLANS:
        raise CorpusError(
            f"No corpus is built under the name {name!r}{nearest(name, PLANS)}; known: {', '.join(sorted(PLANS))}."
        )
    return PLANS[name]()


def _claim(out: Path) -> None:
    """A folder with clips is never built over: clips of an older plan would stay among the new."""
    if (out / "clips").exists():
        raise CorpusError(f"{out} already holds clips: remove {out / 'clips'} or give another folder with --out.")
    out.mkdir(parents=True, exist_ok=True)


def _spoken(plan: Plan, progress: Progress | None) -> Iterator[tuple[Utterance, Pcm]]:
    batches = list(_batches(plan))
    done = 0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([render.__module__])  # importing scipy would cost more than a batch of speech
    workers = min(len(batches), len(os.sched_getaffinity(0)))
    with ProcessPoolExecutor(max(1, workers), mp_context=context, max_tasks_per_child=1) as pool:
        for batch, clips in zip(batches, pool.map(render, batches), strict=True):
            yield from zip(batch, clips, strict=True)
            done += len(batch)
            if progress is not None:
                progress(done, len(plan.utterances))


def _batches(plan: Plan) -> Iterator[list[Utterance]]:
    def key(utterance: Utterance) -> tuple[str, str]:
        return utterance.speaker.engine, utterance.speaker.accent

    for _, batch in groupby(sorted(plan.utterances, key=key), key=key):
        yield list(batch)


def _row(utterance: Utterance, pcm: Pcm) -> str:
    speaker = utterance.speaker
    cells = (
        utterance.clip, f"clips/{utterance.clip}.flac", utterance.label, speaker.id, speaker.accent,
        utterance.engine, utterance.split, audio_digest(pcm), utterance.text,
    )  # fmt: skip
    return "\t".join(cells)


def _describe(plan: Plan) -> str:
    lines = [
        "[corpus]",
        f'name = "{plan.name}"',
        f'description = "{plan.description}"',
        f"sample_rate = {SAMPLE_RATE}",
        f'licence = "{LICENCE}"',
        f"builder = {BUILDER_VERSION}",
    ]
    present = {utterance.speaker.accent for utterance in plan.utterances}
    for group, accents in (("native", NATIVE), ("foreign", FOREIGN)):
        for accent, title in accents.items():
            if accent in present:
                lines += ["", f"[accents.{accent}]", f'title = "{title}"', f'group = "{group}"']
    return "\n".join(lines) + "\n"
