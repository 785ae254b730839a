from __future__ import annotations

from pathlib import Path

import pytest

from harness import candidate as module
from harness.candidate import find_candidates, house_of, load
from harness.errors import CandidateError

TOML = """
[candidate]
name = "tiny"
task = "keyword"
labels = ["yes", "no", "unknown"]
corpus = "tones"

[frontend]
mel_bins = 32

[[recipe]]
target = "host"
name = "int8"
precision = "int8"

[[recipe]]
target = "rk3588"
name = "fp16"
precision = "fp16"

[[floor]]
min = 80

[budgets]
drop.overall = 1.5
sqnr.overall = 20
latency_ms.p95 = 10

[budgets.for."rk3588"]
drop.overall = 1.0

[budgets.for."rk3588/fp16"]
drop.accent = 2.0
latency_ms.p50 = 4
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "house" / "models" / "tiny"
    place.mkdir(parents=True)
    (place / "model.toml").write_text(TOML)
    (place / "model.onnx").write_bytes(b"onnx")
    return place


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "model.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_candidate_is_read(folder: Path) -> None:
    candidate = load(folder)
    assert candidate.name == "tiny"
    assert candidate.labels == ("yes", "no", "unknown")
    assert candidate.frontend.mel_bins == 32
    assert candidate.model == folder / "model.onnx"
    assert candidate.tflite is None
    assert [recipe.id for recipe in candidate.recipes] == ["host/int8", "rk3588/fp16"]
    assert candidate.floors[0].min == 80


def test_budgets_are_laid_over_each_other(folder: Path) -> None:
    candidate = load(folder)
    host, board = (candidate.budgets(recipe) for recipe in candidate.recipes)
    assert (host.drop.overall, host.drop.accent) == (1.5, None)
    assert (board.drop.overall, board.drop.accent) == (1.0, 2.0)
    assert (board.latency_ms.p50, board.latency_ms.p95) == (4, 10)
    assert host.latency_ms.p50 is None
    assert board.sqnr.overall == 20


def test_slices_override_their_kind(folder: Path) -> None:
    edit(folder, "drop.overall = 1.5", 'drop.overall = 1.5\ndrop.accent = 3\ndrop.slices = { "accent=sv" = 9 }')
    margins = load(folder).budgets(load(folder).recipes[0]).drop
    assert margins.limit("accent=sv", "accent") == 9
    assert margins.limit("accent=de", "accent") == 3
    assert margins.limit("condition=clean", "condition") is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("corpus =", "corpsu =", r"unknown key candidate.corpsu \(did you mean 'corpus'\?\)"),
        ("mel_bins", "melbins", r"unknown key frontend.melbins \(did you mean 'mel_bins'\?\)"),
        ("drop.overall = 1.5", "drop.overal = 1", r"unknown key drop.overal \(did you mean 'overall'\?\)"),
        ("drop.accent", "dorp.accent", r"unknown key dorp \(did you mean 'drop'\?\)"),
        ("[[floor]]", "[[flor]]", r"unknown key flor \(did you mean 'floor'\?\)"),
        ('for."rk3588"]', 'for."rk3566"]', r"budgets.for.'rk3566' is no target.*\(did you mean 'rk3588'\?\)"),
        ('"rk3588/fp16"', '"rk3588/int8"', r"declared: host, rk3588, host/int8, rk3588/fp16"),
        ('[budgets.for."rk3588"]\ndrop.overall = 1.0', "[budgets.for]\nrk3588 = 3", "for.rk3588"),
        ("min = 80", "min = 101", "floor.0.min: .*less than or equal to 100"),
        ("min = 80", "min = nan", "finite number"),
        ("drop.overall = 1.5", "drop.overall = nan", "drop.overall: .*finite number"),
        ("latency_ms.p95 = 10", "latency_ms.p95 = inf", "latency_ms.p95: .*finite number"),
        ("latency_ms.p95 = 10", "latency_ms.p95 = -1", "latency_ms.p95: .*greater than 0"),
        ("drop.overall = 1.5", 'drop.overall = "few"', "drop.overall: .*valid number"),
        ("drop.overall = 1.5", "drop = 3", "drop: .*"),
        ("mel_bins = 32", "high_hz = 9000", "above half the sample rate"),
        ('"no", "unknown"', '"yes", "unknown"', "labels listed twice: yes"),
        ('["yes", "no", "unknown"]', '["yes"]', "labels"),
        ('name = "tiny"', 'name = "../tiny"', "candidate.name: String should match"),
        ('"keyword"', '"poetry"', "candidate.task"),
        ('"int8"\n\n', '"int4"\n\n', "recipe.0.precision"),
        ('target = "rk3588"\nname = "fp16"', 'target = "host"\nname = "int8"', "budgets.for|declared twice"),
        ("corpus = ", 'model = "other.onnx"\ncorpus = ', "names other.onnx, which is not in"),
        ("corpus = ", 'model = "../../x.onnx"\ncorpus = ', "leads out of its folder"),
        ("corpus = ", 'model = "/etc/passwd"\ncorpus = ', "leads out of its folder"),
        ("corpus = ", 'tflite = "../tiny2/m.tflite"\ncorpus = ', "leads out of its folder"),
        ("corpus = ", 'model = "a\\u0000b"\ncorpus = ', "is no file name"),
        ("corpus = ", f'model = "{"m" * 300}"\ncorpus = ', "is no file name"),
        ("[candidate]", "[candidate", "not valid TOML"),
        ("[budgets]", f"x = {'[' * 5000}\n[budgets]", "not valid TOML"),
    ],
)
def test_faults_are_one_paragraph(folder: Path, old: str, new: str, message: str) -> None:
    edit(folder, old, new)
    with pytest.raises(CandidateError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_every_fault_is_told_at_once(folder: Path) -> None:
    edit(folder, "min = 80", "min = 101")
    edit(folder, '"keyword"', '"poetry"')
    with pytest.raises(CandidateError, match=r"candidate\.task.*; floor\.0\.min"):
        load(folder)


def test_recipes_declared_twice(folder: Path) -> None:
    text = TOML.split("[budgets]")[0]
    (folder / "model.toml").write_text(text + '[[recipe]]\ntarget = "host"\nname = "int8"\nprecision = "fp32"\n')
    with pytest.raises(CandidateError, match="recipes declared twice: host/int8"):
        load(folder)


@pytest.mark.parametrize("target", ["../../secret.onnx", "model.onnx"])
def test_links_may_not_leave_nor_loop(folder: Path, target: str) -> None:
    (folder.parents[1] / "secret.onnx").write_bytes(b"secret")
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(target)
    with pytest.raises(CandidateError, match=r"leads out of its folder|is no file name|which is not in"):
        load(folder)


def test_sizes_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MODEL", 3)
    with pytest.raises(CandidateError, match=r"model\.onnx is larger than"):
        load(folder)
    (folder / "model.toml").write_text("#" * (256 * 1024 + 1))
    with pytest.raises(CandidateError, match="larger than 256 KiB"):
        load(folder)


def test_not_text_and_not_there(folder: Path, tmp_path: Path) -> None:
    (folder / "model.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CandidateError, match="not valid TOML"):
        load(folder)
    with pytest.raises(CandidateError, match=r"has no model\.toml"):
        load(tmp_path)


def test_recipe_by_id(folder: Path) -> None:
    candidate = load(folder)
    assert candidate.recipe("host/int8").precision == "int8"
    with pytest.raises(CandidateError, match=r"no recipe 'host/int9' \(did you mean 'host/int8'\?\)"):
        candidate.recipe("host/int9")


def test_candidates_are_found_in_houses_and_folders(folder: Path) -> None:
    house = folder.parents[1]
    assert house_of(house) == (house, house / "models")
    assert house_of(house / "models") == (house / "models", house / "models")
    assert [candidate.house for candidate in find_candidates([house])] == [house]
    with pytest.raises(CandidateError, match="no such folder"):
        find_candidates([house / "none"])
    twin = house / "models" / "twin"
    twin.mkdir()
    for file in folder.iterdir():
        (twin / file.name).write_bytes(file.read_bytes())
    with pytest.raises(CandidateError, match="two candidates are named 'tiny'"):
        find_candidates([house])


def test_allowances_cover_by_pattern(folder: Path) -> None:
    edit(folder, "[[floor]]", '[[allow]]\ntarget = "rk3588"\nop = "Soft*"\nreason = "not on the NPU"\n\n[[floor]]')
    allow = load(folder).allow[0]
    assert allow.covers("rk3588", "Softmax", "/head/Softmax")
    assert not allow.covers("host", "Softmax", "/head/Softmax")
    assert not allow.covers("rk3588", "Conv", "/head/Softmax")


def test_layers_are_kept_in_float_of_int8_alone(folder: Path) -> None:
    edit(folder, 'precision = "fp16"', 'precision = "fp16"\nkeep_float = ["stem"]')
    with pytest.raises(CandidateError, match=r'recipe\.1: keep_float names what precision = "int8" leaves in float'):
        load(folder)


COMMAND = """
[candidate]
name = "tiny"
task = "command"
labels = ["<blank>", " ", "g", "o"]
corpus = "tones"

