"""Runs inside the qai-hub toolchain's own environment: profiles a context binary on a hosted device, or runs it there.

    python -I hub_worker.py FOLDER

FOLDER/request.json says what to do, its paths relative to FOLDER; FOLDER/result.json says what came of it, and
FOLDER/profile.json is the profile as the service gives it. The token comes from the environment or the user's own
configuration of qai-hub; it is written nowhere. Needs qai-hub and numpy alone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import qai_hub

TOKEN = "QAIHUB_API_TOKEN"


class RefusedError(Exception):
    """The service ended a job otherwise than with success."""


def connect() -> Any:
    token = os.environ.get(TOKEN)
    return qai_hub.Client(config=qai_hub.ClientConfig(api_token=token)) if token else qai_hub.Client()


def submit(request: dict[str, Any], folder: Path, **more: Any) -> Any:
    """One finished job on the device that is asked for."""
    device = qai_hub.Device(request["device"])
    job = connect().submit_inference_job(str(folder / request["model"]), device=device, name=request["name"], **more)
    status = job.wait()
    if not status.success:
        raise RefusedError(f"job {job.job_id} on {request['device']} ended as {status.code}: {status.message}")
    return job


def profile(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Where each layer ran and how long inferences took; the service makes up the inputs."""
    job = submit(request, folder, profile=True, options=f"--max_profiler_iterations {request['rounds']}")
    (folder / "profile.json").write_text(json.dumps(job.download_profile()), encoding="utf-8")
    return {"job": job.job_id, "attributes": list(job.device.attributes), "os": job.device.os}


def infer(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Outputs of every window, in order."""
    windows = np.load(folder / request["inputs"], mmap_mode="r", allow_pickle=False)
    inputs = {request["input"]: [np.array(window[np.newaxis]) for window in windows]}
    job = submit(request, folder, profile=False, inputs=inputs)
    answers = job.download_output_data()
    if not answers or len(answers) != 1:
        raise RefusedError(f"job {job.job_id} left {len(answers or {})} outputs where the model has one")
    rows = [np.asarray(each, np.float32).reshape(-1) for each in next(iter(answers.values()))]
    np.save(folder / request["outputs"], np.stack(rows))
    return {"job": job.job_id}


def main(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    try:
        result = {"ok": True, **(infer if request.get("inputs") else profile)(request, folder)}
    except Exception as error:  # the client has errors of its own, and those of every library below it
        words = [line.strip(" |┌┐└┘─") for line in str(error).splitlines()]
        result = {"ok": False, "error": f"{type(error).__name__}: {' '.join(filter(None, words)) or 'without a word'}"}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
