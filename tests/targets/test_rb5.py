"""The RB5: what it refuses, AIMET's simulation where its toolchain is installed, SDK and board by stand-ins."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from harness.boards import aimet as aimet_board
from harness.boards import rb5 as boards
from harness.boards.aimet import AimetSimulation
from harness.candidate import Candidate
from harness.errors import InfraError, NotMeasured, ToolchainError, Unsupported
from harness.onnxfile import inspect
from harness.recipe import Recipe
from harness.targets import toolchain
from harness.targets.base import Artifact, Evidence, Features, Logits
from harness.targets.rb5 import Rb5, weight_bytes
from tests.targets import small
from tests.targets.models import Graph, ds_cnn, gru
from tests.targets.standins import HOME, NET_RUN, SERIAL, FakeSdk, executable, make_adb, make_sdk

real = pytest.mark.skipif(
    toolchain.installed("rb5") is None,
    reason="the rb5 toolchain is not installed here; run: voxgate toolchain install rb5",
)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither an SDK nor a board, whatever this machine has."""
    for name in ("SNPE_ROOT", "QAIRT_SDK_ROOT", "SNPE_TARGET_ARCH", "VOXGATE_RB5"):
        monkeypatch.delenv(name, raising=False)
    yield
    boards._serials.cache_clear()


@pytest.fixture(scope="module")
def features() -> Features:
    return small.noise()


def tiny(path: Path) -> Path:
    return ds_cnn(path, channels=32, blocks=1)


def make_candidate(folder: Path, write: Callable[[Path], Any] = tiny) -> Candidate:
    return small.candidate(folder, "rb5", write, recipe="per_channel = false\n")


def recipe(precision: str = "int8", **settings: Any) -> Recipe:
    return Recipe.model_validate(
        {"target": "rb5", "name": "this", "precision": precision, "per_channel": False} | settings
    )


def built(candidate: Candidate, wanted: Recipe, calibration: Features) -> Artifact:
    return small.built(Rb5(), candidate, wanted, calibration, wanted.name)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (recipe("fp32"), 'computes in 8 bits only; set precision = "int8"'),
        (recipe("fp16"), 'computes in 8 bits only; set precision = "int8"'),
        (recipe(activation_bits=16), "remove activation_bits = 16, or choose a board of target htp"),
        (recipe(per_channel=True), "per_channel = true is the default; set per_channel = false"),
        (recipe(symmetric=True), "remove symmetric = true"),
        (recipe(calibration={"algorithm": "entropy"}), "no 'entropy' calibration; set algorithm to 'minmax', 'mse'"),
        (recipe(calibration={"algorithm": "percentile"}), "no 'percentile' calibration"),
    ],
    ids=["fp32", "fp16", "16 bits", "per channel", "symmetric", "entropy", "percentile"],
)
def test_what_it_cannot_do_is_refused_with_the_remedy(tmp_path: Path, wanted: Recipe, said: str) -> None:
    with pytest.raises(Unsupported, match=f"small rb5/this: .*{said}"):
        Rb5().check(make_candidate(tmp_path), wanted)


def test_without_its_toolchain_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "none"))
    with pytest.raises(Unsupported, match="Run: voxgate toolchain install rb5"):
        Rb5().check(make_candidate(tmp_path), recipe())
    assert Rb5().tools(recipe())["aimet-onnx"] == "2.42.0"
    compiles, emulates, runs = Rb5().abilities()
    assert {compiles.ready, emulates.ready, runs.ready} == {False}
    assert emulates.remedy == "voxgate toolchain install rb5"
    assert "export SNPE_ROOT" in compiles.remedy
    assert "VOXGATE_RB5=adb:SERIAL" in runs.remedy


def test_a_board_without_an_sdk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_RB5", "adb:1")
    with pytest.raises(Unsupported, match=r"VOXGATE_RB5 names a board, but neither \$SNPE_ROOT nor \$QAIRT_SDK_ROOT"):
        Rb5().check(make_candidate(tmp_path), recipe())


