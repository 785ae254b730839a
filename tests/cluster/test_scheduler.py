"""Stages as tasks: the values of this machine, the errors of the stages, and an end to every wait."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker

from harness.audio.conditions import CONDITIONS, render_corpus, render_into
from harness.audio.corpus import Corpus, load_corpus
from harness.build import build
from harness.cache import Cache
from harness.candidate import load
from harness.cluster import scheduler
from harness.cluster.parcel import Parcel, pack_whole
from harness.cluster.scheduler import Cluster
from harness.engine import Engine
from harness.errors import CorpusError, InfraError, Unsupported
from harness.recipe import FLOAT
from harness.score.ctc import Decoder, decoder
from harness.targets.base import Artifact, Board, Evidence, Features, Job
from harness.targets.registry import registry
from tests.house import CHECKOUT

SAMPLES = 16000
LETTERS = ("<blank>", "a", "b", " ")


@pytest.fixture(scope="module")
def few() -> Corpus:
    corpus = load_corpus("commands", CHECKOUT)
    return replace(corpus, clips=corpus.split("test").clips[:7])


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A streaming step in float, built here."""
    return built(tmp_path_factory.mktemp("here"), Engine())


def built(folder: Path, engine: Engine, name: str = "computer") -> Artifact:
    candidate = load(CHECKOUT / "models" / name, CHECKOUT)
    front = candidate.frontend
    nothing: Features = np.zeros((0, front.frames, front.bins), np.float32)
    return build(registry()["host"], candidate, FLOAT, nothing, Cache(folder), print, engine.build)[0]


def windows(artifact: Artifact, count: int) -> Features:
    front = load(CHECKOUT / "models" / artifact.candidate, CHECKOUT).frontend
    return np.random.default_rng(3).standard_normal((count, front.frames, front.bins)).astype(np.float32)


@pytest.mark.parametrize("condition", ["clean", "noise-10db", "room-small"])
def test_renderings_are_the_same_to_the_bit(
    cluster: Cluster, few: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condition: str
) -> None:
    monkeypatch.setattr(scheduler, "CLIPS", 3)
    made: list[Parcel] = []
    for number, by in enumerate((render_into, cluster.render)):
        folder = tmp_path / str(number)
        folder.mkdir()
        by(folder, few, CONDITIONS[condition], SAMPLES, Cache(tmp_path / "rooms"), print)
        made.append(pack_whole(folder))
    assert made[0] == made[1]
    assert {name for name, _ in made[0]} == {"audio.npy", "facts.json", "levels_db.npy", "sketch.npy"}
    assert cluster.done.total() == 3


def test_a_build_and_its_scores_are_the_same(cluster: Cluster, step: Artifact, tmp_path: Path) -> None:
    there = built(tmp_path, cluster)
    assert there.record() == step.record()
    assert there.file.read_bytes() == step.file.read_bytes()
    assert there.file.is_relative_to(tmp_path)
    board, heard = registry()["host"].board(FLOAT), windows(step, 40)
    assert np.array_equal(cluster.stream(board, there, heard, print), board.stream(step, heard, print))
    assert {stage for _, stage in cluster.done} == {"build", "stream"}


