"""Errors a person can act on.

Every message is one paragraph: what failed, on which model, board or slice, what was observed
against what was needed, and the next command to type. The classes tell whose turn it is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VoxgateError(Exception):
    """Something a person can mend; the message says what and how."""


class CandidateError(VoxgateError):
    """model.toml, or a file it names, cannot be judged."""


class CorpusError(VoxgateError):
    """The audio, its manifest, or its layout is not usable."""


class GoldenError(VoxgateError):
    """Golden outputs are missing, drifted, or belong to another model."""


class BaselineError(VoxgateError):
    """A baseline is damaged, or a run may not become one."""


class ToolchainError(VoxgateError):
    """A vendor toolchain is missing, crashed, or said something that cannot be trusted."""


class Unsupported(VoxgateError):
    """This target cannot do what was asked; the message says what lacks and the remedy."""


class NotMeasured(VoxgateError):
    """A figure needs a board (or another capability) that is not here; never a pass."""


class InfraError(VoxgateError):
    """The lab or this machine failed, not the model: a lost board, a full disk."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint naming the closest known word: `` (did you mean 'rk3588'?)`` or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""
