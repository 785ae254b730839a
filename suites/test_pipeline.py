"""Pipeline: a trigger and the recognizer it wakes, over one continuous stream, from the word to the result."""

from __future__ import annotations

import pytest

from harness.gates import pipeline as gates


@pytest.mark.gate("success")
def test_success(together, session, record):
    record(gates.success(together, session))


@pytest.mark.gate("command_accuracy")
def test_command_accuracy(together, session, record):
    record(gates.command_accuracy(together, session))


@pytest.mark.gate("wer")
def test_wer(together, session, record):
    record(gates.wer(together, session))


@pytest.mark.gate("false_activations_per_hour")
def test_false_activations(together, session, record):
    record(gates.activations(together, session))


@pytest.mark.gate("response_ms")
def test_response(together, responses, record):
    record(*gates.response(together, responses))


@pytest.mark.gate("memory_mib")
def test_memory(together, memory, record):
    record(gates.memory(together, memory))