@pytest.fixture
def aimet(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A toolchain that leaves the encodings a test tells it to, instead of running AIMET."""
    entry = {"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "max": 1.0, "min": 0.0, "offset": 0, "scale": 0.1}
    weights = ("stem.w", "depth0.w", "point0.w", "fc.w")
    told: dict[str, Any] = {
        "activation_encodings": {"features": [entry], "logits": [entry]},
        "param_encodings": {name: [entry] for name in weights},
    }

    def run_worker(tools: object, worker: Path, request: dict[str, Any], folder: Path, **_: Any) -> dict[str, Any]:
        (folder / "model.encodings").write_text(json.dumps(told))
        (folder / "request.json").write_text(json.dumps(request))
        return {"ok": True}

    monkeypatch.setattr(toolchain, "run_worker", run_worker)
    monkeypatch.setattr(toolchain, "needed", lambda name: None)
    return told


def test_what_a_user_takes_on_is_the_model_and_its_encodings(
    tmp_path: Path, features: Features, aimet: dict[str, Any]
) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    home = artifact.file.parent
    assert artifact.sizes.file == sum((home / name).stat().st_size for name in ("model.onnx", "model.encodings"))
    assert artifact.sizes.weights == 32 * 40 + 32 * 9 + 32 * 32 + 12 * 32 + 4 * (3 * 32 + 12)
    assert artifact.evidence is Evidence.EMULATOR
    assert artifact.placement.evidence is Evidence.STATIC
    assert Rb5().board(artifact.recipe).name == "AIMET v66 simulation"
    assert not (home / "calibration.npy").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: told.pop("param_encodings"),
        lambda told: told["param_encodings"].clear(),
        lambda told: told["param_encodings"].pop("stem.w"),
        lambda told: told["param_encodings"].update({"stem.w": told["param_encodings"]["stem.w"] * 32}),
        lambda told: told["activation_encodings"]["logits"][0].update(bitwidth=16),
        lambda told: told["activation_encodings"]["logits"][0].update(dtype="float"),
        lambda told: told["activation_encodings"].update({"logits": []}),
        lambda told: told.update(param_encodings=[{"name": "stem.w"}]),
    ],
    ids=["no weights", "empty", "one left in float", "per channel", "16 bits", "float", "no entry", "another version"],
)
def test_encodings_a_v66_has_not_are_an_error(
    tmp_path: Path, features: Features, aimet: dict[str, Any], spoil: Callable[[Any], Any]
) -> None:
    spoil(aimet)
    with pytest.raises(ToolchainError, match="small rb5/this: AIMET's encodings are not those of a V66"):
        built(make_candidate(tmp_path), recipe(), features)


def test_truncated_encodings_are_an_error(tmp_path: Path) -> None:
    tiny(tmp_path / "model.onnx")
    (tmp_path / "model.encodings").write_text('{"activation_encodings": {')
    with pytest.raises(ToolchainError, match="x: AIMET's encodings are not those of a V66"):
        weight_bytes(tmp_path, "x")


def test_weights_in_constant_nodes_are_counted(tmp_path: Path) -> None:
    model = onnx.load(tiny(tmp_path / "model.onnx"))
    kept = next(tensor for tensor in model.graph.initializer if tensor.name == "fc.w")
    model.graph.initializer.remove(kept)
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["fc.w"], value=kept))
    biases = [int(np.prod(tensor.dims)) for tensor in model.graph.initializer if tensor.name.endswith(".b")]
    weights = [int(np.prod(tensor.dims)) for tensor in model.graph.initializer if tensor.name.endswith(".w")]
    onnx.save(model, tmp_path / "model.onnx")
    entry = [{"bitwidth": 8, "dtype": "int"}]
    names = ["fc.w", *(tensor.name for tensor in model.graph.initializer if tensor.name.endswith(".w"))]
    told = {"activation_encodings": {"features": entry}, "param_encodings": dict.fromkeys(names, entry)}
    (tmp_path / "model.encodings").write_text(json.dumps(told))
    assert weight_bytes(tmp_path, "x") == int(np.prod(kept.dims)) + sum(weights) + 4 * sum(biases)


def test_calibration_must_be_there_and_finite(tmp_path: Path, features: Features, aimet: dict[str, Any]) -> None:
    candidate = make_candidate(tmp_path)
    with pytest.raises(ToolchainError, match="has no calibration windows"):
        built(candidate, recipe(), features[:0])
    with pytest.raises(ToolchainError, match="1 of 32 calibration windows hold NaN"):
        built(candidate, recipe(name="b"), np.where(np.arange(32)[:, None, None] == 7, np.nan, features))


def test_the_simulation_has_no_clock_and_no_memory(tmp_path: Path, features: Features, aimet: dict[str, Any]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    board = AimetSimulation()
    assert board.times(artifact, features, 10) is None
    for ask in (lambda: board.open(artifact), lambda: board.rss(artifact, features[0])):
        with pytest.raises(NotMeasured, match="needs a board; AIMET v66 simulation is an emulator"):
            ask()


def test_an_artifact_whose_encodings_are_gone(tmp_path: Path, features: Features, aimet: dict[str, Any]) -> None:
    artifact = built(make_candidate(tmp_path), recipe(), features)
    artifact.file.with_name("model.encodings").unlink()
    with pytest.raises(ToolchainError, match=r"is unusable .* remove that folder and run again"):
        AimetSimulation().run(artifact, features, lambda _: None)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory, features: Features) -> dict[str, tuple[Artifact, Logits]]:
    """Int8 and float, each built once: AIMET takes seconds to import."""
    candidate = make_candidate(tmp_path_factory.mktemp("real") / "model")
    found = {}
    for name, wanted in {"int8": recipe(), "float": Rb5().float_recipe(recipe())}.items():
        artifact = built(candidate, wanted, features)
        found[name] = (artifact, AimetSimulation().run(artifact, features, lambda _: None))
    return found


@real
def test_its_float_path_is_the_model_and_int8_is_not(
    tmp_path: Path, features: Features, simulated: dict[str, tuple[Artifact, Logits]]
) -> None:
    wanted = small.float_logits(make_candidate(tmp_path), features)
    far = {name: float(np.abs(got - wanted).max() / np.abs(wanted).max()) for name, (_, got) in simulated.items()}
    assert far["float"] < 1e-5
    assert 0.003 < far["int8"] < 0.3


@real
def test_two_processes_answer_as_one(
    features: Features, simulated: dict[str, tuple[Artifact, Logits]], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, alone = simulated["int8"]
    monkeypatch.setattr(aimet_board, "SPLIT", 8)
    assert np.array_equal(AimetSimulation().run(artifact, features, lambda _: None), alone)


@real
def test_what_aimet_exports_is_what_the_sdk_reads(simulated: dict[str, tuple[Artifact, Logits]]) -> None:
    artifact, _ = simulated["int8"]
    told = json.loads(artifact.file.with_name("model.encodings").read_text())
    assert {"features", "logits", "stem"} <= set(told["activation_encodings"])
    assert set(told["param_encodings"]) == {"stem.w", "depth0.w", "point0.w", "fc.w"}
    assert set(told["activation_encodings"]["logits"][0]) >= {"bitwidth", "max", "min", "offset", "scale"}
    assert set(inspect(artifact.file).ops) == {"Conv", "Flatten", "Gemm", "GlobalAveragePool", "Relu"}


@real
def test_a_gru_is_taken_by_aimet_and_named(tmp_path: Path, features: Features) -> None:
    artifact = built(make_candidate(tmp_path, gru), recipe(calibration={"algorithm": "mse"}), features)
    assert [(node.op, node.name) for node in artifact.placement.fallbacks] == [("GRU", "gru")]


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSdk:
    made = make_sdk(tmp_path)
    monkeypatch.setenv("SNPE_ROOT", str(made.root))
    return made


@pytest.fixture
def adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An adb that sees one board, its files in ``adb/board`` of the test's folder."""
    (tmp_path / "adb").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'adb'}{os.pathsep}{os.environ['PATH']}")
    boards._serials.cache_clear()
    return make_adb(tmp_path / "adb")