[frontend]

[[recipe]]
target = "host"
name = "int8"
precision = "int8"
"""


def command(folder: Path, toml: str = COMMAND, grammar: str = 'patterns = ["go go"]') -> Path:
    (folder / "model.toml").write_text(toml)
    (folder / "grammar.toml").write_text(grammar)
    return folder


def test_a_command_candidate_has_a_grammar(folder: Path) -> None:
    found = load(command(folder))
    assert found.task == "command"
    assert found.grammar is not None
    assert found.grammar.sentences == ("go go",)


@pytest.mark.parametrize(
    ("old", "new", "grammar", "told"),
    [
        ('"o"]', '"o", "oo"]', 'patterns = ["go"]', "one letter"),
        ('corpus = "tones"', 'corpus = "tones"\nblank = "<blnk>"', 'patterns = ["go"]', "did you mean '<blank>'"),
        ("[frontend]", "[frontend]", 'patterns = ["go left"]', r"letters \['e', 'f', 'l', 't'\]"),
        ("[frontend]", "[frontend]", 'pattern = ["go"]', "grammar.toml"),
        ('task = "command"', 'task = "comand"', 'patterns = ["go"]', "command"),
        ('corpus = "tones"', 'corpus = "tones"\ngrammar = "../../g.toml"', 'patterns = ["go"]', "leads out"),
    ],
)
def test_a_command_candidates_faults_are_told(folder: Path, old: str, new: str, grammar: str, told: str) -> None:
    assert old in COMMAND
    with pytest.raises(CandidateError, match=told):
        load(command(folder, COMMAND.replace(old, new), grammar))


def test_a_keyword_candidate_has_none(folder: Path) -> None:
    assert load(folder).grammar is None
