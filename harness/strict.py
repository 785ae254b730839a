"""How the house's TOML files are read: strictly, and every fault told at once with the nearest known name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import nearest

MAX_TOML = 256 * 1024


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def faults(error: ValidationError, models: Sequence[type[BaseModel]], tags: Sequence[str] = ()) -> Iterator[str]:
    """Every fault of a file in words; unknown keys with the nearest of the ``models`` that make it up."""
    known = {name for model in models for name in model.model_fields}
    for fault in error.errors():
        place = [str(part) for part in fault["loc"] if part not in tags]
        if fault["type"].startswith("union_tag"):  # pydantic names the table, not the key that tells which it is
            place.append(str(fault["ctx"]["discriminator"]).strip("'"))
        where = ".".join(place) or "the whole"
        if fault["type"] == "extra_forbidden":
            key = str(fault["loc"][-1])
            yield f"unknown key {where}{nearest(key, known)}"
        else:
            message = fault["msg"].removeprefix("Value error, ")
            yield f"{where}: {message} (found {_short(fault.get('input'))})"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