def test_with_an_sdk_a_dlc_is_really_made(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "adb_serials", list)
    boards._serials.cache_clear()
    candidate = make_candidate(tmp_path / "model")
    artifact = built(candidate, recipe(), features)
    assert artifact.file.name == "model.quantized.dlc"
    assert artifact.sizes.file == artifact.file.stat().st_size
    assert artifact.tools["SDK"] == "2.37.0.250724"
    assert (artifact.evidence, artifact.placement.evidence) == (Evidence.EMULATOR, Evidence.STATIC)
    assert not (artifact.file.parent / "calibration").exists()
    assert Rb5().abilities()[0].detail == "2.37.0.250724 in $SNPE_ROOT"
    with pytest.raises(NotMeasured, match="needs a board"):
        Rb5().board(artifact.recipe).open(artifact)


def frames_first(path: Path) -> Path:
    """A model that takes (1, 49, 10, 1)."""
    graph = Graph()
    graph.node("Flatten", ["features"], "flat")
    graph.linear("flat", 490)
    return graph.save(path, shape=(1, 49, 10, 1))


def test_an_input_whose_axes_the_converter_reorders(tmp_path: Path, aimet: dict[str, Any], sdk: FakeSdk) -> None:
    with pytest.raises(Unsupported, match=r"whose axes SNPE's converter reorders; export it as \[1,1,frames,bins\]"):
        Rb5().check(make_candidate(tmp_path / "model", frames_first), recipe())


