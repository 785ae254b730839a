from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import Unsupported
from harness.targets.htp_socs import DEFAULT, SOCS, WITHOUT_HTP, find

WHO = "small htp/a8w8"


@pytest.mark.parametrize(
    ("wanted", "name", "model", "arch", "mib"),
    [("SM8550", "SM8550", 43, 73, 8), ("qcs6490", "QCS6490", 93, 68, 2), ("36", "SM8450", 36, 69, 8)],
)
def test_a_chip_by_name_or_number(wanted: str, name: str, model: int, arch: int, mib: int) -> None:
    soc = find(wanted, WHO)
    assert (soc.name, soc.model, soc.arch, soc.vtcm) == (name, model, arch, mib << 20)


def test_none_named_is_the_default_which_computes_float() -> None:
    assert find("", WHO).name == DEFAULT
    assert find("", WHO).floats
    assert not find("QCS6490", WHO).floats
    assert str(find("", WHO)) == "SM8550 (v73)"


@pytest.mark.parametrize("wanted", ["21", "SM8250", "sm8250", "QRB5165"])
def test_the_rb5_is_refused_and_sent_to_its_own_target(wanted: str) -> None:
    with pytest.raises(Unsupported, match=rf"{WHO}: soc = '{wanted}' .*Hexagon V66.*Set target = \"rb5\""):
        find(wanted, WHO)


@pytest.mark.parametrize("wanted", ["SM8150", "12", "SDM845", "1"])
def test_a_chip_without_an_htp_is_refused_though_qnn_compiles_for_it(wanted: str) -> None:
    with pytest.raises(Unsupported, match=f"knows no HTP on soc = '{wanted}': it would compile for an unknown V68"):
        find(wanted, WHO)


@given(st.one_of(st.text(max_size=32), st.integers(0, 140).map(str), st.sampled_from(sorted(SOCS)).map(str.lower)))
def test_any_other_text_is_refused_or_is_a_chip_of_the_table(wanted: str) -> None:
    names = {soc.name for soc in SOCS.values()} | {str(soc.model) for soc in SOCS.values()} | {""}
    if wanted.strip().upper() in names:
        assert find(wanted, WHO) in SOCS.values()
    else:
        with pytest.raises(Unsupported, match=WHO):
            find(wanted, WHO)


def test_an_unknown_chip_is_told_the_nearest() -> None:
    with pytest.raises(Unsupported, match=r"no chip is named soc = 'SM8551' \(did you mean 'SM8550'\?\)"):
        find("SM8551", WHO)


def test_no_number_stands_twice() -> None:
    models = [soc.model for soc in SOCS.values()]
    assert len(set(models)) == len(models)
    assert not {str(model) for model in models} & {part.partition("=")[2] for part in WITHOUT_HTP.split()}


def test_the_documentation_lists_every_chip_with_its_hexagon() -> None:
    text = (Path(__file__).parents[2] / "docs" / "targets" / "htp.md").read_text()
    rows = {
        line.split("|")[1].strip(): line.split("|")[2].split() for line in text.splitlines() if line.startswith("| V")
    }
    listed = {name: int(hexagon[1:]) for hexagon, names in rows.items() for name in names}
    assert listed == {soc.name: soc.arch for soc in SOCS.values()}
