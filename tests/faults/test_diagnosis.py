"""Seeded faults over all causes: diagnosis puts the right cause first, and tells a healthy build from a faulty one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.cache import Cache
from harness.candidate import find_candidates
from harness.diagnose import Diagnosis, diagnose
from harness.run import Run
from harness.targets import registry as targets
from tests.diagnose import toy
from tests.faults.spoil import (
    another_band,
    another_model,
    another_window,
    imbalanced,
    imbalanced_tflite,
    litert,
    model,
    one_imbalanced,
    one_scale,
    only_silence,
    other_weights,
    swapped_kernel,
    swapped_labels,
    turned_down,
)
from tests.faults.test_faults import set_output_bias
from tests.house import RECIPE, accept_golden, edit, make_house

NEEDED = 9  # of every ten faults
FAULTY = '\n[[recipe]]\ntarget = "faulty"\nname = "{}"\nprecision = "{}"\n'


def faulty(name: str, precision: str = "int8") -> Callable[[Path], None]:
    return lambda house: edit(model(house) / "model.toml", RECIPE, FAULTY.format(name, precision))


@dataclass(frozen=True)
class Fault:
    """What is put into a house, and the cause that is right; ``accepted``: with golden outputs made after it."""

    put: Callable[[Path], None]
    right: str
    accepted: bool = False
    says: str = ""  # what the first cause must say


FAULTS = {
    "calibration of silence": Fault(only_silence, "calibration", says="below -60"),
    "calibration recorded too quietly": Fault(turned_down, "calibration"),
    "channels imbalanced everywhere, k=8": Fault(imbalanced, "layers", True, "10 layers"),
    "channels of one layer imbalanced": Fault(one_imbalanced, "layers", True, "body.1.0.0/Conv"),
    "channels imbalanced in the .tflite": Fault(imbalanced_tflite, "layers", says="Sequential_stem"),
    "one scale for giant weights": Fault(one_scale, "precision", True, "per_channel"),
    "front end changed": Fault(another_band, "front end", says="high_hz was 7600.0 and is 4000.0"),
    "front end changed and accepted": Fault(another_band, "front end", True, "high_hz"),
    "no preemphasis, accepted": Fault(another_window, "front end", True, "preemphasis"),
    "labels swapped and accepted": Fault(swapped_labels, "golden", True, "left means right"),
    "golden of another model": Fault(another_model, "golden", says="another model"),
    "kernel's axes swapped in conversion": Fault(swapped_kernel, "conversion"),
    "another model converted": Fault(other_weights, "conversion"),
    "input's axes swapped in conversion": Fault(faulty("turned"), "conversion", says="swapped axes"),
    "float asked for, int8 realised": Fault(faulty("narrow", "fp16"), "placement", says="int8"),
    "a board that saturates": Fault(faulty("clipped"), "board", says="faulty board"),
}


@pytest.fixture(scope="module", autouse=True)
def faulty_target() -> Iterator[None]:
    """The target ``faulty``, as an installed distribution would add it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "entry_points", lambda group: [SimpleNamespace(load=lambda: toy)])
        targets.registry.cache_clear()
        yield
    targets.registry.cache_clear()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    house = make_house(tmp_path_factory.mktemp("healthy") / "house", accents=("de", "sv"), speakers=2)
    accept_golden(house, cache, cache / "records")
    return house


def diagnosed(house: Path, cache: Path, **options: Any) -> Diagnosis:
    [candidate] = find_candidates([house])
    run = Run(folder=house / "records", cache=Cache(cache), toolchains=False)
    return diagnose(run, candidate, candidate.recipes[0], **options)


SCORES: dict[str, tuple[str, str]] = {}


@pytest.mark.parametrize("name", FAULTS)
def test_a_seeded_fault(name: str, healthy: Path, cache: Path, tmp_path: Path) -> None:
    """Whether the right cause comes first is judged over all of them, below; what it says of a right one, here."""
    fault = FAULTS[name]
    house = Path(shutil.copytree(healthy, tmp_path / "house"))
    fault.put(house)
    if fault.accepted:
        shutil.rmtree(house / "golden")
        accept_golden(house, cache, tmp_path / "records")
    found = diagnosed(house, cache, failed=True)
    SCORES[name] = (found.word, found.line)
    assert found.faulty
    if found.word == fault.right:
        assert fault.says in found.causes[0].title
        assert found.causes[0].fix


def test_the_right_cause_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    right = [name for name, (word, _) in SCORES.items() if word == FAULTS[name].right]
    with capsys.disabled():
        print(f"\nright cause first: {len(right)} of {len(SCORES)}")
        for name, (word, line) in SCORES.items():
            print(f"  {'right' if name in right else 'WRONG'}  {name}: {word}; {line:.150}")
    if len(SCORES) < len(FAULTS):
        pytest.skip("not all faults were diagnosed in this process: run the whole file")
    assert 10 * len(right) >= NEEDED * len(FAULTS)


def test_a_healthy_build_has_nothing_to_diagnose(healthy: Path, cache: Path) -> None:
    found = diagnosed(healthy, cache)
    assert (found.word, found.causes, found.trials) == ("nothing", (), ())
    assert found.line.startswith("no fault found: overall: ")


def test_a_second_look_comes_from_the_cache(healthy: Path, cache: Path, tmp_path: Path) -> None:
    house = Path(shutil.copytree(healthy, tmp_path / "house"))
    only_silence(house)
    first, second = diagnosed(house, cache, failed=True), diagnosed(house, cache, failed=True)
    assert (second.causes, second.trials) == (first.causes, first.trials)
    [candidate] = find_candidates([house])
    run = Run(folder=house / "records", cache=Cache(cache), toolchains=False)
    diagnose(run, candidate, candidate.recipes[0], failed=True)
    assert all(entry.hit for entry in run.cache.used)
    assert {"artifacts", "outputs", "probes"} <= {entry.kind for entry in run.cache.used}


def test_without_time_nothing_is_guessed(healthy: Path, cache: Path, tmp_path: Path) -> None:
    house = Path(shutil.copytree(healthy, tmp_path / "house"))
    only_silence(house)
    found = diagnosed(house, cache, failed=True, seconds=0)
    assert (found.word, found.causes) == ("not told apart", ())
    assert found.left_out == ("calibration and precision: no time left", "layers: no time left")


def test_a_float_model_that_is_not_finite_is_no_fault_of_quantization(
    healthy: Path, cache: Path, tmp_path: Path
) -> None:
    house = Path(shutil.copytree(healthy, tmp_path / "house"))
    litert(house, lambda content: None)  # a sound .tflite, so that there is a build at all
    set_output_bias(model(house) / "model.onnx", np.nan)
    found = diagnosed(house, cache, failed=True)
    assert (found.word, found.trials) == ("golden", ())
    assert found.stages == ()


def test_noise_that_all_layers_share_is_laid_on_none_of_them(healthy: Path, cache: Path) -> None:
    """A gate that a healthy int8 build cannot keep: 8 bits are too few, no layer is at fault."""
    found = diagnosed(healthy, cache, failed=True)
    assert "layers" not in {cause.kind for cause in found.causes}
    assert found.word == "precision"
    assert found.causes[0].what.startswith("8 bits are too few for most of its layers alike")
