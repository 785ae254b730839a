"""Simulates every room of the house at the rate of its corpora."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version

from harness.audio import simulated
from harness.audio.rooms import ROOMS, make_bank

RATE = 16000

for room in ROOMS.values():
    bank = make_bank(room, RATE)
    made_with = f"pyroomacoustics {version('pyroomacoustics')}, numpy {version('numpy')}"
    simulated.keep(asdict(room), RATE, bank.responses, bank.rt60_s, made_with)
    print(f"{room.name}: {bank.responses.shape[0]} responses of {bank.responses.shape[1]} samples")
