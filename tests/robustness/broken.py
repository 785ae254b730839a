"""The corpus of broken files: of every kind that a person or a tool hands to voxgate, what may be wrong with it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import soundfile
from onnx import TensorProto, helper

from harness import golden
from tests.robustness.damage import ALWAYS, Damage, added, cut, rewritten, struck, text, whole

DEEP = 100_000
BOARD = '[[board]]\nid = "pi-1"\ntargets = ["host"]\naddress = { user = "root", host = "127.0.0.1", port = 1 }\n'


def without(*names: str) -> dict[str, Damage]:
    return {name: damage for name, damage in ALWAYS.items() if name not in names}


TOML: dict[str, Damage] = {  # whatever it is to say
    "a nul": added("\x00"),
    "half a table": added("\n[half"),
    "a table twice": rewritten(lambda content: content + b"\n" + content),
    "a bomb of brackets": added(f"\nx = {'[' * DEEP}"),
    "a bomb of tables": added(f"\nx = {'{a=' * DEEP}"),
    "a number too long to read": added(f"\nx = {'9' * 5000}"),
    "a date that is none": added("\nx = 2026-02-30"),
    "not UTF-8": rewritten(lambda content: content + b'\nx = "\xff\xfe"'),
    "larger than any": added("#" * (256 * 1024)),
    "a JSON": whole('{"candidate": {"name": "small"}}'),
    "a list in place of a table": whole("candidate = []\ncorpus = []\nboard = 3\n"),
    "nothing but a comment": whole("# to be written\n"),
}

MODEL = {
    **without("gone"),
    "gone": ALWAYS["gone"],
    **TOML,
    "no task": text('task = "keyword"\n', ""),
    "another task": text('"keyword"', '"translation"'),
    "a name with a slash": text('name = "small"', 'name = "../small"'),
    "a name that is a number": text('name = "small"', "name = 7"),
    "no labels": text('labels = ["hey robot", ', 'labels = []\nlabel = ["hey robot", '),
    "labels that are numbers": text('["hey robot"', '[1, "hey robot"'),
    "a label twice": text('"stop", "go"', '"stop", "stop"'),
    "a model elsewhere": text('"model.onnx"', '"/etc/passwd"'),
    "a model with a nul": text('"model.onnx"', '"model\\u0000.onnx"'),
    "a model of a long name": text('"model.onnx"', f'"{"m" * 5000}.onnx"'),
    "a model that is a folder": text('"model.onnx"', '"."'),
    "a corpus elsewhere": text('corpus = "few"', 'corpus = "../../few"'),
    "a corpus without a name": text('corpus = "few"', 'corpus = ""'),
    "an infinite window": text("window_s = 1.0", "window_s = inf"),
    "a window of no time": text("window_s = 1.0", "window_s = 0"),
    "a window that is no number": text("window_s = 1.0", "window_s = nan"),
    "a negative rate": text("sample_rate = 16000", "sample_rate = -16000"),
    "a rate of words": text("sample_rate = 16000", 'sample_rate = "fast"'),
    "more bins than can be": text("mel_bins = 40", "mel_bins = 1000000000"),
    "more bins than frames hold": text("mel_bins = 40", "mel_bins = 128"),
    "a band above the rate": text("high_hz = 7600.0", "high_hz = 76000.0"),
    "a band turned round": text("low_hz = 60.0", "low_hz = 7700.0"),
    "a window function nobody knows": text('"hanning"', '"rectangle"'),
    "a scale of nothing": text("scale = 4.0", "scale = 0.0"),
    "no recipe": text("[[recipe]]", "[[recipes]]"),
    "a recipe without a target": text('target = "host"\nname', "name"),
    "a recipe named by a path": text('name = "int8"', 'name = "../int8"'),
    "a precision of words": text('precision = "int8"', 'precision = "small"'),
    "a runtime nobody has": text('runtime = "onnxruntime"', 'runtime = "tensorflow"'),
    "calibration by no clips": text('precision = "int8"', 'precision = "int8"\ncalibration = { clips = 0 }'),
    "a floor above all": text("min = 88.0", "min = 101.0"),
    "a floor of a metric nobody has": text('metric = "recall"', 'metric = "bleu"'),
    "a budget that is a list": text("file_kib = 128", "file_kib = [128]"),
    "a budget of nothing": text("file_kib = 128", "file_kib = 0"),
    "a budget for a build it lacks": text("file_kib = 128", 'file_kib = 128\nfor = { "host/int4" = { file_kib = 1 } }'),
    "budgets for that are none": text("file_kib = 128", "file_kib = 128\nfor = 3"),
    "confidence beyond one": text("file_kib = 128", "file_kib = 128\nconfidence = 2.0"),
    "an allowance without a reason": text('reason = "ONNX', 'reasons = "ONNX'),
    "an allowance for no reason": text('"ONNX Runtime has no int8 ReduceMean"', '"."'),
}

CORPUS = {
    **without("gone", "a dangling link", "a loop of links"),  # a house may have no such corpus: told as unknown
    **TOML,
    "no name": text('name = "few"\n', ""),
    "a rate of nothing": text("sample_rate = 16000", "sample_rate = 0"),
    "a layout nobody knows": text("sample_rate = 16000", 'layout = "zip"\nsample_rate = 16000'),
    "another layout": text("sample_rate = 16000", 'layout = "audiomnist"\nsample_rate = 16000'),
    "data elsewhere": text("sample_rate = 16000", 'data = "../.."\nsample_rate = 16000'),
    "a manifest elsewhere": text("sample_rate = 16000", 'manifest = "/etc/passwd"\nsample_rate = 16000'),
    "a manifest that is a folder": text("sample_rate = 16000", 'manifest = "clips"\nsample_rate = 16000'),
    "a column nobody knows": text("sample_rate = 16000", 'columns = { words = "text" }\nsample_rate = 16000'),
    "an accent of numbers": text('title = "German"', "title = 4"),
    "accents that are a list": text("[accents.en-us]", "[[accents]]"),
}

MANIFEST = {
    **without("one byte"),
    "one byte": ALWAYS["one byte"],
    "no header": rewritten(lambda content: content.split(b"\n", 1)[1]),
    "a header alone": rewritten(lambda content: content.split(b"\n", 1)[0] + b"\n"),
    "a column misspelt": text("speaker", "speakr"),
    "a column twice": text("engine", "accent"),
    "a cell too many": text("\tde\t", "\tde\tde\t"),
    "a row cut short": cut(0.97),
    "no path": rewritten(lambda content: b"\n".join(_cell(line, 1, b"") for line in content.split(b"\n"))),
    "an absolute path": text("\tclips/de", "\t/etc/passwd/clips/de"),
    "a path out of it": text("\tclips/de", "\t../../../../../etc/clips/de"),
    "a path with a nul": text("\tclips/de", "\tclips\x00/de"),
    "a path that is a folder": rewritten(lambda content: _cells(content, 1, b"clips")),
    "a split nobody knows": text("\ttest\t", "\texam\t"),
    "no digest": text("\ttest\t", "\ttest\tz"),
    "an id twice": rewritten(lambda content: content + content.split(b"\n")[1] + b"\n"),
    "a label nobody knows": rewritten(lambda content: _cells(content, 2, b"")),
    "a line without end": added("x" * 200_000),
    "nuls between": rewritten(lambda content: content.replace(b"\n", b"\n\x00")),
    "no test clips": rewritten(lambda content: content.replace(b"\ttest\t", b"\ttrain\t")),
}


def _cell(line: bytes, place: int, content: bytes) -> bytes:
    cells = line.split(b"\t")
    return b"\t".join([*cells[:place], content, *cells[place + 1 :]]) if len(cells) > place else line


def _cells(table: bytes, place: int, content: bytes) -> bytes:
    head, *lines = table.split(b"\n")
    return b"\n".join([head, *(_cell(line, place, content) for line in lines)])


def sound(audio: np.ndarray, rate: int = 16000, subtype: str = "PCM_16", form: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format=form, subtype=subtype)
    return file.getvalue()


TONE = 0.5 * np.sin(np.arange(16000) / 10)


def _wav(change: Callable[[bytearray], None]) -> bytes:
    content = bytearray(sound(TONE))
    change(content)
    return bytes(content)


AUDIO = {
    **ALWAYS,
    "half": cut(0.5),
    "all but the end": cut(0.98),
    "struck": struck(0.05, 1),
    "struck once in a hundred": struck(0.01, 2),
    "stereo": whole(sound(np.stack([TONE, TONE], axis=1))),
    "of 256 channels": whole(sound(np.zeros((500, 256)))),
    "another rate": whole(sound(TONE, 44100)),
    "a rate of nothing": whole(_wav(lambda content: content.__setitem__(slice(24, 28), bytes(4)))),
    "a rate beyond all": whole(_wav(lambda content: content.__setitem__(slice(24, 28), b"\xff" * 4))),
    "no channel": whole(_wav(lambda content: content.__setitem__(slice(22, 24), bytes(2)))),
    "no bits": whole(_wav(lambda content: content.__setitem__(slice(34, 36), bytes(2)))),
    "a codec nobody knows": whole(_wav(lambda content: content.__setitem__(slice(20, 22), struct.pack("<H", 0x1234)))),
    "a header alone": whole(sound(TONE)[:44]),
    "no samples": whole(sound(TONE[:0])),
    "too few samples": whole(sound(TONE[:100])),
    "a minute too long": whole(sound(np.zeros(16000 * 61), subtype="PCM_U8")),
    "larger than any": rewritten(lambda content: bytes(21 << 20)),
    "not a number": whole(sound(np.full(16000, np.nan, np.float32), subtype="FLOAT")),
    "infinite": whole(sound(np.full(16000, np.inf, np.float32), subtype="FLOAT")),
    "silence": whole(sound(np.zeros(16000))),
    "clipped": whole(sound(np.sign(TONE))),
    "another's samples": whole(sound(TONE)),
    "an MP3 that is none": whole(b"ID3\x04\x00\x00\x00\x00\x00\x00\xff\xfb\x90\x00" + bytes(4000)),
}


def graph(change: Callable[[onnx.ModelProto], None]) -> Damage:
    def damage(path: Path) -> None:
        model = onnx.load(path)
        change(model)
        path.write_bytes(model.SerializeToString())

    return damage


def _shape(model: onnx.ModelProto, *sizes: int) -> None:
    dims = model.graph.input[0].type.tensor_type.shape
    del dims.dim[:]
    for size in sizes:
        dims.dim.add().dim_value = size


def _cycle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = model.graph.output[0].name


def _nested(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "g", [], [])
    for _ in range(12):
        inner = helper.make_graph([helper.make_node("If", ["c"], ["o"], then_branch=inner)], "g", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["o"], then_branch=inner))


def _weights_elsewhere(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../../etc/passwd")


ONNX = {
    **ALWAYS,
    "half": cut(0.5),
    "all but the end": cut(0.999),
    "no node": graph(lambda model: model.graph.ClearField("node")),
    "no input": graph(lambda model: model.graph.ClearField("input")),
    "no output": graph(lambda model: model.graph.ClearField("output")),
    "two outputs": graph(lambda model: model.graph.output.append(model.graph.output[0])),
    "no weights": graph(lambda model: model.graph.ClearField("initializer")),
    "weights cut short": graph(lambda model: setattr(model.graph.initializer[0], "raw_data", b"1234567")),
    "weights elsewhere": graph(_weights_elsewhere),
    "no opset": graph(lambda model: model.ClearField("opset_import")),
    "an opset of tomorrow": graph(lambda model: setattr(model.opset_import[0], "version", 9999)),
    "no version": graph(lambda model: model.ClearField("ir_version")),
    "an operator nobody knows": graph(lambda model: setattr(model.graph.node[0], "op_type", "Convolve")),
    "a domain nobody knows": graph(lambda model: setattr(model.graph.node[0], "domain", "com.example")),
    "a name of control characters": graph(lambda model: setattr(model.graph.node[0], "name", "conv\x1b[2J\n")),
    "names that are not UTF-8": rewritten(lambda content: content.replace(b"features", b"feat\xff\xfees")),
    "an operator that is not UTF-8": rewritten(lambda content: content.replace(b"Conv", b"C\xff\xfev")),
    "a cycle": graph(_cycle),
    "a name that nothing makes": graph(lambda model: model.graph.node[3].input.__setitem__(0, "nothing")),
    "a value made twice": graph(lambda model: model.graph.node.append(model.graph.node[0])),
    "graphs within graphs": graph(_nested),
    "three dimensions": graph(lambda model: _shape(model, 1, 49, 40)),
    "another shape": graph(lambda model: _shape(model, 1, 1, 48, 40)),
    "a negative size": graph(lambda model: _shape(model, 1, 1, -49, 40)),
    "a size beyond all": graph(lambda model: _shape(model, 1, 1, 2**62, 40)),
    "a batch": graph(lambda model: _shape(model, 8, 1, 49, 40)),
    "doubles": graph(lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", TensorProto.DOUBLE)),
    "fewer labels": graph(lambda model: setattr(model.graph.output[0].type.tensor_type.shape.dim[1], "dim_value", 11)),
}

TFLITE = {
    **ALWAYS,
    "half": cut(0.5),
    "all but the end": cut(0.95),
    "another identifier": text("TFL3", "TFL2"),
    "a root beyond its end": rewritten(lambda content: struct.pack("<I", 0x7FFFFFFF) + content[4:]),
    "a root at its head": rewritten(lambda content: bytes(4) + content[4:]),
    "a head alone": rewritten(lambda content: content[:64]),
    "its end alone": rewritten(lambda content: content[:8] + content[-4000:]),
}


def _moved(path: Path) -> None:
    stored = golden.read(path)
    golden.write(path, replace(stored, logits=stored.logits + 1))


GOLDEN = {
    **ALWAYS,
    "half": cut(0.5),
    "all but the end": cut(0.99),
    "a header without end": rewritten(lambda content: struct.pack("<Q", 2**63) + content[8:]),
    "a header of nothing": rewritten(lambda content: bytes(8) + content[8:]),
    "a header longer than it": rewritten(lambda content: struct.pack("<Q", len(content)) + content[8:]),
    "no logits": text('"logits"', '"logitz"'),
    "another type": text('"F32"', '"I32"'),
    "no provenance": text('"provenance"', '"provenanse"'),
    "another model's": text('\\"candidate\\": \\"small\\"', '\\"candidate\\": \\"other\\"'),
    "of other labels": text('\\"stop\\"', '\\"halt\\"'),
    "larger than any": rewritten(lambda content: content + bytes(65 << 20)),
    "other outputs": _moved,
}

BASELINE = {
    **without("gone", "a dangling link", "a loop of links"),  # then nothing was released
    "half": cut(0.5),
    "all but the end": cut(0.999),
    "a bomb of brackets": whole("[" * DEEP),
    "null": whole("null"),
    "a number": whole("7"),
    "a list": whole("[]"),
    "nothing in it": whole("{}"),
    "of tomorrow": text('"format": 1', '"format": 2'),
    "of no candidate": text('"candidate": "small"', '"candidate": ""'),
    "of another candidate": text('"candidate": "small"', '"candidate": "other"'),
    "of another build": text('"build": "host/int8"', '"build": "host/int4"'),
    "no release": text('"last"', '"lost"'),
    "a key nobody knows": text('"first": null', '"first": null, "second": null'),
    "a row without a gate": text('"gate": "sanity"', '"gates": "sanity"'),
    "a verdict nobody knows": text('"outcome": "PASS"', '"outcome": "MAYBE"'),
    "sizes of words": text('"file": 68409', '"file": "small"'),
    "a number that is none": text('"wrong": ', '"wrong": NaN, "right": '),
    "larger than any": added(" " * (17 << 20)),
}

HISTORY = {
    **without("empty", "gone", "a dangling link"),  # then it begins
    "half": cut(0.5),
    "its head alone": rewritten(lambda content: content[:100]),
    "of tomorrow": rewritten(lambda content: content[:60] + struct.pack(">I", 99) + content[64:]),
    "pages of no size": rewritten(lambda content: content[:16] + b"\x00\x07" + content[18:]),
    "pages of noise": rewritten(lambda content: content[:4096] + ALWAYS_NOISE * (len(content) // 4096 - 1)),
    "schema of noise": rewritten(lambda content: content[:100] + ALWAYS_NOISE[:3996] + content[4096:]),
}
ALWAYS_NOISE = np.random.default_rng(5).bytes(4096)

LAB = {
    **without("gone"),
    "gone": ALWAYS["gone"],
    **TOML,
    "no board": whole("wait_s = 3\n"),
    "a board twice": rewritten(lambda content: content + content),
    "a board without a name": text('id = "pi-1"\n', ""),
    "a name of a path": text('"pi-1"', '"../pi-1"'),
    "no target": text('targets = ["host"]', "targets = []"),
    "a target misspelt": text('"host"', '"hots"'),
    "nowhere": text('address = { user = "root", host = "127.0.0.1", port = 1 }', ""),
    "an option for an address": text('"127.0.0.1"', '"-oProxyCommand=true"'),
    "an address of two lines": text('"127.0.0.1"', '"127.0.0.1\\nProxyCommand true"'),
    "a user of two words": text('"root"', '"root -o x"'),
    "a port beyond all": text("port = 1", "port = 99999"),
    "an identity of two lines": text("port = 1", 'port = 1, identity = "a\\nProxyCommand true"'),
    "a python with a space": added('python = "python3; true"\n'),
    "a folder that is not absolute": added('folder = "tmp"\n'),
    "power that only goes off": added('power = { off = ["true"] }\n'),
    "power of words": added('power = "on"\n'),
    "a meter nobody has": added('meter = { kind = "abacus" }\n'),
    "a quarantine without end": added('quarantine = { reason = "broken fan" }\n'),
    "a quarantine for no reason": added('quarantine = { reason = "", until = 2099-01-01 }\n'),
    "a quarantine until some day": added('quarantine = { reason = "broken fan", until = "soon" }\n'),
    "a boot that never ends": added("boot_s = 1e9\n"),
    "a wait before it began": rewritten(lambda content: b"wait_s = -1\n" + content),
    "a lease of no time": rewritten(lambda content: b"lease_s = 0\n" + content),
}

LOG = {
    **without("gone", "a folder", "a pipe", "a loop of links", "a dangling link", "turned round", "gzipped", "a zip"),
    "a tenth": cut(0.1),
    "half": cut(0.5),
    "its head is gone": rewritten(lambda content: content[len(content) // 2 :]),
    "one long line": rewritten(lambda content: content.replace(b"\n", b" ")),
    "ten megabytes of it": rewritten(lambda content: b"E RKNN: [1.0] 1 2 3 Conv Add NPU \n" * 300_000),
}


def log_cases(suffix: str) -> dict[str, Damage]:
    """Of lines or of JSON: what is no damage to the one is to the other."""
    same = {".json": ("one long line",), ".jsonl": ("empty",)}.get(suffix, ())
    return {name: damage for name, damage in LOG.items() if name not in same}
