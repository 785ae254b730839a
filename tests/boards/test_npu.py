"""The NPU's own word on its time and memory, fetched over ssh; the runtime there is a stand-in that replays a table."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.boards.lab import load
from harness.boards.remote import RemoteBoard
from harness.errors import NotMeasured, ToolchainError, Unsupported
from harness.targets.base import Artifact, Evidence
from tests.boards.conftest import artifact
from tests.loopback import Loopback, needs_sshd
from tests.targets.models import ds_cnn

TABLES = Path(__file__).parents[1] / "data" / "rknn_board"
pytestmark = [
    needs_sshd,
    pytest.mark.xdist_group("loopback"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler to build the stand-in runtime with"),
]

# The calls of rknn_api.h that are used, in the order they must come; VALUES floats in, one output.
STAND_IN = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct input { uint32_t index; void *buf; uint32_t size; uint8_t pass_through; int type; int fmt; };
struct output { uint8_t want_float; uint8_t is_prealloc; uint32_t index; void *buf; uint32_t size; };
struct detail { char *text; uint64_t length; };
struct memory { uint32_t weights, internal; uint64_t dma; uint32_t sram, sram_free, reserved[RESERVED]; };
static int collecting, set, ran, got, asked;

int rknn_init(uint64_t *context, void *model, uint32_t size, uint32_t flag, void *extend) {
    if (size < 4 || memcmp(model, "RKNN", 4)) return -6;
    collecting = flag & 8;
    *context = 42;
    return 0;
}
int rknn_inputs_set(uint64_t context, uint32_t n, struct input *in) {
    set = context == 42 && n == 1 && in->buf && in->size == 4 * VALUES && in->type == 0;
    return set ? 0 : -5;
}
int rknn_run(uint64_t context, void *extend) { ran = set; return ran ? 0 : -1; }
int rknn_outputs_get(uint64_t context, uint32_t n, struct output *out, void *extend) {
    got = ran && n == 1 && out->want_float;
    return got ? 0 : -1;
}
int rknn_outputs_release(uint64_t context, uint32_t n, struct output *out) { return 0; }
int rknn_query(uint64_t context, int what, void *into, uint32_t size) {
    static char text[1 << 16];
    if (what == 0 && size == 8) { ((uint32_t *)into)[0] = ((uint32_t *)into)[1] = 1; return 0; }
    if (what == 4 && size == 8 && got) { *(int64_t *)into = 240 + 10 * (++asked % 3); return 0; }
    if (what == 6) {
        if (size != sizeof(struct memory)) return -5;
        struct memory found = { 3 << 20, 1 << 20, 5 << 20, 0, 0, { 0 } };
        memcpy(into, &found, size);
        return 0;
    }
    if (what != 3 || size != sizeof(struct detail) || !collecting || !got) return -1;
    FILE *file = fopen(TABLE, "r");
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    ((struct detail *)into)->text = text;
    return 0;
}
int rknn_destroy(uint64_t context) { return 0; }
"""


@pytest.fixture
def made(tmp_path: Path) -> Artifact:
    """As the rk3588 target leaves it: a file that only the stand-in takes for an .rknn, beside its ONNX."""
    ds_cnn(tmp_path / "model.onnx", channels=16, blocks=2)
    (tmp_path / "model.rknn").write_bytes(b"RKNN" + bytes(60))
    return artifact(tmp_path / "model.rknn")


@pytest.fixture(params=[10])
def reserved(request: pytest.FixtureRequest) -> int:
    """Words that rknn_mem_size keeps for later; headers differ."""
    words: int = request.param
    return words


