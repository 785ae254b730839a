"""How the house's TOML files are read: strictly, and every fault told at once with the nearest known name."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import VoxgateError, nearest

MAX_TOML = 256 * 1024


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read_toml(path: Path, wrong: type[VoxgateError], remedy: str = "") -> dict[str, Any]:
    """What a TOML file says. Raises ``wrong``, with ``remedy``, where it is no file, is large, or is no TOML."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # of a pipe or a device nothing tells how long reading takes
            raise wrong(f"{path} is no regular file; write one there. {remedy}".rstrip())
        if found.st_size > MAX_TOML:
            raise wrong(f"{path} is larger than {MAX_TOML // 1024} KiB; a {path.name} holds no data.")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise wrong(f"{path} cannot be read: {error.strerror or error}. {remedy}".rstrip()) from error
    except (ValueError, RecursionError) as error:  # Python reads no number of thousands of digits
        raise wrong(f"{path} is not valid TOML: {error}.") from error


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
