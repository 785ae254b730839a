"""A scheduler and one worker within this process: what travels between them is sent all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from distributed import Client, LocalCluster

from harness.cluster.scheduler import Cluster


def local(workers: int, **more: Any) -> LocalCluster:
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=False,
        dashboard_address="127.0.0.1:0",
        protocol="tcp",
        **more,
    )


@pytest.fixture(scope="session")
def dask() -> Iterator[LocalCluster]:
    with local(1) as found:
        yield found


@pytest.fixture
def cluster(dask: LocalCluster) -> Iterator[Cluster]:
    with Client(dask.scheduler_address, set_as_default=False) as client:
        yield Cluster(client, provision=False)


@pytest.fixture
def deserted() -> Iterator[LocalCluster]:
    """A scheduler without a worker."""
    with local(0) as found:
        yield found