def test_with_sdk_and_board_everything_is_the_boards(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, adb: Path
) -> None:
    candidate = make_candidate(tmp_path / "model")
    artifact = built(candidate, recipe(), features)
    board = Rb5().board(artifact.recipe)
    assert board.name == "RB5's DSP by snpe-net-run"
    assert artifact.evidence is artifact.placement.evidence is Evidence.BOARD
    assert artifact.placement.source == f"snpe-diagview 2.37.0.250724175447_124859 on adb:{SERIAL}"
    assert [node.op for node in artifact.placement.nodes][:2] == ["Conv", "Relu"]
    assert artifact.placement.fallbacks == ()
    got = board.run(artifact, features, lambda _: None)
    assert np.allclose(got, small.float_logits(candidate, features), atol=1e-5)  # the stand-in does not quantize
    clocked = board.times(artifact, features[:4], 6)
    assert clocked is not None
    assert clocked.samples_ms.tolist() == [1.328] * 6
    assert "0.632 ms each by snpe-throughput-net-run, n=15803" in clocked.note
    with pytest.raises(NotMeasured, match="the front end does not run on this board"):
        board.open(artifact)
    with pytest.raises(NotMeasured, match="SNPE's tools do not report it"):
        board.rss(artifact, features[0])
    left = [path.name for path in (adb.parent / "board").glob("voxgate-snpe-*/*")]
    assert sorted(left) == ["bin", "dsp", "lib", "valid"], "jobs are removed, the tools stay"
    assert Rb5().abilities()[2].ready


def test_its_float_path_on_a_board_is_the_boards_cpu(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, adb: Path
) -> None:
    candidate = make_candidate(tmp_path / "model")
    artifact = built(candidate, Rb5().float_recipe(recipe()), features[:0])
    assert artifact.file.name == "model.dlc"
    assert {node.where for node in artifact.placement.nodes} == {"cpu"}
    got = Rb5().board(artifact.recipe).run(artifact, features[:3], lambda _: None)
    assert np.allclose(got, small.float_logits(candidate, features[:3]), atol=1e-5)


