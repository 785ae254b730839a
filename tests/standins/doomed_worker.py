"""A preload of a Dask worker that dies, without a word, as soon as the first stage that it is given begins."""

from __future__ import annotations

import os
import signal
from typing import Any

from distributed import Worker
from distributed.diagnostics.plugin import WorkerPlugin

STAGES = tuple(f"voxgate-{name}-" for name in ("render", "build", "run"))


class Doomed(WorkerPlugin):
    def transition(self, key: Any, start: str, finish: str, **more: Any) -> None:
        del start, more
        if finish == "executing" and str(key).startswith(STAGES):
            os.kill(os.getpid(), signal.SIGKILL)


async def dask_setup(worker: Worker) -> None:
    await worker.plugin_add(Doomed())
