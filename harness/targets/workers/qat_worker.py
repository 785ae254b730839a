"""Runs inside the qat toolchain's own environment: fine-tunes a network in float, and again as its int8 will compute.

    python -I qat_worker.py FOLDER

Both start from the weights of one ONNX, see the same batches in the same order and take the same steps, so that what
quantization-aware training gains over the float is its own. The network, its batches and its loss come from the
candidate's own Python, which is run here. FOLDER/request.json says what to do, FOLDER/result.json what came of it;
a checkpoint of each training stands in FOLDER, and a run that was killed goes on from it to the same weights.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # the very voxgate that asks, installed or not

from harness.targets.workers import qat_export as export
from harness.targets.workers import qat_step as step
from harness.targets.workers.qat_check import check_network, first_batch
from harness.targets.workers.qat_export import RefusedError

EVERY = 25  # batches between two checkpoints, and two lines of progress
PROBE = 32  # windows on which what was exported is held against the network that was trained
PARENT = os.getppid()
TOOLS = ("torch", "torchao", "litert-torch", "onnx")


def load_code(path: Path) -> Any:
    """The candidate's module, its neighbours importable by their plain names."""
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise RefusedError(f"{path.name} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    lacks = [name for name in ("network", "batches", "loss") if not callable(getattr(module, name, None))]
    if lacks:
        raise RefusedError(f"{path.name} defines no function {', '.join(lacks)}")
    return module


def warm(network: Any, model: Path) -> Any:
    """The network with the weights that the ONNX holds, told by their names."""
    import onnx
    import torch
    from onnx import numpy_helper

    held = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in onnx.load(model).graph.initializer}
    wanted = network.state_dict()
    lacks = [name for name, own in wanted.items() if name not in held or tuple(own.shape) != held[name].shape]
    if lacks:
        raise RefusedError(
            f"{model.name} holds no initializer of the name and shape of {', '.join(lacks[:3])}: the network must be "
            "the one it was exported from, batch normalization folded"
        )
    network.load_state_dict({name: torch.from_numpy(held[name]) for name in wanted})
    return network


class Training:
    """Epochs over the candidate's batches, with a checkpoint on disk."""

    def __init__(self, kind: str, network: Any, code: Any, request: dict[str, Any], folder: Path) -> None:
        import torch

        self.kind, self.network, self.code, self.request = kind, network, code, request
        self.path = folder / f"{kind}.checkpoint.pt"
        self.optimizer = torch.optim.Adam(network.parameters(), request["rate"])
        self.epoch, self.done, self.sum = 0, 0, 0.0
        self.losses: list[float] = []
        self.states: list[Any] = []  # of a step: what the batch before ended in
        if self.path.is_file():
            self._resume()

    def run(self) -> list[float]:
        """Train to the end; the mean loss of every epoch."""
        import torch

        for epoch in range(self.epoch, self.request["epochs"]):
            if not self.done:
                torch.manual_seed(self.request["seed"] + epoch)
            self._rate(epoch)
            self._epoch(epoch)
            self.losses.append(self.sum / max(self.done, 1))
            self.epoch, self.done, self.sum = epoch + 1, 0, 0.0
            self._keep()
        return self.losses

    def _epoch(self, epoch: int) -> None:
        own = self.request
        if self.kind == "qat" and epoch == own["epochs"] - 1 > 0:
            self._freeze()
        count, started = self.done, time.monotonic()
        for place, batch in enumerate(self._batches(epoch)):
            if place < count:
                continue
            leave_with_parent()
            loss = self.code.loss(self._outputs(batch), batch[1])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.sum += float(loss.detach())
            self.done = place + 1
            if self.done % EVERY == 0:
                self._keep()
                seconds = time.monotonic() - started
                say(
                    f"{self.kind}, epoch {epoch + 1} of {own['epochs']}: {self.done} batches, "
                    f"loss {self.sum / self.done:.4f}, {seconds:.0f} s"
                )
        if not math.isfinite(self.sum) or not self.done:
            raise RefusedError(f"{self.kind}, epoch {epoch + 1}: the loss is {self.sum} after {self.done} batches")

    def _outputs(self, batch: tuple[Any, ...]) -> Any:
        if not self.request["states"]:
            return self.network(batch[0])
        states = step.begin(self.states, batch[2], self.request["shapes"][1:])
        outputs, self.states = step.unrolled(self.network, batch[0], states)
        return outputs

    def _batches(self, epoch: int) -> Iterator[tuple[Any, ...]]:
        return iter(self.code.batches(Path(self.request["data"]), epoch, self.request["seed"]))

    def _rate(self, epoch: int) -> None:
        """Half a cosine over the epochs."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.request["rate"] * (1 + math.cos(math.pi * epoch / self.request["epochs"])) / 2

    def _freeze(self) -> None:
        """The ranges stand still in the last epoch: the weights then settle to the very scales that are exported."""
        from torchao.quantization.pt2e import disable_observer

        self.network.apply(disable_observer)

    def _keep(self) -> None:
        import torch

        state = {
            "epoch": self.epoch,
            "done": self.done,
            "sum": self.sum,
            "losses": self.losses,
            "states": self.states,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        fresh = self.path.with_suffix(".fresh")
        torch.save(state, fresh)
        fresh.replace(self.path)  # whole, or the one before

    def _resume(self) -> None:
        import torch

        state = torch.load(self.path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.done, self.sum = state["epoch"], state["done"], state["sum"]
        self.losses, self.states = state["losses"], state["states"]
        torch.set_rng_state(state["random"])
        say(f"{self.kind}: goes on after {self.epoch} epochs and {self.done} batches")


def train(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Both trainings and their four files."""
    import torch

    torch.set_num_threads(1)
    code = load_code(Path(request["code"]))
    examples = tuple(torch.zeros(shape) for shape in request["shapes"])
    first = first_batch(code, request)
    windows = first[0][:PROBE].contiguous()
    suffixes = ["onnx", "tflite"] if request["litert"] else ["onnx"]
    losses: dict[str, list[float]] = {}
    found: dict[str, float] = {}
    for kind in ("float", "qat"):
        torch.manual_seed(request["seed"])
        network, quantize = warm(code.network(request["labels"]), Path(request["start"])), None
        check_network(network, examples, request)
        if kind == "qat":
            quantize = export.quantizer(request["symmetric"], len(request["states"]))
            network = export.prepared(network, examples, quantize)
            if request["states"]:
                step.find_ranges(network, first, request["shapes"][1:])
        training = Training(kind, network, code, request, folder)
        losses[kind] = training.run()
        say(f"{kind}: exporting")
        if kind == "float":
            export.export_float(network.eval(), examples, request, folder)
        else:
            network = export.export_int8(network, examples, quantize, request, folder)
        found |= export.agreement(network, windows, [f"{kind}.{suffix}" for suffix in suffixes], request, folder)
    tools = {name: importlib.metadata.version(name) for name in TOOLS}
    return {"ok": True, "losses": losses, "agreement": found, "tools": tools}


def say(text: str) -> None:
    print(f"> {text}", flush=True)


def leave_with_parent() -> None:
    """End when whoever asked is gone: what is done so far stands in the checkpoint."""
    if os.getppid() != PARENT:
        raise SystemExit("the run that asked for this training is gone")


def main(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    try:
        result = train(request, folder)
    except RefusedError as error:
        result = {"ok": False, "error": str(error)}
    except Exception as error:
        traceback.print_exc()
        lines = str(error).strip().splitlines() or ["no reason given"]
        result = {"ok": False, "error": f"{type(error).__name__}: {lines[0]}"}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
