"""Houses of as many clips as are asked for: the shipped candidate, its corpus once over or many times."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
HEAD = ("clip", "path", "label", "speaker", "accent", "split")


def make(folder: Path, clips: int, conditions: Sequence[str]) -> Path:
    """A house with ``clips`` test clips. More than the corpus holds are the same audio under other names, of other
    speakers: rendered anew, since a rendering is seeded by the clip's name."""
    source = CHECKOUT / "corpora" / "commands"
    head, *lines = (source / "manifest.tsv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]
    test = [row for row in rows if row["split"] == "test"]
    chosen = [row for row in rows if row["split"] == "calibration"]
    for number in range(clips):
        turn, place = divmod(number * 13, len(test))  # 13: prime to their number, so that few are of all accents
        row = test[place]
        again = f"-{turn}" if turn else ""
        chosen.append(row | {"clip": f"{row['clip']}{again}", "speaker": f"{row['speaker']}{again}"})
    corpus = folder / "corpora" / "commands"
    corpus.mkdir(parents=True)
    shutil.copytree(source / "clips", corpus / "clips")
    shutil.copyfile(source / "corpus.toml", corpus / "corpus.toml")
    table = ["\t".join(HEAD), *("\t".join(row[name] for name in HEAD) for row in chosen)]
    (corpus / "manifest.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    model = folder / "models" / "commands"
    model.mkdir(parents=True)
    shipped = CHECKOUT / "models" / "commands"
    shutil.copyfile(shipped / "model.onnx", model / "model.onnx")
    text = (shipped / "model.toml").read_text(encoding="utf-8").split("[[recipe]]")[0]
    text = text.replace('tflite = "model.tflite"\n', "").replace(
        'corpus = "commands"', f'corpus = "commands"\nconditions = {list(conditions)}'.replace("'", '"')
    )
    (model / "model.toml").write_text(text + RECIPE, encoding="utf-8")
    return folder


RECIPE = """
[[recipe]]
target = "host"
name = "int8"
runtime = "onnxruntime"
precision = "int8"

[budgets]
drop = { overall = 4.0, condition = 5.0, accent = 8.0, cell = 20.0 }
flips = { overall = 8.0 }
sqnr = { overall = 15.0 }
"""
