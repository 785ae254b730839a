from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import cache
from harness.cache import Cache, digest, disk_error, save_parts
from harness.errors import InfraError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=4), st.lists(json_values, max_size=4))
def test_digest_is_equal_exactly_for_equal_parts(left: list[object], right: list[object]) -> None:
    assert digest(*left) == digest(*left)
    same = repr(left) == repr(right)  # 1, 1.0 and True are equal to Python and differ as inputs
    if same:
        assert digest(*left) == digest(*right)
    elif left != right:
        assert digest(*left) != digest(*right)


def test_digest_keeps_parts_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(["a"], "b") != digest("a", ["b"])
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})


def test_digest_of_a_path_is_its_content(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x")
    two.write_bytes(b"x")
    assert digest(one) == digest(two) == digest(b"x")
    two.write_bytes(b"y")
    assert digest(one) != digest(two)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (70, 3), (7,)])
def test_digest_of_an_array_is_its_content(
    shape: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "AT_ONCE", 40)
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert digest(array) == digest(array.tobytes()) != digest(array + 1, "")
    save_parts(tmp_path / "array.npy", np.array_split(array, 3), len(array))
    mapped = np.load(tmp_path / "array.npy", mmap_mode="r") if array.size else array
    assert np.array_equal(mapped, array)
    assert digest(mapped) == digest(array)
    assert digest(mapped[::-1]) == digest(array[::-1].tobytes())


def test_digest_of_a_set_is_the_same_in_every_process() -> None:
    code = "from harness.cache import digest; print(digest({'names': {'a', 'b', 'c', 'd'}}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(found) == 1


def test_digest_takes_numpy_numbers_and_refuses_what_has_no_stable_form() -> None:
    assert digest(np.int64(3), [np.float64(0.5)]) == digest(3, [0.5])
    with pytest.raises(TypeError, match="object has no stable digest"):
        digest(object())


def write(text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "file").write_text(text)

    return make


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first = cache.entry("kind", "key", write("one"))
    second = cache.entry("kind", "key", write("two"))
    assert (first.hit, second.hit) == (False, True)
    assert (second.path / "file").read_text() == "one"
    assert cache.used == [first, second]
    assert cache.entry("kind", "other", write("two")).path != first.path


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), FileNotFoundError(2, "no", "/in.wav")])
def test_a_failing_make_leaves_nothing_and_is_itself(tmp_path: Path, error: BaseException) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise error

    cache = Cache(tmp_path)
    with pytest.raises(type(error)):
        cache.entry("kind", "key", make)
    assert [path.name for path in (tmp_path / "kind").iterdir() if path.suffix != ".lock"] == []
    assert not cache.used
    assert not cache.entry("kind", "key", write("one")).hit


CHILD = """
import sys, time
from pathlib import Path
from harness.cache import Cache
root, me = Path(sys.argv[1]), sys.argv[2]
def make(folder):
    with (root / "made").open("a") as log:
        log.write(me)
    time.sleep(0.5)
    (folder / "file").write_text(me)
entry = Cache(root / "cache").entry("kind", "key", make)
print((entry.path / "file").read_text(), entry.hit)
"""


def test_two_processes_make_an_entry_once(tmp_path: Path) -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), name], stdout=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    answers = [run.communicate(timeout=60)[0].split() for run in runs]
    made = (tmp_path / "made").read_text()
    assert len(made) == 1
    assert {text for text, _ in answers} == {made}
    assert sorted(hit for _, hit in answers) == ["False", "True"]


def test_a_killed_maker_blocks_nobody(tmp_path: Path) -> None:
    code = CHILD.replace("0.5", "60")
    run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), "a"])
    while not (tmp_path / "made").exists():
        assert run.poll() is None
        time.sleep(0.02)
    run.kill()
    run.wait()
    assert not Cache(tmp_path / "cache").entry("kind", "key", write("mine")).hit


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_infra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("tempfile.mkdtemp", full)
    with pytest.raises(InfraError, match=r"the disk is full: .*--work DIR"):
        Cache(tmp_path).entry("kind", "key", write("one"))


def test_a_folder_that_cannot_be_written_is_infra(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfraError, match="could not be written: Not a directory"):
        Cache(tmp_path / "file").entry("kind", "key", write("one"))
    assert "could not be written: Read-only" in str(disk_error(OSError(errno.EROFS, "Read-only"), tmp_path))


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here: run as root in a container that allows it")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_really_full_is_infra_and_keeps_what_was_there(tiny_disk: Path) -> None:
    cache = Cache(tiny_disk)
    cache.entry("kind", "small", write("one"))
    with pytest.raises(InfraError, match="the disk is full"):
        cache.entry("kind", "large", write("x" * (1 << 20)))
    assert cache.entry("kind", "small", write("two")).hit
    assert not (tiny_disk / "kind" / "large").exists()