def test_outputs_come_in_order_whatever_the_parts(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = built(tmp_path, Engine(), "commands")
    board, heard = registry()["host"].board(FLOAT), windows(artifact, 17)
    monkeypatch.setattr(scheduler, "PART_BYTES", 5 * heard[0].nbytes)
    outputs = cluster.run(board, artifact, heard, print)
    assert np.array_equal(outputs, board.run(artifact, heard, print))
    assert len(np.unique(outputs, axis=0)) == 17
    assert cluster.done.total() == 4


def test_what_is_decoded_elsewhere_is_decoded_the_same(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "ROWS", 64)
    own = decoder(LETTERS, "<blank>", ["a", "b a", "ab"], -5.0)
    outputs = np.random.default_rng(5).standard_normal((150, 12 * len(LETTERS))).astype(np.float32) * 3
    said = [own.sentences[i % 3] for i in range(150)]
    here, there = Engine().score(own, said, outputs), cluster.score(own, said, outputs)
    for name in ("command", "scores", "word_errors", "letter_errors"):
        assert np.array_equal(getattr(here, name), getattr(there, name)), name
    assert cluster.done.total() == 3


@pytest.mark.parametrize("fault", ["silicon", "another board", "too much"])
def test_what_no_worker_has_stays_here(
    cluster: Cluster, step: Artifact, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    own = registry()["host"].board(FLOAT)
    if fault == "silicon":
        monkeypatch.setattr(own, "evidence", Evidence.BOARD, raising=False)
    if fault == "too much":
        monkeypatch.setattr(scheduler, "MOST_BYTES", 100)
    board: Board = type("Other", (type(own),), {})() if fault == "another board" else own
    heard = windows(step, 5)
    assert np.array_equal(cluster.stream(board, step, heard, print), own.stream(step, heard, print))
    assert not cluster.done


def test_the_error_of_a_stage_is_told_as_its_own(cluster: Cluster, few: Corpus, tmp_path: Path) -> None:
    noise = tmp_path / "noise.flac"
    noise.write_bytes(b"no audio")
    broken = replace(few, clips=(replace(few.clips[0], path=noise),))
    with pytest.raises(CorpusError, match="is no readable audio"):
        render_corpus(broken, CONDITIONS["clean"], SAMPLES, Cache(tmp_path), print, cluster.render)


def test_a_clip_that_is_gone_is_told(cluster: Cluster, few: Corpus, tmp_path: Path) -> None:
    broken = replace(few, clips=(replace(few.clips[0], path=tmp_path / "gone.flac"),))
    with pytest.raises(CorpusError, match=r"gone.flac cannot be read: No such file"):
        cluster.render(tmp_path, broken, CONDITIONS["clean"], SAMPLES, Cache(tmp_path), print)


def test_another_toolchain_is_refused_before_it_builds(cluster: Cluster, tmp_path: Path) -> None:
    candidate = load(CHECKOUT / "models" / "computer", CHECKOUT)
    job = Job(candidate, FLOAT, np.zeros((0, 1, 1), np.float32), candidate.model, tmp_path, "0" * 32)
    with pytest.raises(InfraError, match=r"toolchain is not that of the machine that asks; it has onnx \d"):
        cluster.build(registry()["host"], candidate, job)
    assert not list(tmp_path.iterdir())


def test_a_crash_is_told_with_what_it_was_at(cluster: Cluster) -> None:
    with pytest.raises(InfraError, match=r"decoding: failed on a worker: AttributeError: .*run without --scheduler"):
        cluster.score(Any, ["a"], np.zeros((1, 4), np.float32))  # type: ignore[arg-type]


def test_work_that_kills_its_workers_ends(cluster: Cluster) -> None:
    error = KilledWorker("voxgate-build-1", SimpleNamespace(address="tcp://b"), 3)  # type: ignore[arg-type]
    asked: Any = SimpleNamespace(status="error", exception=lambda timeout: error)
    with pytest.raises(InfraError, match=r"the build of x: 4 workers died of it, one after another"):
        cluster._answer(asked, "the build of x")


def test_without_a_worker_the_wait_ends(
    deserted: LocalCluster, few: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "GRACE_S", 0.2)
    monkeypatch.setattr(scheduler, "LOOK_S", 0.1)
    with Client(deserted.scheduler_address, set_as_default=False) as client:
        left = Cluster(client, provision=False)
        with pytest.raises(InfraError, match=r"tcp://.* has had no worker for 0 s, and commands, clean waits"):
            render_corpus(few, CONDITIONS["clean"], SAMPLES, Cache(tmp_path), print, left.render)
        monkeypatch.setattr(client, "submit", lambda *_, **__: pytest.fail("it is asked again"))
        with pytest.raises(InfraError, match="has had no worker"):
            render_corpus(few, CONDITIONS["clean"], SAMPLES, Cache(tmp_path), print, left.render)


def test_a_task_that_is_never_done_is_given_up(
    deserted: LocalCluster, few: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "PATIENCE_S", 0.2)
    monkeypatch.setattr(scheduler, "LOOK_S", 0.1)
    with (
        Client(deserted.scheduler_address, set_as_default=False) as client,
        pytest.raises(InfraError, match=r"commands, clean is not done by the workers of tcp://.* after 0 s"),
    ):
        render_corpus(
            few, CONDITIONS["clean"], SAMPLES, Cache(tmp_path), print, Cluster(client, provision=False).render
        )


def test_a_lost_scheduler_is_told(few: Corpus, tmp_path: Path, deserted: LocalCluster) -> None:
    client = Client(deserted.scheduler_address, set_as_default=False, timeout=1)
    left = Cluster(client, provision=False)
    asked = left._ask("score", Decoder, [], np.zeros(0))
    deserted.close()
    with pytest.raises(InfraError, match=r"the scheduler tcp://.* is lost, and with it decoding"):
        left._answer(asked, "decoding")
    left.close()


def test_an_answer_of_another_shape_is_refused(
    cluster: Cluster, few: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_spread", lambda *_: iter([(b"", b"", b"")]))
    with pytest.raises(InfraError, match="a worker's answer is not 7 clips of 16000 samples"):
        render_corpus(few, CONDITIONS["clean"], SAMPLES, Cache(tmp_path), print, cluster.render)


def test_a_recipe_that_cannot_be_honoured_is_unsupported_there_too(cluster: Cluster, tmp_path: Path) -> None:
    candidate = load(CHECKOUT / "models" / "computer", CHECKOUT)
    job = Job(candidate, FLOAT.model_copy(update={"soc": "x"}), np.zeros((0, 1, 1), np.float32), Path(), tmp_path, "")
    key = scheduler.tasks.artifact_key(registry()["host"], candidate, job.recipe, job.calibration)
    with pytest.raises(Unsupported, match="means nothing to host"):
        cluster.build(registry()["host"], candidate, replace(job, key=key))
