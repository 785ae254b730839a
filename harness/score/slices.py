"""The cells accent x condition on which budgets are judged, and their margins.

Slice ids are the words of model.toml and of the report: ``overall``, ``accents=unseen``,
``accent=ja``, ``condition=noise-10db``, ``accent=ja,condition=noise-10db``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from harness.errors import CandidateError, nearest

Kind = Literal["overall", "group", "accent", "condition", "cell"]


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the renderings. None means any accent, any condition."""

    id: str
    kind: Kind
    accents: frozenset[str] | None = None
    condition: str | None = None

    def __str__(self) -> str:
        return self.id

    def holds(self, accent: str, condition: str) -> bool:
        """Whether a rendering is part of it."""
        return (self.accents is None or accent in self.accents) and self.condition in (None, condition)


def groups(accents: Mapping[str, str], unseen: Collection[str]) -> dict[str, frozenset[str]]:
    """Accent groups: native, seen and unseen foreign. ``accents`` maps accent to its group."""
    named = {
        "native": {a for a, group in accents.items() if group == "native"},
        "seen": {a for a, group in accents.items() if group == "foreign" and a not in unseen},
        "unseen": {a for a in accents if a in unseen},
    }
    return {name: frozenset(members) for name, members in named.items() if members}


def margins(accents: Mapping[str, str], unseen: Collection[str], conditions: Sequence[str]) -> list[Slice]:
    """Slices that must PASS: overall, accent groups, each accent, each condition."""
    found = [Slice("overall", "overall")]
    if len(accents) > 1:
        found += [Slice(f"accents={g}", "group", members) for g, members in groups(accents, unseen).items()]
        found += [Slice(f"accent={a}", "accent", frozenset([a])) for a in sorted(accents)]
    if len(conditions) > 1:
        found += [Slice(f"condition={c}", "condition", None, c) for c in conditions]
    return found


def cells(accents: Mapping[str, str], conditions: Sequence[str]) -> list[Slice]:
    """Slices screened for shown harm: every accent under every condition."""
    if len(accents) < 2 or len(conditions) < 2:
        return []
    return [
        Slice(f"accent={accent},condition={condition}", "cell", frozenset([accent]), condition)
        for accent in sorted(accents)
        for condition in conditions
    ]


def matching(
    pattern: str, accents: Mapping[str, str], unseen: Collection[str], conditions: Sequence[str]
) -> list[Slice]:
    """Slices whose id matches a shell-like pattern: ``accent=*,condition=clean`` is one for each accent.

    Beside margins and cells there are groups under one condition: ``accents=native,condition=clean``.
    """
    known = {part.id: part for part in (*margins(accents, unseen, conditions), *cells(accents, conditions))}
    for name, members in groups(accents, unseen).items():
        for condition in conditions:
            slice_id = f"accents={name},condition={condition}"
            known[slice_id] = Slice(slice_id, "cell", members, condition)
    if pattern in known:  # an accent's own name may hold what a pattern would read otherwise
        return [known[pattern]]
    found = [part for slice_id, part in known.items() if fnmatchcase(slice_id, pattern)]
    if not found:
        raise CandidateError(
            f"no slice is named {pattern!r}{nearest(pattern, known)}. Slices are overall, accents=native|seen|unseen, "
            "accent=A, condition=C, and accent=A,condition=C of the candidate's corpus."
        )
    return found
