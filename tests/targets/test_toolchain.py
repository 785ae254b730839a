"""Installing a toolchain: from a fake one, with packages made here, so that nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import venv
import zipfile
from pathlib import Path

import pytest

from harness.errors import ToolchainError, Unsupported
from harness.targets import toolchain

FILES = {
    "rknn_fake": {"rknn/__init__.py": "", "rknn/api/__init__.py": "class RKNN: ...\n", "cv2.py": ""},
    "torch": {"torch.py": "version = '2.13.0'\n"},
}


def wheel(folder: Path, name: str, version: str) -> str:
    """A wheel that installs; returns its sha256."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    information = f"{name}-{version}.dist-info"
    files = FILES[name] | {
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        record = ""
        for file, content in files.items():
            archive.writestr(file, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
            record += f"{file},sha256={digest},{len(content)}\n"
        archive.writestr(f"{information}/RECORD", record + f"{information}/RECORD,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


class House:
    """A requirements folder for one toolchain named "fake", and a folder of wheels for it."""

    def __init__(self, folder: Path) -> None:
        self.requirements = folder / "requirements"
        self.wheels = folder / "wheels"
        for path in (self.requirements, self.wheels):
            path.mkdir()
        (self.requirements / "fake.in").write_text("# imports: cv2 torch rknn.api\n# pythons: 3.11 3.12\nrknn_fake\n")
        self.lock("fake.txt", "rknn_fake", "1.0", wheel(self.wheels, "rknn_fake", "1.0"))
        self.lock("fake-torch-cpu.txt", "torch", "2.13.0+cpu", wheel(self.wheels, "torch", "2.13.0+cpu"))
        self.lock("fake-torch-cuda.txt", "torch", "2.13.0", wheel(self.wheels, "torch", "2.13.0"))

    def lock(self, file: str, name: str, version: str, digest: str) -> None:
        (self.requirements / file).write_text(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One virtual environment with pip; making one takes seconds, copying it does not."""
    folder = tmp_path_factory.mktemp("environment") / "made"
    venv.create(folder, with_pip=True, symlinks=True)
    return folder


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Path) -> House:
    monkeypatch.setattr(
        toolchain.Installer,
        "_environment",
        lambda installer: shutil.copytree(environment, installer.folder, symlinks=True),
    )
    made = House(tmp_path)
    monkeypatch.setattr(toolchain, "REQUIREMENTS", made.requirements)
    monkeypatch.setenv("VOXGATE_TOOLCHAINS", str(tmp_path / "toolchains"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.wheels))
    return made


def test_an_install_ends_in_a_marker_and_is_done_once(house: House) -> None:
    said: list[str] = []
    assert toolchain.installed("fake") is None
    made = toolchain.install("fake", said.append)
    record = json.loads((made.folder / toolchain.MARKER).read_text())
    assert record["versions"]["torch"] == "2.13.0+cpu"
    assert toolchain.installed("fake") == made == toolchain.needed("fake")
    assert any(line.startswith("fake: torch 2.13.0+cpu") for line in said)
    said.clear()
    assert toolchain.install("fake", said.append) == made
    assert said == [f"fake: already installed in {made.folder}"]


def test_a_half_finished_install_is_made_anew(house: House) -> None:
    folder = toolchain.place("fake")
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text("half")
    assert toolchain.installed("fake") is None
    assert toolchain.install("fake", lambda _: None).python.stat().st_size > 100


def test_a_venv_has_its_own_pip(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    toolchain.Installer("rk3588", folder, lambda _: None, 0.0)._environment()
    assert list(folder.glob("lib/python3.*/site-packages/pip"))


def test_a_python_it_has_no_wheels_for_is_looked_for_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fake.in").write_text("# imports: json\n# pythons: 3.2 3.3\n")
    monkeypatch.setattr(toolchain, "REQUIREMENTS", tmp_path)
    with pytest.raises(Unsupported, match=r"for Python 3\.2 and 3\.3 only.* Put python3\.2 on PATH, then run: voxgate"):
        toolchain.Installer("fake", tmp_path / "made", lambda _: None, 0.0)._environment()


@pytest.mark.parametrize("name", toolchain.names())
def test_every_toolchain_says_what_must_import_and_where(name: str) -> None:
    assert set(toolchain.facts(name)) == {"imports", "pythons"}


def test_an_ability_names_the_package_or_the_command_that_brings_it(house: House) -> None:
    assert toolchain.ability("fake", "compile", "rknn_fake").remedy == "voxgate toolchain install fake"
    toolchain.install("fake", lambda _: None)
    ready = toolchain.ability("fake", "emulate", "rknn_fake")
    assert (ready.ready, ready.detail, ready.remedy) == (True, "rknn_fake 1.0", "")


def test_without_a_cpu_wheel_the_registrys_torch_is_taken_and_said(house: House) -> None:
    (house.wheels / "torch-2.13.0+cpu-py3-none-any.whl").unlink()
    said: list[str] = []
    made = toolchain.install("fake", said.append)
    assert json.loads((made.folder / toolchain.MARKER).read_text())["versions"]["torch"] == "2.13.0"
    assert any("no CPU-only torch 2.13.0" in line and "find-links" in line for line in said)


@pytest.mark.parametrize("file", ["fake.txt", "fake-torch-cpu.txt"])
def test_a_wheel_of_another_hash_is_never_installed(house: House, file: str) -> None:
    path = house.requirements / file
    path.write_text(path.read_text().partition("sha256:")[0] + "sha256:" + "0" * 64 + "\n")
    with pytest.raises(ToolchainError, match=rf"{file} failed\. Last words: .*The whole log is .*\.log.*run again"):
        toolchain.install("fake", lambda _: None)
    assert toolchain.installed("fake") is None
    assert "DO NOT MATCH THE HASHES" in toolchain.place("fake").with_suffix(".log").read_text()


def test_an_environment_that_does_not_import_is_no_toolchain(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"cv2.py": "raise ImportError('libGL.so.1: cannot open shared object file')\n"}
    monkeypatch.setitem(FILES, "rknn_fake", FILES["rknn_fake"] | broken)
    house.lock("fake.txt", "rknn_fake", "1.0", wheel(house.wheels, "rknn_fake", "1.0"))
    with pytest.raises(ToolchainError, match=r"import of cv2, torch, rknn\.api failed.*libGL\.so\.1"):
        toolchain.install("fake", lambda _: None)
    assert toolchain.installed("fake") is None


def test_other_pins_are_another_environment(house: House) -> None:
    before = toolchain.place("fake")
    house.lock("fake.txt", "rknn_fake", "1.1", "0" * 64)
    assert toolchain.place("fake") != before
    assert toolchain.pins("fake") == {"rknn_fake": "1.1", "torch": "2.13.0"}


def test_a_missing_or_unknown_toolchain_names_the_next_command(house: House) -> None:
    with pytest.raises(Unsupported, match="Run: voxgate toolchain install fake"):
        toolchain.needed("fake")
    with pytest.raises(Unsupported, match=r"no toolchain 'fakes' to install \(did you mean 'fake'\?\)"):
        toolchain.install("fakes", lambda _: None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("  Downloading numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl (18.3 MB)", "numpy 1.26.4, 18.3 MB"),
        ("  Using cached onnx-1.18.0-cp311-cp311-manylinux_2_17_x86_64.whl (17.6 MB)", "onnx 1.18.0, 17.6 MB"),
        ("Processing /wheels/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "torch 2.13.0+cpu"),
        ("Installing collected packages: mpmath, torch", "unpacking 2 packages"),
        ("Looking in links: /wheels", None),
    ],
)
def test_pips_words_in_ours(line: str, said: str | None) -> None:
    assert toolchain.progress(line) == said


def test_the_real_pins_are_exact_and_hashed() -> None:
    assert toolchain.pins("rk3588")["rknn-toolkit2"] == "2.5.0"
    for path in toolchain.REQUIREMENTS.glob("*.txt"):
        text = path.read_text()
        assert text.count("--hash=sha256:") >= text.count("=="), path
