"""Candidates whose weights were trained for int8, without training anything: files recorded under tests/data/qat."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from harness.cache import digest
from tests.house import CHECKOUT, SHIPPED, edit

DATA = Path(__file__).parent / "data" / "qat"
TRAINING = "\n[training]\nepochs = 1\nseed = 3\nrate = 1e-4\n"
COMPUTER = CHECKOUT / "models" / "computer"
OTHERS = re.compile(r"\[budgets\.for\.[^\]]+\]\n(?:[^\[\n].*\n|\n)*")
QAT = '\n[[recipe]]\ntarget = "{}"\nname = "qat"\nprecision = "int8"\nmethod = "qat"\n{}'

FINETUNE = '''
"""Toy training: the shipped network on noise, a batch every {pause} s at the most."""
import time
import sys
import torch
from network import CommandNet, folded

def network(labels):
    plain = folded(CommandNet(labels))
    plain.dropout = torch.nn.Identity()
    return plain

def batches(data, epoch, seed):
    random = torch.Generator().manual_seed(seed + epoch)
    for _ in range({batches}):
        time.sleep({pause})
        yield torch.randn(8, 1, 49, 40, generator=random), torch.randint(0, 12, (8,), generator=random)

loss = torch.nn.functional.cross_entropy
'''


def make_step(folder: Path) -> tuple[Path, Path]:
    """A small step with a toy training of two epochs, and its training data: a manifest alone."""
    model, data = folder / "models" / "step", folder / "speech"
    shutil.copytree(DATA / "step", model, ignore=shutil.ignore_patterns("__pycache__"))
    data.mkdir()
    (data / "manifest.tsv").write_text("clip\n")
    return model, data


def make_computer(folder: Path, recipes: str) -> Path:
    """The shipped wake word with other recipes, and what ``voxgate train`` made of it."""
    model = folder / "models" / "computer"
    shutil.copytree(COMPUTER, model, ignore=shutil.ignore_patterns("__pycache__", "trained"))
    head, rest = (COMPUTER / "model.toml").read_text().split("[[recipe]]", 1)
    rest = OTHERS.sub("", rest[rest.index("[training]") :]).replace('targets = ["rk3588"]', 'targets = ["host"]')
    (model / "model.toml").write_text(f"{head}{recipes}\n{rest}")
    lay_trained(model, shipped=COMPUTER, stem="computer")
    return model


def lay_trained(
    candidate: Path, scheme: str = "asymmetric", *, shipped: Path = SHIPPED, stem: str = "qat", **changes: object
) -> Path:
    """``trained/SCHEME`` of a candidate with the shipped weights; the float beside int8 is the shipped one."""
    folder = candidate / "trained" / scheme
    folder.mkdir(parents=True)
    for suffix in ("onnx", "tflite"):
        shutil.copyfile(DATA / f"{stem}.{suffix}", folder / f"qat.{suffix}")
        shutil.copyfile(shipped / f"model.{suffix}", folder / f"float.{suffix}")
    names = [f"{stem}.{suffix}" for stem in ("qat", "float") for suffix in ("onnx", "tflite")]
    record = {
        "model": digest(candidate / "model.onnx"),
        "code": "0" * 32,
        "data": "1" * 32,
        "epochs": 3,
        "seed": 20,
        "rate": 3e-4,
        "losses": {"float": [0.5], "qat": [0.5]},
        "agreement": dict.fromkeys(names, 35.0),
        "tools": {"torch": "2.13.0+cpu", "torchao": "0.18.0"},
        "files": {name: digest(folder / name) for name in names},
    }
    (folder / "training.json").write_text(json.dumps({**record, **changes}))
    return folder


def with_tflite(model: Path) -> None:
    shutil.copyfile(SHIPPED / "model.tflite", model / "model.tflite")
    edit(model / "model.toml", 'model = "model.onnx"\n', 'model = "model.onnx"\ntflite = "model.tflite"\n')


def with_training(model: Path, *, batches: int = 30, pause: float = 0.0) -> Path:
    """A candidate that can be trained, and its training data: a manifest alone."""
    toml = model / "model.toml"
    toml.write_text(toml.read_text() + TRAINING)
    shutil.copyfile(SHIPPED / "network.py", model / "network.py")
    (model / "finetune.py").write_text(FINETUNE.format(batches=batches, pause=pause))
    data = model.parent / "speech"
    data.mkdir()
    (data / "manifest.tsv").write_text("clip\n")
    return data
