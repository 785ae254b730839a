"""Releases as ``voxgate baseline accept`` keeps them, made of synthetic outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from harness.audio.corpus import Clip
from harness.baseline import Baseline, Decided, Made, Origin, Release, decided_wrong
from harness.row import Row
from harness.score.keyword import Comparison
from harness.score.slices import Slice

HEARD = {"clean": "c1", "noise-10db": "n1"}


def release(
    table: Comparison,
    clips: Sequence[Clip],
    labels: Sequence[str],
    parts: Sequence[Slice],
    *,
    date: str = "2026-01-01 00:00 UTC",
    heard: Mapping[str, str] = HEARD,
    rows: Sequence[Row] = (),
) -> Release:
    """A release whose decisions are the table's tested ones."""
    scores = {part.id: table.accuracy(part, 0.95, 0, keywords=False) for part in parts}
    return Release(
        origin=Origin(date=date, run="20260101-000000-1", command="pytest", word="MAY SHIP", voxgate="0.1.0"),
        made=Made(key="0123456789abcdef", evidence="host", sizes={"file": 2048}, tools={"onnxruntime": "1"}),
        rows=tuple(row.as_json() for row in rows),
        decided=Decided(
            audio=dict(heard),
            confidence=0.95,
            scores={name: asdict(score) for name, score in scores.items() if math.isfinite(score.error)},
            wrong=decided_wrong(table, clips, labels),
        ),
        nodes=(("/Conv", "Conv", "int8", "npu", False), ("/Softmax", "Softmax", "int8", "npu", False)),
        latency_ms={"inference": tuple(float(i) for i in range(1, 102))},
    )


def baseline(
    first: Release, last: Release | None = None, candidate: str = "tiny", build: str = "rk3588/w8a8"
) -> Baseline:
    return Baseline(format=1, candidate=candidate, build=build, first=first if last else None, last=last or first)
