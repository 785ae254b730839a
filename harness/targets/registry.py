"""The targets there are: every module of this package that defines a subclass of Target.

Another distribution adds its own by an entry point of the group ``voxgate.targets`` that names such a
module. Modules are imported, vendor code is not: that stays in each target's own worker.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType, ModuleType

import harness.targets
from harness.errors import CandidateError, ToolchainError, nearest
from harness.targets.base import Target

GROUP = "voxgate.targets"


@cache
def registry() -> Mapping[str, Target]:
    """Target name to target, host first, then by name. Two targets of one name are a programming error.

    Raises ToolchainError where an entry point leads to no target.
    """
    found: dict[str, Target] = {}
    for module in _modules():
        for value in vars(module).values():
            if _is_target(value, module):
                if value.name in found:
                    raise TypeError(f"two targets are named {value.name!r}: {type(found[value.name])} and {value}")
                found[value.name] = value()
    return MappingProxyType(dict(sorted(found.items(), key=lambda item: (item[0] != "host", item[0]))))


def _modules() -> Iterator[ModuleType]:
    for module in pkgutil.iter_modules(harness.targets.__path__):
        if not module.ispkg:
            yield importlib.import_module(f"harness.targets.{module.name}")
    for entry in entry_points(group=GROUP):
        yield _named(entry)


def _named(entry: EntryPoint) -> ModuleType:
    """The module that another distribution's entry point names."""
    try:
        module = entry.load()
        if not isinstance(module, ModuleType) or not any(_is_target(value, module) for value in vars(module).values()):
            raise TypeError("it is no module that defines a subclass of Target; see docs/add-a-target.md")
    except Exception as error:  # what another's code meets when it is imported
        owner = entry.dist.name if entry.dist else "a distribution"
        raise ToolchainError(
            f"the target {entry.name!r} of {owner} ({entry.value}) cannot be used: {type(error).__name__}: {error}. "
            f"Mend or uninstall {owner}."
        ) from error
    return module


def known_target(name: str, asked_by: str, remedy: str = "Correct target = in its model.toml.") -> Target:
    """The target a recipe, or a command, names. Raises CandidateError naming the nearest one."""
    targets = registry()
    if name not in targets:
        raise CandidateError(
            f"{asked_by}: no target is named {name!r}{nearest(name, targets)}; there are {', '.join(targets)}. {remedy}"
        )
    return targets[name]


def _is_target(value: object, module: ModuleType) -> bool:
    return (
        inspect.isclass(value)
        and issubclass(value, Target)
        and not inspect.isabstract(value)
        and value.__module__ == module.__name__
    )
