"""espeak-ng through its C library: native accents, and phonemes carried over from a first language.

The library keeps hidden state (libc's ``rand``, the last voice), so a batch is spoken in a fixed
order by a fresh process and ``srand`` is called before each clip; two builds then agree to the bit.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.audio.synth.accents import TRANSFERS
from harness.audio.synth.speech import Request, Speech, resample
from harness.audio.synth.transfer import WORD_BREAK, transfer
from harness.errors import CorpusError, ToolchainError

SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: AUDIO_OUTPUT_SYNCHRONOUS
UTF8 = 1
PHONEMES = 0x100  # text may hold [[phonemes]]
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER
PHONEME_SEPARATOR = ord("_") << 8
VOICE_FILES = {"en-gb": "en"}  # a variant can only be added to a voice's file name
WORDS_PER_MINUTE, USUAL_PITCH = 165, 50

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(slots=True)
class _Library:
    """The loaded library and what its callback has heard of the clip being spoken."""

    api: ctypes.CDLL
    libc: ctypes.CDLL
    sample_rate: int
    callback: object
    heard: list[np.ndarray]


def speak(requests: Sequence[Request]) -> list[Speech]:
    """Say each request in order; the accent is an espeak-ng voice or one of ``TRANSFERS``."""
    library = _load()
    phonemes = {text: _english(library, text) for text in _foreign_texts(requests)}
    return [_say(library, request, phonemes) for request in requests]


def _foreign_texts(requests: Sequence[Request]) -> list[str]:
    return sorted({request.text for request in requests if request.accent in TRANSFERS})


def _load() -> _Library:
    path = ctypes.util.find_library("espeak-ng")
    if path is None:
        raise ToolchainError(
            "The speech engine espeak-ng is not installed, so this corpus cannot be built: "
            "run `apt-get install espeak-ng` and start the build again."
        )
    api = ctypes.CDLL(path)
    api.espeak_TextToPhonemes.restype = ctypes.c_char_p
    heard: list[np.ndarray] = []

    def collect(wave: ctypes._Pointer[ctypes.c_short], count: int, _events: int) -> int:
        if wave and count > 0:
            heard.append(np.ctypeslib.as_array(wave, (count,)).copy())
        return 0

    callback = _Callback(collect)
    sample_rate = api.espeak_Initialize(SYNCHRONOUS, 0, None, 0)
    if sample_rate <= 0:
        raise ToolchainError("espeak-ng is installed but its data is not: run `apt-get install espeak-ng-data`.")
    api.espeak_SetSynthCallback(callback)
    return _Library(api, ctypes.CDLL(None), sample_rate, callback, heard)


def _english(library: _Library, text: str) -> list[str]:
    """Each word's General American phonemes, ``_`` between them."""
    _set_voice(library, "en-us")
    words = []
    for word in text.split():
        pointer = ctypes.c_char_p(word.encode())
        words.append(library.api.espeak_TextToPhonemes(ctypes.byref(pointer), UTF8, PHONEME_SEPARATOR).decode())
    return words


def _say(library: _Library, request: Request, phonemes: dict[str, list[str]]) -> Speech:
    rules = TRANSFERS.get(request.accent)
    voice = rules.voice if rules else VOICE_FILES.get(request.accent, request.accent)
    _set_voice(library, f"{voice}+{request.voice}")
    text = request.text
    if rules:
        text = f"[[{WORD_BREAK.join(transfer(word, rules) for word in phonemes[text])}]]"
    api = library.api
    api.espeak_SetParameter(RATE, round(WORDS_PER_MINUTE * request.rate), 0)
    api.espeak_SetParameter(PITCH, round(USUAL_PITCH * request.pitch), 0)
    api.espeak_SetParameter(RANGE, USUAL_PITCH, 0)
    library.heard.clear()
    library.libc.srand(request.seed & 0x7FFFFFFF)
    encoded = text.encode() + b"\0"
    api.espeak_Synth(encoded, len(encoded), 0, 0, 0, UTF8 | PHONEMES, None, None)
    if not library.heard:
        raise CorpusError(f"espeak-ng said nothing for {text!r} with voice {request.accent}+{request.voice}.")
    return resample(np.concatenate(library.heard).astype(np.float32) / 32768.0, library.sample_rate)


def _set_voice(library: _Library, voice: str) -> None:
    if library.api.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ToolchainError(
            f"espeak-ng has no voice {voice!r}: install the complete data with `apt-get install espeak-ng-data` (1.51)."
        )
