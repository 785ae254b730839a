"""Hosted devices, against a stand-in for the service's client: nothing here leaves this machine."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.boards import hosted
from harness.boards.hosted import CHOICE, CONFIG, TOKEN, HostedDevice, Hub
from harness.errors import NotMeasured, ToolchainError, Unsupported
from harness.recipe import Recipe
from harness.targets import toolchain
from harness.targets.base import Artifact, Evidence, Node, Placement, Sizes
from harness.targets.htp import Htp
from harness.targets.htp_socs import find
from tests.targets.models import ds_cnn

DATA = Path(__file__).parents[1] / "data" / "htp"
DEVICE = "Samsung Galaxy S23 (Family)"
WHO = "small htp/a8w8"
SOC = find("SM8550", WHO)
ONE_GRAPH = Placement((Node("logits", "FullyConnected", "uint8", "npu", False),), Evidence.STATIC, 1, "QNN")

TOOLCHAINS = toolchain.place("qai-hub").parent

client = pytest.mark.skipif(
    toolchain.installed("qai-hub") is None, reason="needs qai-hub: voxgate toolchain install qai-hub"
)


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token and no device of whoever runs the tests."""
    for name in (CHOICE, TOKEN, CONFIG):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(TOOLCHAINS))


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real worker, with the stand-in in place of the client; the folder of the stand-in's files."""
    folder = tmp_path / "service"
    folder.mkdir()
    for name in ("qai_hub.py", "hub-profile.json"):
        shutil.copyfile(DATA / name, folder / name)
    (folder / "HEXAGON").write_text("hexagon:v73")
    worker = folder / "hub_worker.py"
    head = "from __future__ import annotations\n"
    worker.write_text(
        hosted.WORKER.read_text().replace(head, f"{head}import sys\nsys.path.insert(0, {str(folder)!r})\n")
    )
    monkeypatch.setattr(hosted, "WORKER", worker)
    own = toolchain.Toolchain("qai-hub", folder, Path(sys.executable))
    monkeypatch.setattr(toolchain, "needed", lambda name: own)
    monkeypatch.setenv(CHOICE, DEVICE)
    monkeypatch.setenv(TOKEN, "secret")
    return folder


def calls(service: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (service / "calls.jsonl").read_text().splitlines()]


def artifact(folder: Path) -> Artifact:
    """A build with a profile, as the target leaves it."""
    home = folder / "build"
    home.mkdir()
    ds_cnn(home / "model.onnx", channels=16, blocks=2)
    file = home / "context_qnn.bin"
    file.write_bytes(b"binary")
    recipe = Recipe.model_validate({"target": "htp", "name": "a8w8", "precision": "int8"})
    return Artifact("small", recipe, "key", file, ONE_GRAPH, Sizes(6), Evidence.BOARD)


def test_a_profile_becomes_the_placement_and_the_times(tmp_path: Path, service: Path) -> None:
    build = artifact(tmp_path)
    placed = Hub(DEVICE, WHO).profile(build.file, ONE_GRAPH, SOC)
    assert placed.evidence is Evidence.BOARD
    assert placed.source == f"profile of {DEVICE}, hosted; types by QNN"
    assert placed.fallbacks == ()
    board = HostedDevice(DEVICE)
    assert (board.name, board.evidence) == (f"{DEVICE}, hosted", Evidence.BOARD)
    assert len(board.times(build, np.zeros((1, 49, 10), np.float32), 1).samples_ms) == hosted.ROUNDS
    (call,) = calls(service)
    assert (call["model"], call["bytes"], call["device"]) == ("context_qnn.bin", 6, DEVICE)
    assert (call["profile"], call["options"]) == (True, f"--max_profiler_iterations {hosted.ROUNDS}")


def test_outputs_come_in_order_over_several_jobs(
    tmp_path: Path, service: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosted, "MOST_WINDOWS", 3)
    windows = np.random.default_rng(1).standard_normal((7, 49, 10)).astype(np.float32)
    outputs = HostedDevice(DEVICE).run(artifact(tmp_path), windows, lambda _: None)
    np.testing.assert_allclose(outputs, np.repeat(windows.mean(axis=(1, 2))[:, None], 12, axis=1), atol=1e-6)
    assert [call["inputs"]["features"] for call in calls(service)] == [[count, [1, 1, 49, 10]] for count in (3, 3, 1)]


