"""The chips QNN compiles for: a recipe's ``soc`` to the soc_model, Hexagon version and VTCM it stands for.

Every entry is what onnxruntime-qnn 2.7.0 (QNN 2.51) itself wrote into a context binary that was compiled for that
soc_model. For a chip without an HTP (Hexagon V66 and older) it writes an unknown V68 with 16 MiB of VTCM, without a
word: nothing runs such a binary, so those chips are refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from harness.errors import Unsupported, nearest

DEFAULT = "SM8550"
FLOAT_ARCH = 73  # V68 refuses float operators; V69 takes them, 27 dB less exact than V73 on the same network
BY_ARCH = {  # (Hexagon version, MiB of VTCM)
    (68, 2): (
        "QCS6490=93 SM6450=50 SM6475=76 SM7315=38 SM7325=35 SM7350=32 SM7435=61 SM7450=41 SSG2115P=46 SSG2125P=58 "
        "SXR1230P=45"
    ),
    (68, 4): "SC8280X=37 SM7475=54 SM7775=91 SM8325=34 SM8350=30",
    (68, 8): "QCM8538=89 QCM8838=99 SA8295=39 SA8540=62 SM8475=42",
    (69, 8): "SM8450=36 SXR2230P=53",
    (73, 2): "QCM6690=78 SAR1165P=100 SAR1180P=101 SM6650=74 SM7550=64 SM7635=73",
    (73, 4): "CQ7790M=102 SM7675=70 SM7750=86 SM8635=68",
    (73, 8): "IQX5121=119 QCS8550=66 QCS9100=77 SA8255=52 SC8340XP=120 SC8380XP=60 SM8550=43 SM8735=85",
    (75, 8): "QCS8300=82 QCS8625=90 SA8620P=67 SM8650=57",
    (79, 8): "CQ8725S=104 CQ8750S=105 SM8750=69 SXR2330P=75",
    (81, 2): "IPQ9650=117 QMX115=115",
    (81, 4): "SAR2230P=95 SM7950=123 SW6100=96 XRV7200=110 XRV7205=111",
    (81, 8): "QCS8845=109 SC8440XP=94 SC8480XP=88 SM8845=97 SM8850=87 SM8850L=92",
    (81, 16): "SA8797=72",
    (85, 8): "SM8950=113 SM8975L=112",
    (85, 12): "SM8975=103",
    (85, 16): "SA8787=114",
}
V66 = {"SM8250": 21, "QRB5165": 21}  # the RB5 by its chip's names
WITHOUT_HTP = (
    "CQ2390M=116 QCM4325=56 QCS2290=83 QCS403=20 QCS405=18 QCS410=33 QCS6125=48 QCS7230=51 QRB4210=49 SA525M=84 "
    "SA8195=26 SDM625=11 SDM630=10 SDM632=15 SDM670=6 SDM710=13 SDM801=5 SDM845=1 SM4250=28 SM4350=31 SM4375=55 "
    "SM4450=59 SM4635=71 SM4850=107 SM4875=118 SM6125=19 SM6150=16 SM6225=40 SM6250=27 SM6350=29 SM6450Q=65 SM6850=106 "
    "SM7150=17 SM7250=25 SM8150=12 STP6225P=47"
)


@dataclass(frozen=True, slots=True)
class Soc:
    """One chip as QNN names it; ``vtcm`` in bytes."""

    name: str
    model: int  # QNN's soc_model
    arch: int  # Hexagon version: 73
    vtcm: int

    @property
    def floats(self) -> bool:
        """Whether its HTP computes float (in 16 bits) as exactly as V73 does."""
        return self.arch >= FLOAT_ARCH

    def __str__(self) -> str:
        return f"{self.name} (v{self.arch})"


def find(wanted: str, subject: str) -> Soc:
    """The chip a recipe names, by name or soc_model; ``DEFAULT`` for an empty one.

    Raises Unsupported for the RB5's V66 (another target), for a chip without an HTP, and for an unknown one.
    """
    name = wanted.strip().upper() or DEFAULT
    if name in V66 or name == str(V66["SM8250"]):
        raise Unsupported(
            f"{subject}: soc = {wanted!r} (soc_model 21) is a Hexagon V66, which has no HTP. QNN's HTP compiler takes "
            'it without an error, into a binary that no runtime loads. Set target = "rb5", or name a chip with a V68 '
            "or newer."
        )
    older = dict(_pairs(WITHOUT_HTP))
    if name in older or name in map(str, older.values()):
        raise Unsupported(
            f"{subject}: QNN 2.51 knows no HTP on soc = {wanted!r}: it would compile for an unknown V68 instead. Name "
            f"the chip of a board with an HTP, such as {DEFAULT} or QCS6490."
        )
    for soc in SOCS.values():
        if name in (soc.name, str(soc.model)):
            return soc
    raise Unsupported(
        f"{subject}: no chip is named soc = {wanted!r:.40}{nearest(name, SOCS)}. docs/targets/htp.md lists "
        f"the {len(SOCS)} that QNN 2.51 compiles for; their soc_model numbers are taken too."
    )


def _pairs(text: str) -> Iterator[tuple[str, int]]:
    for name, number in re.findall(r"(\w+)=(\d+)", text):
        yield name, int(number)


SOCS = {
    name: Soc(name, model, arch, mib << 20) for (arch, mib), names in BY_ARCH.items() for name, model in _pairs(names)
}
