"""A device of Qualcomm AI Hub as a board: real silicon, reached by the user's own token, one job at a time.

``VOXGATE_HOSTED_HTP`` names the device. What it runs is the context binary that was compiled here, whole.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.boards.emulator import read_outputs
from harness.errors import Unsupported
from harness.onnxfile import as_inputs, inspect
from harness.targets import hub_profile, toolchain
from harness.targets.base import Ability, Artifact, Board, Clocked, Evidence, Features, Logits, Placement, Progress
from harness.targets.htp_socs import Soc
from harness.targets.process import Limits

CHOICE = "VOXGATE_HOSTED_HTP"
TOOLCHAIN = "qai-hub"
TOKEN, CONFIG = "QAIHUB_API_TOKEN", "QAIHUB_CLIENT_INI"
WORKER = Path(toolchain.__file__).with_name("workers") / "hub_worker.py"
LIMITS = Limits(seconds=4 * 3600)  # devices are queued for
ROUNDS = 700  # inferences that one profile times: enough for p99
MOST_WINDOWS = 2000  # of one job
PROXY = "(Proxy)"  # in the name of a device that stands for a chip it does not hold


def chosen() -> str:
    """The hosted device asked for, or an empty string."""
    return os.environ.get(CHOICE, "").strip()


def require_token(subject: str) -> None:
    """Raise Unsupported, with the remedy, where no token is at hand. It is looked for, not read."""
    config = Path(os.path.expanduser(os.environ.get(CONFIG) or "~/.qai_hub/client.ini"))  # noqa: PTH111 -- never raises
    if not os.environ.get(TOKEN) and not config.is_file():
        raise Unsupported(
            f"{subject}: {CHOICE} names {chosen()!r:.60}, but there is no token of Qualcomm AI Hub: neither {TOKEN} is "
            f"set nor is there a {config}. Get one from your account's settings, then run: {command('configure')} "
            f"--api_token TOKEN. Without the device, unset {CHOICE}."
        )


def ability() -> Ability:
    """Whether a hosted device is chosen and can be asked."""
    device = chosen()
    if not device:
        lacks = "no Snapdragon is driven here: latency and memory are not measured"
        return Ability("board", False, lacks, f'a token of Qualcomm AI Hub and {CHOICE}="Samsung Galaxy S23 (Family)"')
    if toolchain.installed(TOOLCHAIN) is None:
        return Ability(
            "board", False, f"{device} is hosted, qai-hub is not installed", f"voxgate toolchain install {TOOLCHAIN}"
        )
    try:
        require_token("htp")
    except Unsupported:
        return Ability("board", False, f"{device} is hosted, there is no token", command("configure --api_token TOKEN"))
    return Ability("board", True, f"{device}, hosted by Qualcomm AI Hub")


def command(verb: str) -> str:
    """A command of qai-hub's own client, in its environment."""
    return f"{toolchain.place(TOOLCHAIN) / 'bin' / 'qai-hub'} {verb}"


@dataclass(frozen=True, slots=True)
class Hub:
    """One device of the service, for one build."""

    device: str
    subject: str

    def profile(self, file: Path, compiled: Placement, soc: Soc) -> Placement:
        """Placement of a context binary as the device ran it; leaves profile.json beside it.

        Raises Unsupported for a build of several parts or a device with another Hexagon.
        """
        if compiled.partitions != 1 or any(node.where != "npu" for node in compiled.nodes):
            raise Unsupported(
                f"{self.subject}: a hosted device takes a build that is one graph on the HTP, this one is "
                f"{compiled.partitions} with nodes on the CPU. Unset {CHOICE} to see which, and mend them first."
            )
        with tempfile.TemporaryDirectory(prefix="voxgate-hosted-") as name:
            folder = Path(name)
            shutil.copyfile(file, folder / file.name)
            answer = self.ask(folder, file.name, rounds=ROUNDS)
            hexagons = [each for each in answer.get("attributes", ()) if str(each).startswith("hexagon:")]
            if f"hexagon:v{soc.arch}" not in hexagons:
                named = f"has a {', '.join(hexagons)}" if hexagons else "names no Hexagon of its own"
                raise Unsupported(
                    f"{self.subject}: {self.device} {named}, and this build is for {soc}. Set soc "
                    f"to the device's own chip, or {CHOICE} to another device."
                )
            found = hub_profile.read(folder / "profile.json", self.subject)
            shutil.copyfile(folder / "profile.json", file.with_name("profile.json"))
        return found.placement(compiled, HostedDevice(self.device).name)

    def ask(self, folder: Path, model: str, **more: Any) -> dict[str, Any]:
        """The answer of one job on ``folder/model``. Raises ToolchainError where it fails."""
        tokens = {name: os.environ[name] for name in (TOKEN, CONFIG) if name in os.environ}
        request = {"device": self.device, "model": model, "name": f"voxgate {self.subject}", **more}
        return toolchain.run_worker(
            toolchain.needed(TOOLCHAIN),
            WORKER,
            request,
            folder,
            subject=self.subject,
            limits=LIMITS,
            environment=tokens,
        )


class HostedDevice(Board):
    evidence = Evidence.BOARD

    def __init__(self, device: str) -> None:
        self.device = device
        self.name = f"{device}, hosted" + (", a proxy of that chip" if PROXY in device else "")

    def run(self, artifact: Artifact, features: Features, say: Progress) -> Logits:
        """Logits ``(n, labels)``, by one job for each MOST_WINDOWS. Raises ToolchainError where a job fails."""
        subject = f"{artifact.candidate} {artifact.recipe.id}"
        model = inspect(artifact.file.with_name("model.onnx"))
        inputs = as_inputs(features, model)
        outputs = [np.zeros((0, model.labels), np.float32)]
        for start in range(0, len(inputs), MOST_WINDOWS):
            some = inputs[start : start + MOST_WINDOWS]
            say(f"{subject} on {self.name}: windows {start} to {start + len(some)} of {len(inputs)}")
            with tempfile.TemporaryDirectory(prefix="voxgate-hosted-") as name:
                folder = Path(name)
                shutil.copyfile(artifact.file, folder / artifact.file.name)
                np.save(folder / "inputs.npy", some, allow_pickle=False)
                arrays = {"inputs": "inputs.npy", "outputs": "outputs.npy", "input": model.input_name}
                Hub(self.device, subject).ask(folder, artifact.file.name, **arrays)
                outputs.append(read_outputs(folder / "outputs.npy", len(some), model.labels, subject))
        return np.concatenate(outputs)

    def times(self, artifact: Artifact, windows: Features, rounds: int) -> Clocked:
        """The inferences that the build's own profile timed on the device, :data:`ROUNDS` of them."""
        del windows, rounds
        path = artifact.file.with_name("profile.json")
        return Clocked(np.array(hub_profile.read(path, f"{artifact.candidate} {artifact.recipe.id}").times_ms))

    @property
    def _not_measured(self) -> str:
        return f"needs a board at hand; {self.name}, takes whole jobs and not single calls."