def test_the_token_reaches_the_client_and_no_file(tmp_path: Path, service: Path) -> None:
    build = artifact(tmp_path)
    Hub(DEVICE, WHO).profile(build.file, ONE_GRAPH, SOC)
    assert calls(service)[0]["with_token"]
    (service / "FAIL").write_text("the device ran out of memory")
    with pytest.raises(
        ToolchainError, match=r"job jstandin on .* ended as FAILED: the device ran out of memory"
    ) as error:
        Hub(DEVICE, WHO).profile(build.file, ONE_GRAPH, SOC)
    kept = Path(str(error.value).partition("is kept in ")[2].partition(" (")[0])
    written = [path for folder in (build.file.parent, kept) for path in folder.rglob("*") if path.is_file()]
    assert written
    assert "secret" not in str(error.value)
    assert not [path for path in written if b"secret" in path.read_bytes()]


def test_without_a_token_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CHOICE, DEVICE)
    with pytest.raises(Unsupported, match=rf"{WHO}: {CHOICE} names .*no token.*qai-hub configure --api_token TOKEN"):
        hosted.require_token(WHO)
    (tmp_path / ".qai_hub").mkdir()
    (tmp_path / ".qai_hub" / "client.ini").write_text("[api]\n")
    hosted.require_token(WHO)
    monkeypatch.setenv(CONFIG, str(tmp_path / "other.ini"))
    with pytest.raises(Unsupported, match=r"nor is there a .*other\.ini"):
        hosted.require_token(WHO)
    monkeypatch.setenv(TOKEN, "secret")
    hosted.require_token(WHO)


def test_a_configuration_of_nobody_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHOICE, DEVICE)
    monkeypatch.setenv(CONFIG, "~no-such-user/client.ini")
    with pytest.raises(Unsupported, match=r"nor is there a ~no-such-user/client\.ini"):
        hosted.require_token(WHO)


def test_a_device_with_another_hexagon_is_refused(tmp_path: Path, service: Path) -> None:
    (service / "HEXAGON").write_text("hexagon:v75")
    with pytest.raises(Unsupported, match=r"has a hexagon:v75, and this build is for SM8550 \(v73\)\. Set soc"):
        Hub(DEVICE, WHO).profile(artifact(tmp_path).file, ONE_GRAPH, SOC)


def test_a_build_of_several_parts_is_not_sent(tmp_path: Path, service: Path) -> None:
    left = Placement((*ONE_GRAPH.nodes, Node("tail", "Erf", "float32", "cpu", True)), Evidence.STATIC, 2, "QNN")
    with pytest.raises(Unsupported, match="one graph on the HTP, this one is 2 with nodes on the CPU"):
        Hub(DEVICE, WHO).profile(artifact(tmp_path).file, left, SOC)
    assert not (service / "calls.jsonl").exists()


def test_a_proxy_is_labelled() -> None:
    assert HostedDevice("SA8255 (Proxy)").name == "SA8255 (Proxy), hosted, a proxy of that chip"


def test_single_calls_and_memory_are_not_its_to_give(tmp_path: Path) -> None:
    build = artifact(tmp_path)
    with pytest.raises(NotMeasured, match="takes whole jobs and not single calls"):
        HostedDevice(DEVICE).open(build)
    with pytest.raises(NotMeasured, match="takes whole jobs and not single calls"):
        HostedDevice(DEVICE).rss(build, np.zeros((49, 10), np.float32))


def test_what_the_target_says_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain = (Htp().settings(), Htp().tools(artifact(tmp_path).recipe))
    assert not hosted.ability().ready
    assert CHOICE in hosted.ability().remedy
    monkeypatch.setenv(CHOICE, DEVICE)
    monkeypatch.setattr(toolchain, "installed", lambda name: None)
    assert hosted.ability().remedy == "voxgate toolchain install qai-hub"
    monkeypatch.setattr(toolchain, "installed", lambda name: name)
    assert hosted.ability().remedy.endswith("qai-hub configure --api_token TOKEN")
    monkeypatch.setenv(TOKEN, "secret")
    assert hosted.ability().ready
    assert Htp().board(Recipe(target="htp", name="a", precision="int8")).name == f"{DEVICE}, hosted"
    assert Htp().settings() != plain[0]
    assert "qai-hub" in set(Htp().tools(Recipe(target="htp", name="a", precision="int8"))) - set(plain[1])


@client
def test_the_real_client_says_that_it_has_no_token(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"binary")
    with pytest.raises(ToolchainError, match=r"UserError: Failed to load client configuration file"):
        Hub(DEVICE, WHO).ask(tmp_path, "model.bin", rounds=1)
