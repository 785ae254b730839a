"""Rows as a run of one candidate on two targets leaves them: one build fails, one waits for a board."""

from __future__ import annotations

import numpy as np

from harness.row import Row
from harness.verdict import Outcome

ACCENTS = (
    "ar", "cs", "da", "de", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-us", "es", "fi", "fr", "hi", "it", "ja",
    "ko", "nl", "pl", "pt", "sv", "tr",
)  # fmt: skip
CONDITIONS = ("clean", "noise-20db", "noise-10db", "room-small", "room-large", "far-field", "device")
NEEDS_BOARD = "latency of commands on rk3588/w8a8: not measured: needs a board; the simulator has no clock"


def row(gate: str, part: str, value: float | None = 0.4, **changes: object) -> Row:
    """A passing accuracy row of rk3588/w8a8 unless changed."""
    figures: dict[str, object] = {
        "candidate": "commands",
        "target": "rk3588",
        "recipe": "w8a8",
        "gate": gate,
        "slice": part,
        "value": value,
        "unit": "points",
        "limit": 3.0,
        "low": None if value is None else value - 0.5,
        "high": None if value is None else value + 0.5,
        "n": 910,
        "clusters": 10,
        "evidence": "emulator",
        "outcome": Outcome.PASS,
        "detail": f"{gate} on {part}",
    }
    return Row(**(figures | changes))  # type: ignore[arg-type]


def drops(seed: int = 1, hurt: str = "ja") -> list[Row]:
    """Accuracy of every margin and cell; the accent ``hurt`` lost more than it may in noise."""
    draw = np.random.default_rng(seed)
    rows = [row("accuracy", "overall", 0.6, n=18200, limit=1.0, high=0.9)]
    rows += [row("accuracy", f"accents={group}", value) for group, value in (("native", 0.3), ("unseen", 1.9))]
    for accent in ACCENTS:
        rows.append(lost(accent) if accent == hurt else row("accuracy", f"accent={accent}", draw.normal(0.4, 0.5)))
    rows += [row("accuracy", f"condition={condition}", draw.normal(0.5, 0.3)) for condition in CONDITIONS]
    for accent in ACCENTS:
        for condition in CONDITIONS:
            bad = accent == hurt and condition.startswith("noise")
            rows.append(
                row(
                    "accuracy",
                    f"accent={accent},condition={condition}",
                    17.4 if bad else float(draw.normal(0.4, 1.2)),
                    n=130,
                    limit=10.0,
                    low=11.0 if bad else -2.0,
                    high=23.8 if bad else 3.0,
                    screened=True,
                    outcome=Outcome.FAIL if bad else Outcome.PASS,
                )
            )
    return rows


def lost(accent: str) -> Row:
    return row(
        "accuracy",
        f"accent={accent}",
        6.2,
        low=3.1,
        high=9.3,
        n=700,
        outcome=Outcome.FAIL,
        detail=f"accuracy drop on accent={accent} 6.20 points [3.10, 9.30], limit at most 3 points, n=700 renderings "
        "of 100 clips, 10 speakers, Holm p=0.002",
    )


def run() -> list[Row]:
    """A whole run: w8a8 fails on an accent, fp16 lacks a board, the host passes but for one open question."""
    w8a8 = [
        row("sanity", "overall", 0.0, unit="faults", limit=0.0, low=None, high=None),
        *drops(),
        row("sqnr", "overall", 30.7, unit="dB", limit=20.0, low=30.5, high=30.9),
        row("placement", "fallback", 2.0, unit="nodes", limit=0.0, low=None, high=None, n=15, evidence="static",
            outcome=Outcome.FAIL, detail="falls back: Softmax /Softmax on cpu as float16 (no kernel)"),
        *(row("latency", name, None, unit="ms", evidence="", outcome=Outcome.NOT_MEASURED, detail=NEEDS_BOARD)
          for name in ("inference p50", "inference p95", "inference p99")),
    ]  # fmt: skip
    fp16 = [
        row("accuracy", "overall", 0.0, recipe="fp16"),
        row("footprint", "rss", None, recipe="fp16", outcome=Outcome.UNSUPPORTED, detail="no simulator of fp16"),
        row("conversion", "overall", None, recipe="fp16", outcome=Outcome.INFRA, detail="the disk is full"),
    ]
    host = [
        row("accuracy", "overall", 0.1, target="host", recipe="int8", evidence="host"),
        row("accuracy", "accent=tr", 2.1, target="host", recipe="int8", evidence="host", high=4.4,
            outcome=Outcome.INCONCLUSIVE, detail="accuracy drop on accent=tr: needs about 210 more clips"),
        row("latency", "inference p99", 4.2, target="host", recipe="int8", evidence="host", unit="ms", limit=20.0),
        row("golden", "golden", 0.0, target="host", recipe="golden", evidence="host", unit="faults", limit=0.0),
    ]  # fmt: skip
    return [*w8a8, *fp16, *host]
