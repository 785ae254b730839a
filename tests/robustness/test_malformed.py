"""Broken files of every kind: each is one clear error, in time, and nothing is written outside the work folder.

pytest -c tests/pytest.toml tests/robustness/test_malformed.py -s     # prints how many
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import baseline, cli
from harness.cache import Cache
from harness.candidate import load
from harness.errors import VoxgateError
from harness.history import NAME, History
from harness.row import Row
from harness.run import Run
from harness.targets import diagview, htp_log, hub_profile, rknn_perf, rknn_table, tflite_file, trt_inspector, trt_log
from harness.targets import edgetpu_compiler as coral
from harness.verdict import Outcome
from tests.house import CHECKOUT, SHIPPED, accept_golden, edit, make_house
from tests.robustness import broken
from tests.robustness.damage import Damage
from tests.robustness.guard import listed, watched
from tests.targets.tflite_ops import Chain

DATA = Path(__file__).parents[1] / "data"
Judge = Callable[[Path, Path, Path], None]  # of a house, the broken file, and the work folder


class Refused(VoxgateError):
    """What a command said before it ended with exit status 2."""


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
    """``voxgate *arguments``; what it refuses is raised as Refused."""
    capsys.readouterr()
    status = cli.main([str(argument) for argument in arguments])
    said = capsys.readouterr().err
    assert status in (cli.OK, cli.FAULT)
    if status == cli.FAULT:
        raise Refused(said.strip().rpartition("voxgate: ")[2])


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: where it lies below the house, who reads it, and what may be wrong with it."""

    file: str
    judge: str
    cases: dict[str, Damage]
    source: Path | None = None  # copied there first


