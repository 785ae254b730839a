"""A scheduler's workers as an engine, or one paragraph on why they cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from harness.cluster.make import make, refuse_other
from harness.errors import InfraError

if TYPE_CHECKING:
    from distributed import Client

    from harness.cluster.scheduler import Cluster

CONNECT_S = 10.0
FIRST_WORKER_S = 30.0
ANSWER_S = 120.0  # for a worker to import voxgate
WORKER = "dask worker {} --nthreads 1"


def connect(address: str, *, provision: bool = True) -> Cluster:
    """The workers at ``tcp://HOST:PORT`` (or ``tls://``, by Dask's own configuration).

    Raises InfraError where nobody answers in time, there is no worker, or one is not of this machine's make.
    """
    try:
        import dask
        import distributed
    except ImportError as error:
        raise InfraError(
            f"--scheduler {address}: Dask is not installed ({error}); run: pip install 'voxgate[dask]'"
        ) from error
    from harness.cluster.scheduler import Cluster

    # The files that tasks carry are meant to travel with them.
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "4GB"})
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False, name="voxgate")
    except (OSError, ValueError, TypeError) as error:
        raise InfraError(
            f"--scheduler {address}: no Dask scheduler answers there within {CONNECT_S:.0f} s ({_plain(error)}). Start "
            "one (dask scheduler --host HOST), correct the address, or run without --scheduler."
        ) from error
    try:
        _require_workers(client, address)
    except BaseException:
        client.close(timeout=1)
        raise
    return Cluster(client, provision=provision)


def _require_workers(client: Client, address: str) -> None:
    """Raise InfraError unless there are workers, of one thread each and all of this machine's make."""
    command = WORKER.format(address)
    try:
        client.wait_for_workers(1, timeout=FIRST_WORKER_S)
    except TimeoutError as error:
        raise InfraError(
            f"--scheduler {address}: no worker joined it within {FIRST_WORKER_S:.0f} s. Start one, in an environment "
            f"with 'voxgate[dask]': {command}"
        ) from error
    for worker, threads in client.nthreads().items():
        if threads != 1:
            raise InfraError(
                f"--scheduler {address}: the worker {worker} has {threads} threads, and a worker does one stage at a "
                f"time: start as many workers of one thread instead: {command} --nworkers {threads}"
            )
    asked = {
        worker: client.submit(make, workers=[worker], key=f"voxgate-make-{uuid4().hex}", pure=False)
        for worker in client.nthreads()
    }
    for worker, future in asked.items():
        try:
            found = future.result(timeout=ANSWER_S)
        except Exception as error:
            raise InfraError(
                f"--scheduler {address}: the worker {worker} does not say what it is made of ({_plain(error)}): it has "
                "no voxgate, another one, or is stuck. Install there what is here, pip install 'voxgate[dask]', and "
                "start it anew."
            ) from error
        refuse_other(worker, make(), found)


def _plain(error: object) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
