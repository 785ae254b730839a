"""Spoken commands: words and letters wrong without the grammar, which hides small losses, beside golden's.

Whole commands under the grammar are judged by test_accuracy: its decision is the sentence.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.task("command")


@pytest.mark.gate("wer")
def test_wer(judged, slice_id, record):
    record(judged.margins("wer")[slice_id])


@pytest.mark.gate("cer")
def test_cer(judged, slice_id, record):
    record(judged.margins("cer")[slice_id])


@pytest.mark.gate("wer_rise")
def test_wer_rise(judged, slice_id, record):
    record(judged.margins("wer_rise")[slice_id])