LOGS = {
    "rknn table": (DATA / "rknn" / "ds_cnn_int8.log", "rknn_table"),
    "rknn times": (DATA / "rknn_board" / "ds_cnn_selu_eval_perf.txt", "rknn_perf"),
    "tensorrt": (DATA / "jetson" / "ds_cnn_int8.log", "trt_log"),
    "tensorrt's inspector": (DATA / "jetson" / "inspector_10.json", "trt_inspector"),
    "snpe": (DATA / "snpe" / "diagview_dsp.txt", "diagview"),
    "qnn": (DATA / "htp" / "ds_cnn_a8w8" / "qnn-log.jsonl", "htp_log"),
    "ai hub": (DATA / "htp" / "hub-profile.json", "hub_profile"),
    "edgetpu": (DATA / "edgetpu" / "partly.log", "edgetpu"),
}
KINDS = {
    "model.toml": Kind("models/small/model.toml", "plan", broken.MODEL),
    "model.onnx": Kind("models/small/model.onnx", "plan", broken.ONNX),
    "model.tflite": Kind("model.tflite", "tflite", broken.TFLITE, SHIPPED / "model.tflite"),
    "corpus.toml": Kind("corpora/few/corpus.toml", "plan", broken.CORPUS),
    "manifest.tsv": Kind("corpora/few/manifest.tsv", "plan", broken.MANIFEST),
    "clip": Kind("corpora/few/clips/de/espeak-andrea/go-0.flac", "plan", broken.AUDIO),
    "golden": Kind("golden/small/clean.safetensors", "golden", broken.GOLDEN),
    "baseline": Kind(
        "baselines/small/host/int8.json", "baseline", broken.BASELINE, CHECKOUT / "baselines/commands/host/int8.json"
    ),
    "history": Kind(f"work/{NAME}", "history", broken.HISTORY),
    "lab.toml": Kind("lab.toml", "lab", broken.LAB),
    **{
        f"log of {name}": Kind("said.log", judge, broken.log_cases(source.suffix), source)
        for name, (source, judge) in LOGS.items()
    },
}
CASES = [(kind, name) for kind, each in KINDS.items() for name in each.cases]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips, their golden outputs, and one file of every kind; copied for every case."""
    house = make_house(
        tmp_path_factory.mktemp("healthy") / "house",
        accents=("de",),
        speakers=1,
        keep=lambda row: row["label"] in ("go", "yes"),
    )
    accept_golden(house, house / "work" / "cache", house / "work")
    for kind in KINDS.values():
        if kind.source is not None and kind.file != "said.log":
            (house / kind.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kind.source, house / kind.file)
    edit(house / KINDS["baseline"].file, '"candidate": "commands"', '"candidate": "small"')
    figure = ("small", "host", "int8", "sqnr", "overall", 31.2, "dB", 15.0, 30.0, 32.4, 312, 12, "host")
    store = History(house / "work" / NAME)
    store.begin("20260101-000000-0", "2026-01-01T00:00:00Z", "pytest", "0.1.0")
    store.add("20260101-000000-0", [Row(*figure, Outcome.PASS, "fine")] * 200)
    (house / "lab.toml").write_text(broken.BOARD)
    return house


@pytest.fixture(scope="module")
def counted() -> Iterator[Counter[str]]:
    found: Counter[str] = Counter()
    yield found
    told = ", ".join(f"{kind} {count}" for kind, count in found.items())
    print(f"\n{found.total()} broken files, each refused in one paragraph: {told}")


@pytest.fixture
def judges(capsys: pytest.CaptureFixture[str]) -> dict[str, Judge]:
    def golden(house: Path, file: Path, work: Path) -> None:
        Run(folder=work / "run", cache=Cache(work / "cache")).golden(load(house / "models" / "small", house))

    def history(house: Path, file: Path, work: Path) -> None:
        command(capsys, "history", "small", "--history", file, "--work", work)
        History(file).begin("20260102-000000-0", "2026-01-02T00:00:00Z", "pytest", "0.1.0")

    def edgetpu(house: Path, file: Path, work: Path) -> None:
        chain = Chain()
        for kind in ("RELU", "GELU", "TANH", "RELU"):  # the model of which the compiler told
            chain.op(kind)
        print(coral.parse(said(file), tflite_file.read(chain.save(work / "chain.tflite")), "small"))

    def said(file: Path) -> str:
        return file.read_text(encoding="utf-8", errors="replace")

    return {
        "plan": lambda house, file, work: command(capsys, "plan", house / "models" / "small", "--work", work),
        "tflite": lambda house, file, work: print(tflite_file.read(file)),
        "golden": golden,
        "baseline": lambda house, file, work: print(baseline.read(house, "small", "host/int8")),
        "history": history,
        "lab": lambda house, file, work: command(capsys, "lab", "status", "--lab", file),
        "rknn_table": lambda house, file, work: print(rknn_table.read_log(file, "small")),
        "rknn_perf": lambda house, file, work: print(rknn_perf.parse(said(file), "small")),
        "trt_log": lambda house, file, work: print(trt_log.read_log(file, "small", "TensorRT")),
        "trt_inspector": lambda house, file, work: print(trt_inspector.read(file, "small")),
        "diagview": lambda house, file, work: print(diagview.parse(said(file), "small")),
        "htp_log": lambda house, file, work: print(htp_log.reasons(htp_log.read(file, "small"), "small")),
        "hub_profile": lambda house, file, work: print(hub_profile.read(file, "small")),
        "edgetpu": edgetpu,
    }


@pytest.fixture
def house(healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "house" / "work"))
    return Path(shutil.copytree(healthy, tmp_path / "house"))


def prepared(house: Path, kind: str) -> Path:
    each = KINDS[kind]
    file = house / each.file
    if each.source is not None and not file.exists():
        shutil.copyfile(each.source, file)
    return file


def test_the_corpus_of_broken_files_is_large() -> None:
    assert len(CASES) >= 200


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_whole_is_read(house: Path, judges: dict[str, Judge], kind: str) -> None:
    """Else all that follows would prove nothing."""
    judge = judges[KINDS[kind].judge]
    file = prepared(house, kind)
    with watched(house / "work"):
        judge(house, file, house / "work")


@pytest.mark.parametrize(("kind", "name"), CASES, ids=[f"{kind}: {name}" for kind, name in CASES])
def test_what_is_broken_is_one_clear_error(
    house: Path, judges: dict[str, Judge], kind: str, name: str, counted: Counter[str]
) -> None:
    file, work = prepared(house, kind), house / "work"
    KINDS[kind].cases[name](file)
    outside = [house.parent / "before", house / "models", house / "corpora", house / "golden", house / "baselines"]
    before = [listed(folder) for folder in outside]
    with watched(work), pytest.raises(VoxgateError) as refused:
        judges[KINDS[kind].judge](house, file, work)
    said = str(refused.value)
    assert "Traceback" not in said
    assert 20 < len(said) < 3000, said
    assert "\n" not in said, "one paragraph"
    assert [listed(folder) for folder in outside] == before
    counted[kind.partition(" of ")[0]] += 1


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_bytes_struck_anywhere_are_an_error_or_are_read(
    house: Path, judges: dict[str, Judge], kind: str, data: st.DataObject
) -> None:
    """Of any change to any file: it is refused, or it is still one of its kind."""
    file = prepared(house, kind)
    whole = file.read_bytes()
    first = data.draw(st.integers(0, len(whole) - 1))
    last = data.draw(st.integers(first, min(len(whole), first + 64)))
    file.write_bytes(whole[:first] + data.draw(st.binary(max_size=64)) + whole[last:])
    with watched(house / "work"), suppress(VoxgateError):
        judges[KINDS[kind].judge](house, file, house / "work")
    file.write_bytes(whole)
