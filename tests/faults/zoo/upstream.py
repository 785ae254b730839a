"""Faults before and beside the build: data, labels, front end, golden, cache, releases."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import soundfile
from onnx import numpy_helper

from harness import baseline as baselines
from harness import golden as goldens
from harness.candidate import find_candidates
from harness.golden import Golden
from tests.faults.spoil import another_band, another_model, another_window, swapped_labels
from tests.faults.surgery import imbalance
from tests.faults.zoo.fault import Fault
from tests.faults.zoo.silicon import changed
from tests.faults.zoo.site import CONDITIONS, HOST, Site
from tests.house import SHIPPED, Row, edit, read_manifest, write_manifest

Audio = npt.NDArray[np.float32]


def of_test(site: Site, change: Callable[[Row], None], wanted: Callable[[Row], bool] = lambda row: True) -> None:
    rows = read_manifest(site.corpus)
    for row in rows:
        if row["split"] == "test" and wanted(row):
            change(row)
    write_manifest(site.corpus, rows)


def audio_of(site: Site, row: Row, change: Callable[[Audio], Audio], *, known: bool = True) -> None:
    """Another audio for one clip; ``known``: its row says so."""
    path = site.corpus / row["path"]
    audio, rate = soundfile.read(path, dtype="float32")
    soundfile.write(path, change(audio), rate, subtype="PCM_16")
    if known:
        row["sha256"] = ""


def exchanged(row: Row) -> None:
    row["label"] = {"left": "right", "right": "left"}.get(row["label"], row["label"])


def labels_exchanged(site: Site) -> None:
    of_test(site, exchanged)


def labels_exchanged_accepted(site: Site) -> None:
    of_test(site, exchanged)
    site.accept()


def accents_mixed_up(site: Site) -> None:
    of_test(site, lambda row: row.update(accent={"de": "fr", "fr": "de"}.get(row["accent"], row["accent"])))


def one_clip_reversed(site: Site) -> None:
    chosen = next(row for row in read_manifest(site.corpus) if row["split"] == "test" and row["label"] == "stop")
    of_test(
        site,
        lambda row: audio_of(site, row, lambda audio: audio[::-1]),
        lambda row: row["clip"] == chosen["clip"],
    )


def telephone(site: Site) -> None:
    """Every clip kept at 8 kHz for a while."""
    of_test(site, lambda row: audio_of(site, row, lambda audio: np.repeat(audio[::2], 2)[: len(audio)]))


def other_takes(site: Site) -> None:
    """Audio exchanged behind the manifest's back."""
    of_test(
        site,
        lambda row: audio_of(site, row, lambda audio: audio * np.float32(0.5), known=False),
        lambda row: row["accent"] == "de",
    )


def dead_microphone(site: Site) -> None:
    of_test(
        site,
        lambda row: audio_of(site, row, np.zeros_like),
        lambda row: row["accent"] == "fr" and row["label"] != "silence",
    )


def overdriven(site: Site) -> None:
    of_test(
        site,
        lambda row: audio_of(site, row, lambda audio: np.clip(audio * 40, -1, 1)),
        lambda row: row["accent"] == "de",
    )


def files_gone(site: Site) -> None:
    of_test(site, lambda row: (site.corpus / row["path"]).unlink(), lambda row: row["label"] == "stop")


def spoiled(change: Callable[[Path], None], *, accepted: bool = False) -> Callable[[Site], None]:
    def seed(site: Site) -> None:
        change(site.house)
        if accepted:
            site.accept()

    return seed


def toml(old: str, new: str, *, accepted: bool = False) -> Callable[[Site], None]:
    def seed(site: Site) -> None:
        edit(site.model / "model.toml", old, new)
        if accepted:
            site.accept()

    return seed


def of_golden(site: Site, change: Callable[[Golden], Golden], condition: str = CONDITIONS[0]) -> None:
    path = goldens.place(site.house, "small", condition)
    goldens.write(path, change(goldens.read(path)))


