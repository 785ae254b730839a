"""The limits a build must keep: general ones, and those of single targets and recipes laid over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from harness.recipe import Recipe
from harness.strict import Strict


class Since(Strict):
    """One limit for each kind of margin; ``slices`` overrides single ones by their id."""

    overall: float | None = None
    group: float | None = None  # accents=native, accents=seen, accents=unseen
    accent: float | None = None
    condition: float | None = None
    slices: dict[str, float] = Field({})

    def limit(self, slice_id: str, kind: str) -> float | None:
        """The limit for a slice, or None where the candidate states none."""
        if slice_id in self.slices:
            return self.slices[slice_id]
        value: float | None = getattr(self, kind, None)
        return value

    @property
    def declared(self) -> bool:
        """Whether there is any limit at all."""
        return self != type(self)()


class Margins(Since):
    """Limits of margins, and of cells, which are screened for harm."""

    cell: float | None = None


class LatencyBudget(Strict):
    """Upper limits in milliseconds."""

    p50: float | None = Field(None, gt=0)
    p95: float | None = Field(None, gt=0)
    p99: float | None = Field(None, gt=0)


class WakewordBudget(Strict):
    """Limits of a wake word. ``slices`` of misses are those of ``Since``: words of recordings and of synthetic speech
    are judged by the same limits, each by itself.
    """

    frr: Since = Since()  # percent of words missed, at the candidate's threshold
    false_accepts_per_hour: float | None = Field(None, gt=0)  # upper bound, events with a refractory period
    delay_ms: LatencyBudget = LatencyBudget()  # from the end of a word to its detection
    score_sqnr: float | None = None  # least dB of the float model's scores over the error of the build's
    drift_db: float | None = Field(None, gt=0)  # most dB by which that error grows over the stream


class CommandBudget(Strict):
    """Upper limits on text spelled letter by letter, without the grammar: percent of words or letters said."""

    wer: Margins = Margins()
    cer: Margins = Margins()
    wer_rise: Margins = Margins()  # points of WER more than golden has


class Budgets(Strict):
    """What a build must keep. Units stand in the field names or beside them."""

    confidence: float = Field(0.95, gt=0.5, lt=1)
    drop: Margins = Margins()  # points of accuracy lost against golden
    flips: Margins = Margins()  # percent of renderings whose decision differs from golden
    sqnr: Margins = Margins()  # least dB of logit signal over quantization noise
    regression: Since = Since()  # points of accuracy lost since the last accepted release
    drift: Since = Since()  # points of accuracy lost since the first one
    command: CommandBudget = CommandBudget()  # of task "command"
    latency_ms: LatencyBudget = LatencyBudget()  # one inference, model alone
    end_to_end_ms: LatencyBudget = LatencyBudget()  # audio in, front end, model, decision
    slowdown: float | None = Field(None, gt=0)  # median inference over that of the float path, side by side
    wakeword: WakewordBudget = WakewordBudget()
    parity: float = Field(1e-3, gt=0)  # largest |logit difference| of the float conversion
    frontend: float | None = Field(None, gt=0)  # largest RMS difference of a bin between host and board
    layers: int | None = Field(None, gt=0)
    partitions: int | None = Field(None, gt=0)  # pieces the graph falls into: each boundary is a copy
    file_kib: float | None = Field(None, gt=0)
    weights_kib: float | None = Field(None, gt=0)
    activations_kib: float | None = Field(None, gt=0)
    rss_mib: float | None = Field(None, gt=0)
    device_mib: float | None = Field(None, gt=0)  # of the accelerator's memory, where a board or compiler tells
    energy_mj: float | None = Field(None, gt=0)  # of one inference, end to end, idle subtracted
    cpu_share: float | None = Field(None, ge=0, le=100)  # percent of an inference's time off the accelerator

    @property
    def sliced(self) -> dict[str, Since]:
        """Every limit that is set by slice, by its name in model.toml."""
        own = {name: getattr(self, name) for name in ("drop", "flips", "sqnr", "regression", "drift")}
        texts = {f"command.{name}": getattr(self.command, name) for name in ("wer", "cer", "wer_rise")}
        return {**own, **texts, "wakeword.frr": self.wakeword.frr}


class Floor(Strict):
    """Absolute sanity: the least score, whatever float scored."""

    of: Literal["golden", "artifact", "both"] = "both"
    metric: Literal["accuracy", "recall"] = "accuracy"
    slice: str = "overall"
    min: float = Field(ge=0, le=100)  # percent


class _Special(Strict):
    """``[budgets.for."target"]`` and ``[budgets.for."target/recipe"]``: tables laid over the general one."""

    for_: dict[str, dict[str, Any]] = Field({}, alias="for")


def layered(table: dict[str, Any], recipe: Recipe) -> Budgets:
    """The limits of one build. Raises pydantic's ValidationError for an unknown or impossible one."""
    return Budgets.model_validate(overlaid(table, (recipe.target, recipe.id)))


def overlaid(table: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The general limits of a table with its special ones for ``keys`` laid over them, the last on top."""
    general = {key: value for key, value in table.items() if key != "for"}
    special = _Special.model_validate({"for": table.get("for", {})}).for_
    for key in keys:
        general = _merged(general, special.get(key, {}))
    return general


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in over.items():
        old = both.get(key)
        both[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both
