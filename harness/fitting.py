"""Whether the parts of a candidate fit each other: model, front end, labels, grammar, corpus, conditions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness.audio.ambience import AMBIENCES
from harness.audio.checks import require_audio
from harness.audio.conditions import CONDITIONS
from harness.audio.corpus import UNGROUPED, Corpus, load_corpus
from harness.audio.grammar import Grammar
from harness.budgets import Margins, Since
from harness.candidate import Candidate, CommandHead
from harness.errors import CandidateError, CorpusError, Unsupported, nearest
from harness.onnxfile import inspect
from harness.recipe import Recipe
from harness.score import slices
from harness.score.ctc import Decoder, decoder

if TYPE_CHECKING:
    from harness.run import Run

UNKNOWN = "unknown"
MOST_NAMED = 12


def corpus(run: Run, candidate: Candidate) -> Corpus:
    found = load_corpus(candidate.head.corpus, candidate.house, run.data)
    require_audio(found, run.cache)
    if candidate.grammar:
        return within(found, candidate, candidate.grammar)
    return found if candidate.streams else relabel(found, candidate)


def check(run: Run, candidate: Candidate) -> None:
    run.floors(candidate, "both")
    check_slices(run, candidate)
    if candidate.imported:  # its own file says what it takes, and is held to that when it is built
        return
    onnx = inspect(candidate.model, candidate.states)
    front = candidate.frontend
    if int(np.prod(onnx.input_shape)) != front.frames * front.bins:
        raise CandidateError(
            f"{candidate.name}: its front end gives {front.frames} frames x {front.bins} bins, but "
            f"{candidate.model.name} takes {list(onnx.input_shape)}; make [frontend] of model.toml the one it "
            "was trained with."
        )
    if onnx.output_shape[-1] != len(candidate.labels):
        raise CandidateError(
            f"{candidate.name}: model.toml lists {len(candidate.labels)} labels, but {candidate.model.name} "
            f"gives {onnx.output_shape[-1]} outputs; list every label in the order of the outputs."
        )
    if (len(onnx.output_shape) == 3) != (candidate.task == "command"):
        raise CandidateError(
            f"{candidate.name}: {candidate.model.name} gives {list(onnx.output_shape)}, but a candidate of task "
            f'"{candidate.task}" gives [1,{"frames," if candidate.task == "command" else ""}labels]; correct task '
            "in model.toml, or export the other model."
        )


def check_slices(run: Run, candidate: Candidate) -> None:
    """Raise CandidateError where a budget names a slice that nothing is judged on: its limit would bind nothing."""
    for recipe in candidate.recipes:
        for name, limits in candidate.budgets(recipe).sliced.items():
            known = _judged_on(run, candidate, recipe, name, limits) if limits.slices else []
            for slice_id in limits.slices:
                if known and slice_id not in known:
                    raise CandidateError(
                        f"{candidate.name}: {name}.slices names {slice_id!r}, on which {recipe.id} is not judged"
                        f"{nearest(slice_id, known)}; there are {', '.join(known[:MOST_NAMED])}"
                        f"{f' and {len(known) - MOST_NAMED} more' if len(known) > MOST_NAMED else ''}."
                    )


def _judged_on(run: Run, candidate: Candidate, recipe: Recipe, name: str, limits: Since) -> list[str]:
    """Slices that the limits of this name can bind; none where that cannot be told here."""
    if name == "wakeword.frr":
        return _of_words(run, candidate, recipe)
    cells = run.cells(candidate) if isinstance(limits, Margins) else []
    return [part.id for part in (*run.margins(candidate), *cells)]


def _of_words(run: Run, candidate: Candidate, recipe: Recipe) -> list[str]:
    """Slices of the words in the streams that the build hears; none where a corpus of them is not here to tell."""
    accents: dict[str, str] = {}
    groups = run.corpus(candidate).groups
    heard = (stream for stream in candidate.streams if stream.heard_by(recipe.target))
    for name in {name for stream in heard for name in stream.corpora}:
        try:
            spoken = load_corpus(name, candidate.house, run.data).split("test")
        except Unsupported:
            return []
        own = {clip.accent for clip in spoken.clips if clip.label == candidate.labels[0]}
        accents |= {accent: groups.get(accent, UNGROUPED) for accent in own}
    parts = slices.margins(accents, candidate.head.unseen_accents, [each.id for each in AMBIENCES])
    return [part.id for part in parts]


def conditions(candidate: Candidate) -> list[str]:
    """The conditions a candidate is judged under: those it names, else all of the house."""
    for name in candidate.head.conditions:
        if name not in CONDITIONS:
            raise CandidateError(
                f"{candidate.name}: no condition is named {name!r}{nearest(name, CONDITIONS)}; "
                f"there are {', '.join(CONDITIONS)}."
            )
    return list(candidate.head.conditions) or list(CONDITIONS)


def relabel(corpus: Corpus, candidate: Candidate) -> Corpus:
    """The corpus in the candidate's labels: words it does not know are ``unknown`` where it has that label."""
    strange = sorted({clip.label for clip in corpus.clips} - set(candidate.labels))
    if strange and UNKNOWN not in candidate.labels:
        raise CorpusError(
            f"corpus {corpus.name!r} has the labels {', '.join(strange[:5])}, which {candidate.name} does not list"
            f"{nearest(strange[0], candidate.labels)}; correct the manifest, or give the model a label {UNKNOWN!r}."
        )
    clips = tuple(replace(clip, label=UNKNOWN) if clip.label in strange else clip for clip in corpus.clips)
    return replace(corpus, clips=clips)


def within(corpus: Corpus, candidate: Candidate, grammar: Grammar) -> Corpus:
    """The corpus, all of whose clips say a sentence of the grammar. Raises CorpusError where one does not."""
    strange = sorted({clip.label for clip in corpus.clips} - set(grammar.sentences))
    if strange:
        raise CorpusError(
            f"corpus {corpus.name!r} says {', '.join(map(repr, strange[:3]))}, which the grammar of {candidate.name} "
            f"does not hold{nearest(strange[0], grammar.sentences)}; add the pattern, or drop the clips."
        )
    return corpus


def decoding(candidate: Candidate) -> Decoder:
    head, grammar = candidate.head, candidate.grammar
    if not isinstance(head, CommandHead) or grammar is None:
        raise Unsupported(
            f'{candidate.name} is of task "{candidate.task}": only candidates of task "command" make text; see '
            "docs/commands.md."
        )
    return decoder(head.labels, head.blank, grammar.sentences, head.reject)