def another_candidates(site: Site) -> None:
    of_golden(site, lambda old: replace(old, provenance=replace(old.provenance, candidate="large")))


def by_hand(site: Site) -> None:
    """Somebody made a flip go away."""
    logits = goldens.read(goldens.place(site.house, "small", CONDITIONS[0])).logits.copy()
    logits[::50] = np.roll(logits[::50], 1, axis=1)
    of_golden(site, lambda old: replace(old, logits=logits))


def torn(site: Site) -> None:
    path = goldens.place(site.house, "small", CONDITIONS[1])
    path.write_bytes(path.read_bytes()[:4000])


def condition_lost(site: Site) -> None:
    goldens.place(site.house, "small", CONDITIONS[1]).unlink()


def left_over(site: Site) -> None:
    shutil.copyfile(goldens.place(site.house, "small", CONDITIONS[0]), goldens.place(site.house, "small", "far-field"))


def own_cache(site: Site) -> Path:
    """The folder of the build in a cache of the site's own, whose other parts are shared."""
    mine = site.house / "cache"
    mine.mkdir()
    for kind in site.cache.iterdir():
        if kind.name == "artifacts":
            shutil.copytree(kind, mine / kind.name)
        elif kind.is_dir():
            (mine / kind.name).symlink_to(kind, target_is_directory=True)
    site.cache = mine
    [candidate] = find_candidates([site.house])
    return site.run().artifact(candidate, candidate.recipe(HOST)).file


def cached_file_changed(site: Site) -> None:
    imbalance(SHIPPED / "model.onnx", own_cache(site), k=2, seed=1)


def cached_build_of_others(site: Site) -> None:
    """A cache restored under the wrong key: the float path's folder lies where the int8 build's is looked for."""
    wanted = own_cache(site).parent
    [candidate] = find_candidates([site.house])
    run = site.run()
    run.parity(candidate, candidate.recipe(HOST))
    other = next(path for path in wanted.parent.iterdir() if path.is_dir() and path != wanted)
    shutil.rmtree(wanted)
    shutil.copytree(other, wanted)


def same_name_size_and_time(site: Site) -> None:
    """Another model under the same name, of the same size and time as the one that is in the cache."""
    path = site.model / "model.onnx"
    before = path.stat()
    imbalance(SHIPPED / "model.onnx", path, k=8, seed=13)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    if path.stat().st_size != before.st_size:
        raise ValueError("the model's size changed: this fault is another one")
    site.accept()


def worse(site: Site) -> None:
    """A float model trained worse, its golden outputs accepted: no drop, since golden dropped too."""
    random = np.random.default_rng(1)

    def disturb(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == "head.weight":
                values = numpy_helper.to_array(tensor)
                noise = random.normal(0, 1.25 * values.std(), values.shape).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(values + noise, tensor.name))

    changed(site.model / "model.onnx", disturb)
    site.accept()


def worse_and_released(site: Site) -> None:
    worse(site)
    site.release(first=False)


def baseline_torn(site: Site) -> None:
    path = baselines.place(site.house, "small", HOST)
    path.write_text(path.read_text()[:-200])


def anothers_baseline(site: Site) -> None:
    edit(baselines.place(site.house, "small", HOST), '"candidate": "small"', '"candidate": "large"')


