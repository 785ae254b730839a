"""The shipped spoken command model: static, all of it quantizable, its grammar the corpus' own, and it hears."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from harness.audio.corpus import fit, load_corpus, read_clip
from harness.audio.synth.phrases import GRAMMAR
from harness.candidate import Candidate, CommandHead, load
from harness.onnxfile import inspect
from harness.quantize.mixed import branches
from harness.score.ctc import decoder

HOUSE = Path(__file__).parents[2]
FOLDER = HOUSE / "models" / "commands_ctc"
LEAST_RIGHT = 85.0  # percent of native commands in quiet
EVERY = 6  # of the native test clips


@lru_cache
def shipped() -> Candidate:
    return load(FOLDER, HOUSE)


def test_its_grammar_is_the_one_its_speech_was_built_from() -> None:
    grammar = shipped().grammar
    assert grammar is not None
    assert grammar.sentences == GRAMMAR.sentences


def test_onnx_is_static_and_gives_a_token_a_frame() -> None:
    model, frontend = inspect(FOLDER / "model.onnx"), shipped().frontend
    assert model.input_shape == (1, 1, frontend.frames, frontend.bins)
    assert model.output_shape == (1, (frontend.frames + 1) // 2, len(shipped().labels))
    assert not {"BatchNormalization", "LayerNormalization", "LogSoftmax", "Mul", "Pow"} & set(model.ops)
    assert branches(FOLDER / "model.onnx")


def test_it_has_some_hundred_thousand_parameters() -> None:
    tensors = onnx.load(FOLDER / "model.onnx").graph.initializer
    assert 300_000 < sum(int(np.prod(tensor.dims)) for tensor in tensors) < 1_000_000


def test_native_commands_are_heard_in_quiet() -> None:
    candidate, corpus = shipped(), load_corpus("phrases", HOUSE).split("test")
    head, grammar = candidate.head, candidate.grammar
    assert isinstance(head, CommandHead)
    assert grammar is not None
    native = [clip for clip in corpus.clips if corpus.groups[clip.accent] == "native"][::EVERY]
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])
    decoding = decoder(head.labels, head.blank, grammar.sentences, head.reject)
    right = 0
    for clip in native:
        audio = fit(read_clip(clip, corpus.sample_rate), candidate.frontend.samples)
        features = candidate.frontend.features(audio)[None, None]
        right += decoding.hear(session.run(None, {"features": features})[0]).text == clip.label
    assert 100 * right / len(native) >= LEAST_RIGHT
