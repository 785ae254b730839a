"""Stands in for the qai_hub package of the toolchain: what hub_worker.py calls of it, answered from files beside it.

hub-profile.json is the profile it gives; calls.jsonl takes what it was asked; FAIL, where it exists, is why jobs fail.
An answer holds the mean of its window, so that a test sees their order.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

HERE = Path(__file__).parent


class UserError(Exception):
    pass


class ClientConfig:
    def __init__(self, api_token: str) -> None:
        self.api_token = api_token


class Device:
    def __init__(self, name: str = "", os: str = "", attributes: tuple[str, ...] = ()) -> None:
        self.name, self.os, self.attributes = name, os, list(attributes)


class Job:
    job_id = "jstandin"

    def __init__(self, device: Device, inputs: dict[str, list[np.ndarray]] | None) -> None:
        self.inputs = inputs
        self.device = Device(device.name, "13", ("framework:qnn", (HERE / "HEXAGON").read_text()))

    def wait(self) -> SimpleNamespace:
        fail = HERE / "FAIL"
        if fail.is_file():
            return SimpleNamespace(success=False, code="FAILED", message=fail.read_text())
        return SimpleNamespace(success=True, code="SUCCESS", message=None)

    def download_profile(self) -> dict[str, object]:
        profile: dict[str, object] = json.loads((HERE / "hub-profile.json").read_text())
        return profile

    def download_output_data(self) -> dict[str, list[np.ndarray]]:
        (windows,) = (self.inputs or {}).values()
        return {"logits": [np.full((1, 12), window.mean(), np.float32) for window in windows]}


class Client:
    def __init__(self, config: ClientConfig | None = None) -> None:
        self.token = config.api_token if config else "of the configuration"

    def submit_inference_job(self, model, device, inputs=None, name=None, options="", profile=True):  # type: ignore[no-untyped-def]
        said = {"model": Path(model).name, "bytes": Path(model).stat().st_size, "device": device.name, "name": name}
        shapes = {key: [len(value), list(value[0].shape)] for key, value in (inputs or {}).items()}
        said |= {"options": options, "profile": profile, "inputs": shapes, "with_token": self.token == "secret"}
        with (HERE / "calls.jsonl").open("a") as calls:
            calls.write(json.dumps(said) + "\n")
        return Job(device, inputs)
