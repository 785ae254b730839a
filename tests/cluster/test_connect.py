"""Before anything is asked: a scheduler that answers, workers that are there, and all of one make."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from distributed import LocalCluster

import harness
from harness.cluster import connect as connecting
from harness.cluster.connect import connect
from harness.cluster.make import make, refuse_other
from harness.errors import InfraError


def test_workers_of_this_make_are_taken(dask: LocalCluster) -> None:
    cluster = connect(dask.scheduler_address)
    assert str(cluster) == "1 worker (0)"
    assert cluster.told == "nothing: all of it was kept"
    cluster.close()


def test_nobody_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "CONNECT_S", 0.3)
    with pytest.raises(InfraError, match=r"tcp://127.0.0.1:1: no Dask scheduler answers there within 0 s .*Start one"):
        connect("tcp://127.0.0.1:1")


def test_no_worker(deserted: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "FIRST_WORKER_S", 0.3)
    with pytest.raises(InfraError, match=r"no worker joined it within 0 s.*: dask worker tcp://\S+ --nthreads 1$"):
        connect(deserted.scheduler_address)


def test_a_worker_of_several_threads() -> None:
    with (
        LocalCluster(n_workers=1, threads_per_worker=3, processes=False, dashboard_address="127.0.0.1:0") as dask,
        pytest.raises(InfraError, match=r"has 3 threads.*--nthreads 1 --nworkers 3"),
    ):
        connect(dask.scheduler_address)


def test_a_worker_without_voxgate(dask: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks() -> dict[str, str]:
        raise ModuleNotFoundError("No module named 'harness.cluster'")

    monkeypatch.setattr(connecting, "make", lacks)
    with pytest.raises(InfraError, match=r"worker tcp://\S+ does not say what it is made of .*No module .*pip install"):
        connect(dask.scheduler_address)


def test_a_worker_that_is_stuck(dask: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "ANSWER_S", 0.2)
    monkeypatch.setattr(connecting, "make", lambda: time.sleep(2))
    with pytest.raises(InfraError, match=r"worker tcp://\S+ does not say what it is made of \(TimeoutError"):
        connect(dask.scheduler_address)


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InfraError, match=r"Dask is not installed .*pip install 'voxgate\[dask\]'"):
        connect("tcp://127.0.0.1:1")


def test_every_difference_is_named() -> None:
    other = make() | {"python": "3.10", "numpy": "1.0"}
    del other["machine"]
    with pytest.raises(InfraError, match=r"worker w is not of this machine's make.* python 3.10, not 3") as told:
        refuse_other("w", make(), other)
    assert "numpy 1.0, not " in str(told.value)
    assert "machine none, not " in str(told.value)
    refuse_other("w", make(), make() | {"pytest": "1"})


def test_a_worker_with_rooms_simulated_otherwise_is_of_another_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for number in range(2):
        (tmp_path / "__init__.py").write_text("")
        (tmp_path / "small-16000.safetensors").write_bytes(bytes([number]))
        monkeypatch.setattr(harness, "__file__", str(tmp_path / "__init__.py"))
        make.cache_clear()
        found.append(make()["voxgate"])
    make.cache_clear()
    assert found[0] != found[1]
