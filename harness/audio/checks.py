"""Is the audio fit to be judged? Every fault of a corpus, found before anything is built on it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from harness.audio import pool
from harness.audio.clip import Clip, Wave, decode
from harness.audio.corpus import Corpus
from harness.cache import Cache, digest
from harness.errors import CorpusError

SHORTEST_S = 0.1
FULL_SCALE = 32766 / 32768
CLIPPED_RUN = 3  # neighbours at full scale: one alone may be an honest peak
CLIPPED_SHARE = 1e-3
SILENT_PEAK = 1e-3  # -60 dBFS
LISTED = 5
CHECKS = 1  # raise when a check changes, so that kept results are made anew


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one clip."""

    clip: str
    kind: str  # missing, unreadable, too short, wrong rate, not finite, clipped, sha mismatch, silent
    detail: str


def check_audio(corpus: Corpus, cache: Cache | None = None, silence: Collection[str] = ("silence",)) -> list[Finding]:
    """Every fault of the audio, in the order of the clips. ``silence``: labels that may be silent.

    With a cache the answer is kept until a clip, its row, or its file's size or time changes.
    """
    if cache is None:
        chosen = (corpus.clips[first : first + pool.SIZE] for first in range(0, len(corpus.clips), pool.SIZE))
        parts = ((corpus.sample_rate, sorted(silence), [_words(clip) for clip in some]) for some in chosen)
        found = pool.over(checked_part, parts, len(corpus.clips))
        return [Finding(*each) for part in found for each in part]

    def make(folder: Path) -> None:
        found = [asdict(finding) for finding in check_audio(corpus, None, silence)]
        (folder / "findings.json").write_text(json.dumps(found))

    files = [(str(clip.path), _state(clip.path)) for clip in corpus.clips]
    key = digest("checks", CHECKS, corpus.digest, sorted(silence), files)
    folder = cache.entry("checks", key, make).path
    return [Finding(**found) for found in json.loads((folder / "findings.json").read_text())]


def require_audio(corpus: Corpus, cache: Cache | None = None, silence: Collection[str] = ("silence",)) -> None:
    """Raises one CorpusError for all faults: the first few by name, the rest counted by kind."""
    findings = check_audio(corpus, cache, silence)
    if not findings:
        return
    clips = len({finding.clip for finding in findings})
    first = "; ".join(f"{finding.clip}: {finding.kind} ({finding.detail})" for finding in findings[:LISTED])
    rest = Counter(finding.kind for finding in findings[LISTED:])
    more = ", ".join(f"{count} more {kind}" for kind, count in sorted(rest.items()))
    raise CorpusError(
        f"corpus {corpus.name!r}: {clips} of {len(corpus.clips)} clips cannot be judged: {first}"
        f"{f'; and {more}' if more else ''}. Mend the audio below {corpus.root}, or drop its rows."
    )


Words = tuple[str, str, str, str | None, bool, bool]  # id, path, label, sha256, resample, mixed


def _words(clip: Clip) -> Words:
    return clip.id, str(clip.path), clip.label, clip.sha256, clip.resample, clip.mixed


def checked_part(request: tuple[int, list[str], list[Words]]) -> list[tuple[str, str, str]]:
    """Clip, kind and detail of every fault of some clips: builtin values, for whatever process does it."""
    sample_rate, silence, clips = request
    found = []
    for name, path, label, sha256, resample, mixed in clips:
        clip = Clip(name, Path(path), label, "", "", "test", sha256, resample, mixed)
        found += [(fault.clip, fault.kind, fault.detail) for fault in _findings(clip, sample_rate, silence)]
    return found


def _findings(clip: Clip, sample_rate: int, silence: Collection[str]) -> list[Finding]:
    if not clip.path.is_file():
        return [Finding(clip.id, "missing", f"no file {clip.path}")]
    try:
        audio, rate = decode(clip)
    except CorpusError as error:
        return [Finding(clip.id, "unreadable", str(error).removeprefix(f"clip {clip.id!r}: "))]
    faults: dict[str, str] = {}
    if rate != sample_rate and not clip.resample:
        faults["wrong rate"] = f"{rate} Hz, not {sample_rate} Hz"
    if audio.shape[0] < SHORTEST_S * rate:
        faults["too short"] = f"{audio.shape[0] / rate:.3f} s, not {SHORTEST_S} s or more"
    if not np.isfinite(audio).all():
        faults["not finite"] = f"{np.count_nonzero(~np.isfinite(audio))} samples are NaN or infinite"
    else:
        if (share := clipped_share(audio)) >= CLIPPED_SHARE:
            faults["clipped"] = f"{100 * share:.2g}% of samples at full scale, limit {100 * CLIPPED_SHARE:g}%"
        if clip.label not in silence and np.abs(audio).max(initial=0.0) < SILENT_PEAK:
            faults["silent"] = f"labelled {clip.label!r}, but its peak is below -60 dBFS"
        if clip.sha256 is not None and audio_sha256(audio) != clip.sha256:
            faults["sha mismatch"] = "the samples are not those the manifest was made of"
    return [Finding(clip.id, kind, detail) for kind, detail in faults.items()]


def audio_sha256(audio: Wave) -> str:
    """sha256 of the samples as int16 little-endian, as manifests state it: the encoding does not matter."""
    steps = np.clip(np.rint(audio * np.float32(32768)), -32768, 32767)
    return hashlib.sha256(steps.astype("<i2").tobytes()).hexdigest()


def clipped_share(audio: Wave) -> float:
    """Share of samples in runs of three or more at full scale, of one sign."""
    count = 0
    for hot in (audio >= FULL_SCALE, audio <= -FULL_SCALE):
        edges = np.flatnonzero(np.diff(np.concatenate(([False], hot, [False])).astype(np.int8)))
        runs = edges[1::2] - edges[::2]
        count += int(runs[runs >= CLIPPED_RUN].sum())
    return float(count / max(1, audio.shape[0]))


def _state(path: Path) -> tuple[int, int]:
    if not path.is_file():
        return (-1, -1)
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