@pytest.fixture
def board(loop: Loopback, tmp_path: Path, reserved: int) -> Iterator[RemoteBoard]:
    """This machine with a runtime of Rockchip's name, which replays ``table`` in the folder."""
    shutil.copyfile(TABLES / "ds_cnn_selu_eval_perf.txt", tmp_path / "table")
    source = (
        STAND_IN.replace("VALUES", str(49 * 10))
        .replace("RESERVED", str(reserved))
        .replace("TABLE", f'"{tmp_path / "table"}"')
    )
    library = ["gcc", "-shared", "-fPIC", "-o", str(tmp_path / "librknnrt.so"), "-x", "c", "-"]
    subprocess.run(library, input=source, text=True, check=True)
    module = tmp_path / "npu.py"  # what opens the artifact for inference, which no stand-in can
    module.write_text("def opened(file, shape):\n    return lambda window: window.ravel()[:12]\n")
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nLD_LIBRARY_PATH={tmp_path} PYTHONPATH={tmp_path} exec {sys.executable} "$@"\n', encoding="utf-8"
    )
    python.chmod(0o755)
    path = loop.lab(tmp_path / "lab.toml", 'runtimes = { ".rknn" = "npu:opened" }\nvirtual = true')
    path.write_text(path.read_text().replace(f'python = "{sys.executable}"', f'python = "{python}"'))
    found = load(path)
    opened = found.board("host", "small host/this")
    assert isinstance(opened, RemoteBoard)
    yield opened
    found.release()


def test_the_share_of_time_is_fetched_from_the_runtime(board: RemoteBoard, made: Artifact) -> None:
    profile = board.profile(made)
    assert profile.share("cpu") == pytest.approx(100 * 446 / 869)
    assert profile.evidence is Evidence.EMULATOR, "a virtual board's word is no board's"


def test_a_runtime_that_says_nothing_is_a_fault_not_a_pass(board: RemoteBoard, made: Artifact, tmp_path: Path) -> None:
    (tmp_path / "table").write_text("")
    with pytest.raises(ToolchainError, match=r"small host/this on loop .*there is none.*librknnrt"):
        board.profile(made)


def test_a_model_the_runtime_refuses_is_the_models_fault(board: RemoteBoard, made: Artifact, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(tmp_path / "model.onnx", other / "model.onnx")
    (other / "model.rknn").write_bytes(b"junk")
    with pytest.raises(ToolchainError, match="rknn_init gave -6"):
        board.profile(replace(made, file=other / "model.rknn"))


def test_without_the_runtime_the_remedy_is_named(board: RemoteBoard, made: Artifact, tmp_path: Path) -> None:
    (tmp_path / "librknnrt.so").unlink()
    with pytest.raises(Unsupported, match=r"librknnrt\.so is not installed"):
        board.profile(made)


def test_other_runtimes_do_not_tell(board: RemoteBoard, models: dict[str, Path]) -> None:
    with pytest.raises(NotMeasured, match="needs a board whose runtime tells what takes the time"):
        board.profile(artifact(models["float.onnx"]))


@pytest.mark.parametrize("reserved", [10, 12], indirect=True)
def test_memory_is_fetched_from_the_runtime_in_either_form(board: RemoteBoard, made: Artifact) -> None:
    found = board.device_memory(made)
    assert (found.bytes, dict(found.parts)) == (5 << 20, {"weights": 3 << 20, "internal tensors": 1 << 20})
    assert found.source == "RKNN_QUERY_MEM_SIZE of librknnrt.so"
    assert found.evidence is Evidence.EMULATOR, "a virtual board's word is no board's"


@pytest.mark.parametrize("reserved", [3], indirect=True)
def test_memory_in_a_form_that_is_not_known_is_an_error(board: RemoteBoard, made: Artifact) -> None:
    with pytest.raises(ToolchainError, match="rknn_query gave -5"):
        board.device_memory(made)


def test_the_runtimes_own_time_is_the_median_of_its_runs(board: RemoteBoard, made: Artifact) -> None:
    found = board.own_time(made, np.zeros((49, 10), np.float32))
    assert (found.ms, found.n) == (0.25, 100)
    assert found.source.startswith("RKNN_QUERY_PERF_RUN of librknnrt.so")


def test_other_runtimes_tell_no_memory_of_a_device(board: RemoteBoard, models: dict[str, Path]) -> None:
    with pytest.raises(
        NotMeasured, match=r"device memory of small on host/this: .*needs a board whose runtime tells it"
    ):
        board.device_memory(artifact(models["float.onnx"]))