MOVED = "the corpus drifted"
CHANGED = "the front end changed"
FAULTS = (
    Fault("two labels exchanged in the manifest", "labels", labels_exchanged, ("golden overall",), "golden", MOVED),
    Fault(
        "two labels exchanged, golden accepted",
        "labels",
        labels_exchanged_accepted,
        ("recall overall",),
        "golden",
        "left means right",
    ),
    Fault(
        "accents of two groups of speakers mixed up", "labels", accents_mixed_up, ("golden overall",), "golden", MOVED
    ),
    Fault("labels of the model exchanged", "labels", spoiled(swapped_labels), ("golden overall",), "golden", "labels"),
    Fault(
        "labels of the model exchanged, golden accepted",
        "labels",
        spoiled(swapped_labels, accepted=True),
        ("recall overall",),
        "golden",
        "left means right",
        quick=True,
    ),
    Fault("one clip played backwards", "data", one_clip_reversed, ("golden overall",), "golden", MOVED, quick=True),
    Fault("clips kept at 8 kHz meanwhile", "data", telephone, ("golden overall",), "golden", MOVED),
    Fault("audio exchanged behind the manifest", "data", other_takes, ("corpus overall",), "corpus", "sha mismatch"),
    Fault("a dead microphone", "data", dead_microphone, ("corpus overall",), "corpus", "silent"),
    Fault("an overdriven microphone", "data", overdriven, ("corpus overall",), "corpus", "clipped"),
    Fault("clips gone from the corpus", "data", files_gone, ("corpus overall",), "corpus", "missing"),
    Fault(
        "another band",
        "front end",
        spoiled(another_band),
        ("golden overall",),
        "front end",
        "high_hz was 7600.0 and is 4000.0",
        quick=True,
    ),
    Fault(
        "another band, golden accepted",
        "front end",
        spoiled(another_band, accepted=True),
        ("recall overall",),
        "front end",
        "high_hz",
    ),
    Fault(
        "no preemphasis, golden accepted",
        "front end",
        spoiled(another_window, accepted=True),
        ("recall overall",),
        "front end",
        "preemphasis",
    ),
    Fault(
        "another window function",
        "front end",
        toml('window = "hanning"', 'window = "povey"'),
        ("golden overall",),
        "front end",
        "window was 'hanning'",
    ),
    Fault(
        "another normalization, golden accepted",
        "front end",
        toml("mean = 7.0", "mean = 15.0", accepted=True),
        ("recall overall",),
        "front end",
        "mean",
    ),
    Fault(
        "another number of mel bins",
        "front end",
        toml("mel_bins = 40", "mel_bins = 32"),
        ("candidate overall",),
        "candidate",
        "49 frames x 32 bins",
        quick=True,
    ),
    Fault(
        "stale golden: another training",
        "golden",
        spoiled(another_model),
        ("golden overall",),
        "golden",
        "another model",
    ),
    Fault("another candidate's golden", "golden", another_candidates, ("golden overall",), "golden", "another model"),
    Fault("golden changed by hand", "golden", by_hand, ("golden overall",), "golden", "float outputs differ on"),
    Fault("a golden file torn", "golden", torn, ("golden overall",), "golden", "damaged", quick=True),
    Fault("golden of one condition gone", "golden", condition_lost, ("golden overall",), "golden", "no golden outputs"),
    Fault("a golden file nobody asks for", "golden", left_over, ("golden unused golden",), "golden", "far-field"),
    Fault(
        "stale cache: a built file changed",
        "cache",
        cached_file_changed,
        ("toolchain overall=INFRA",),
        "toolchain",
        "it was changed since",
    ),
    Fault(
        "stale cache: another build under its key",
        "cache",
        cached_build_of_others,
        ("toolchain overall=INFRA",),
        "toolchain",
        "the build of other inputs",
        quick=True,
    ),
    Fault(
        "a fragile model under the old one's name, size and time",
        "cache",
        same_name_size_and_time,
        ("sqnr overall",),
        "layers",
    ),
    Fault(
        "float itself worse, golden accepted",
        "release",
        worse,
        ("regression overall",),
        "release",
        "since the last release",
        quiet=("accuracy overall", "recall overall"),
    ),
    Fault(
        "the sum of releases that lost a little each",
        "release",
        worse_and_released,
        ("drift overall",),
        "release",
        "since the first release",
        quiet=("accuracy overall", "regression overall"),
    ),
    Fault("a baseline torn", "release", baseline_torn, ("baseline overall",), "baseline", "damaged"),
    Fault("another candidate's baseline", "release", anothers_baseline, ("baseline overall",), "baseline", "of large"),
)