LAYER_ON_CPU = NET_RUN.replace(
    '(out / "SNPEDiag_0.log")', 'lines[7] = "    0: stem.conv : 40 us : CPU"\n(out / "SNPEDiag_0.log")'
)
TWO_SUBNETS = NET_RUN.replace(
    'lines += ["  Per-Layer', 'lines += ["    Subnet 1 (CPU) : 40 us"]\nlines += ["  Per-Layer'
)


def test_a_layer_on_the_boards_cpu_is_named(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, adb: Path
) -> None:
    code = LAYER_ON_CPU.replace("{100 * len(names)}", "{100 * len(names) - 100}")
    sdk.tool("snpe-net-run", code, board=True)
    (fallback,) = built(make_candidate(tmp_path / "model"), recipe(), features).placement.fallbacks
    assert (fallback.op, fallback.name, fallback.where) == ("Conv", "stem.conv", "cpu")


def test_two_subnets_on_the_board_are_named(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, adb: Path
) -> None:
    sdk.tool("snpe-net-run", TWO_SUBNETS, board=True)
    placed = built(make_candidate(tmp_path / "model"), recipe(), features).placement
    assert placed.partitions == 2
    assert [node.name for node in placed.fallbacks] == ["Subnet 1"]


@pytest.mark.parametrize(
    ("tool", "code", "said"),
    [
        ("snpe-net-run", "import sys; sys.exit('error_code=900')", "snpe-net-run on adb:.* code 1.*error_code=900"),
        ("snpe-net-run", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "snpe-net-run on .* exit code 139"),
        ("snpe-net-run", NET_RUN.replace("SNPEDiag_0.log", "other.log"), "left no SNPEDiag_0.log"),
        ("snpe-net-run", NET_RUN.replace("enumerate(names)]", "enumerate(names)][:3]"), "it is cut short"),
        ("snpe-net-run", NET_RUN.replace("in graph.node]", "in graph.node[:1]]"), "1 layers, and the model 4 convol"),
    ],
    ids=["exit code", "crash", "no log", "truncated", "too few layers"],
)  # fmt: skip
def test_every_way_a_run_on_the_board_fails_is_named(
    tmp_path: Path,
    features: Features,
    aimet: dict[str, Any],
    sdk: FakeSdk,
    adb: Path,
    tool: str,
    code: str,
    said: str,
) -> None:
    sdk.tool(tool, code, board=True)
    with pytest.raises(ToolchainError, match=f"(?s)small rb5/this: .*{said}"):
        built(make_candidate(tmp_path / "model"), recipe(), features)


def test_outputs_that_are_not_there_are_an_error(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, adb: Path
) -> None:
    sdk.tool("snpe-net-run", NET_RUN.replace(".tofile(out", "[:, :5].tofile(out"), board=True)
    artifact = built(make_candidate(tmp_path / "model"), recipe(), features)
    with pytest.raises(ToolchainError, match="left 1 outputs of 5 values for window 0, and one of 12 was due"):
        Rb5().board(artifact.recipe).run(artifact, features, lambda _: None)


def test_a_run_that_goes_elsewhere_than_the_one_judged(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, adb: Path
) -> None:
    artifact = built(make_candidate(tmp_path / "model"), recipe(), features)
    (installed,) = (adb.parent / "board").glob("voxgate-snpe-*/bin/snpe-net-run")
    executable(installed, TWO_SUBNETS)
    board = Rb5().board(artifact.recipe)
    for again in (lambda: board.run(artifact, features, lambda _: None), lambda: board.times(artifact, features, 2)):
        with pytest.raises(ToolchainError, match="put Subnet 1 on the CPU, which the run that was judged did not"):
            again()


