"""Whether detections and labels can be trusted at all: what would make good scores look bad, and is not the model's."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from harness.score.wakeword import Listening, Point, Seconds, Trace, detections, tally

MOST_SHIFT = 1  # events


def insane(listening: Listening) -> list[str]:
    """What no score of a model that works is: not finite, or always the same."""
    scores = np.concatenate([trace.scores for trace in listening.traces] or [np.zeros(0, np.float32)])
    broken = int((~np.isfinite(scores)).sum())
    found = [f"{broken} of {len(scores)} scores are not finite"] if broken else []
    settled = [trace.scores[trace.average - 1 :] for trace in listening.traces]  # means of steps that were all heard
    if broken or not any(map(len, settled)) or np.ptp(np.concatenate(settled)) > 0:
        return found
    return [f"all {len(scores)} scores are constant"]


def crowded(fired_s: Seconds, refractory_s: float) -> int:
    """Detections within the refractory period of the one before: a device that has one cannot give them."""
    return int((np.diff(np.sort(fired_s)) < refractory_s * (1 - 1e-6)).sum())


def deaf(point: Point, listening: Listening) -> int:
    """Words missed though their scores reached the threshold: the device was deaf after another detection."""
    found = 0
    for trace, each in zip(listening.traces, point.tallies, strict=True):
        times = trace.first_s + np.flatnonzero(trace.scores >= point.threshold) * trace.step_s
        for word, delay in zip(each.words, each.delays_s, strict=True):
            first, last = np.searchsorted(times, (word.start_s, word.end_s + listening.late_s))
            found += bool(math.isnan(delay) and last > first)
    return found


def shifted(point: Point, listening: Listening) -> int:
    """By how many events the labels seem to be off: 0 where they fit best as they are.

    Labels moved by one row make a healthy model miss nearly everything and fire at what it should. This asks
    whether moving them back explains the detections better: more than twice the hits.
    """
    found = dict.fromkeys(range(-MOST_SHIFT, MOST_SHIFT + 1), 0)
    for trace in listening.traces:
        fired = detections(trace, point.threshold, listening.refractory_s)
        for step in found:
            found[step] += int((~np.isnan(tally(fired, _moved(trace, step), listening.late_s).delays_s)).sum())
    best = max(found, key=lambda step: (found[step], -abs(step)))
    return best if found[best] > 2 * found[0] and found[best] >= 5 else 0


def answered(point: Point, listening: Listening) -> dict[str, tuple[int, int]]:
    """Of each label that is heard, how many events were answered, and how many there are."""
    found: dict[str, tuple[int, int]] = {}
    for trace in listening.traces:
        fired = detections(trace, point.threshold, listening.refractory_s)
        for label in {event.label for event in trace.truth}:
            each = tally(fired, replace(trace, word=label), listening.late_s)
            hits, count = found.get(label, (0, 0))
            found[label] = hits + len(each.words) - each.misses, count + len(each.words)
    return found


def _moved(trace: Trace, step: int) -> Trace:
    """The trace with every label moved by ``step`` events, at the times they had."""
    labels = [event.label for event in trace.truth]
    turned = labels[-step:] + labels[:-step] if step else labels
    events = (replace(event, label=label) for event, label in zip(trace.truth, turned, strict=True))
    return replace(trace, truth=tuple(events))