def test_a_single_inference_that_fails_says_why(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, adb: Path
) -> None:
    artifact = built(make_candidate(tmp_path / "model"), recipe(), features)
    (installed,) = (adb.parent / "board").glob("voxgate-snpe-*/bin/snpe-net-run")
    executable(installed, "raise SystemExit('error_code=900; Model is not supported')")
    with pytest.raises(ToolchainError, match=r"snpe-net-run on .* exit code 1\. Its last words: error_code=900; Model"):
        Rb5().board(artifact.recipe).times(artifact, features[:2], 2)


def test_a_throughput_that_is_not_told(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, adb: Path
) -> None:
    sdk.tool("snpe-throughput-net-run", "pass", board=True)
    artifact = built(make_candidate(tmp_path / "model"), recipe(), features)
    with pytest.raises(ToolchainError, match="printed no 'Total throughput"):
        Rb5().board(artifact.recipe).times(artifact, features[:2], 2)


def test_a_board_whose_dsp_does_not_answer(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, adb: Path
) -> None:
    sdk.tool("snpe-platform-validator", "print('Unit Test on the runtime DSP: Failed.')", board=True)
    with pytest.raises(InfraError, match=r"does not say that the DSP of adb:.* passed: .*Failed"):
        built(make_candidate(tmp_path / "model"), recipe(), features)


def test_a_board_lost_in_the_middle(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, adb: Path
) -> None:
    artifact = built(make_candidate(tmp_path / "model"), recipe(), features)
    make_adb(adb.parent, serials=("another",))
    with pytest.raises(InfraError, match=f"adb:{SERIAL} was lost"):
        Rb5().board(artifact.recipe).run(artifact, features, lambda _: None)


def test_two_boards_need_a_name(tmp_path: Path, sdk: FakeSdk, adb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_adb(adb.parent, serials=("A1", "B2"))
    with pytest.raises(Unsupported, match=r"adb sees 2 boards; .*export VOXGATE_RB5=adb:A1"):
        boards.attached()
    monkeypatch.setenv("VOXGATE_RB5", "adb:B2")
    found = boards.attached()
    assert found is not None
    assert found.name == "adb:B2"
    assert found.home == HOME


def test_a_named_board_without_an_sdk_is_no_ability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGATE_RB5", "adb:B2")
    runs = Rb5().abilities()[2]
    assert (runs.what, runs.ready) == ("board", False)
    assert "no SDK that drives it" in runs.detail


def test_an_sdk_of_two_systems_needs_the_boards(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, adb: Path
) -> None:
    (sdk.root / "bin" / "aarch64-oe-linux-gcc9.3").mkdir()
    with pytest.raises(Unsupported, match=r"set SNPE_TARGET_ARCH to the one that adb:.* runs"):
        built(make_candidate(tmp_path / "model"), recipe(), features)


def test_an_sdk_without_the_v66(
    tmp_path: Path, features: Features, aimet: dict[str, Any], sdk: FakeSdk, adb: Path
) -> None:
    (sdk.root / "lib" / "hexagon-v66" / "unsigned" / "libSnpeDspV66Skel.so").unlink()
    with pytest.raises(Unsupported, match=r"lacks \*\.so of dsp for aarch64-ubuntu-gcc9.4 and Hexagon V66"):
        built(make_candidate(tmp_path / "model"), recipe(), features)


def test_sdk_and_board_are_part_of_a_builds_key(
    tmp_path: Path, sdk: FakeSdk, adb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Rb5().settings()
    monkeypatch.setenv("VOXGATE_RB5", "adb:another")
    other = Rb5().settings()
    monkeypatch.delenv("VOXGATE_RB5")
    monkeypatch.delenv("SNPE_ROOT")
    none = Rb5().settings()
    assert len({json.dumps(each) for each in (both, other, none)}) == 3
    assert none["sdk"] is none["board"] is None
