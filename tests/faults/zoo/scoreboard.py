"""What the zoo's run comes to, as lines for the terminal and as docs/faults.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.faults.zoo.fault import Result, first_cause
from tests.faults.zoo.site import Told

NAMED = 0.9  # of all faults
WIDTH = 110
NOT_SHOWN = "=INCONCLUSIVE"
HEAD = """# The fault zoo

Written by `python -m tox run -e faults`; do not edit.

Every fault is put into a copy of a healthy small house, judged by the real gates through the engine, and diagnosed
where the suites would. Windows are judged by the shipped `commands` model, four accents, {conditions}. What listens
without end (stream state, events, frames), spoken commands (tokens, decoding) and the pipeline stand in a house of
tones: models of a few nodes, words and letters that are tones, half an hour of stream. *Caught* is FAIL of every gate
and slice that the fault declares (another verdict where the table says so), and PASS of those it must not touch: there
it would hide. *Named right* is the declared cause, first, with the words it must say: by the diagnosis, or by the
gate's own row where nothing is diagnosed (placement, latency, memory, releases, streams, tokens, what is refused).
Faults of outputs and time are of `silicon`, a target of the zoo's own: real int8 arithmetic, with a toolchain, a board
and a clock that err as they are told to. No vendor's silicon is in it. A fault of the silicon is named `board` whether
its toolchain or its board errs: from outside they cannot be told apart.

**In sample.** Harness and zoo were made by the same hands, and these figures are those after mending. Of the first 65
faults judged, 60 were caught and 57 named right. Of the five missed, four were changed to do more harm (they stayed
within the limits, or in the range INCONCLUSIVE is for; one of the four by the shipped, stricter SQNR limit), one was no
fault (a float layer the recipe asks for). Two of the three named wrong made the diagnosis better (outputs that are not
finite are always looked at; the best front end of many is told on the whole sample), one fault had destroyed the model.
Before that, three faults showed gates that did not exist: partitions, a leak of a few KiB an inference, a cached build
that is another's. The last 14, first judged when all that was mended: 12 were caught and named right, 2 missed (a loss
too small to be shown on one accent of eight speakers, and a board whose simulated pace did not fall alike for all it
runs); both faults were changed.

Of the 37 of the house of tones, first judged, 30 were caught and 13 named right. Of the seven missed, five were changed
to do more harm, one showed that golden outputs did not know the grammar they are decided by, and one, scores fewer than
steps, crashed the harness. Of the 17 named wrong, three were named by a row that stood behind the misses it causes
(causes are told first now), 13 showed what no row said: scores that are not finite or never change, scores a step early
or late, states wired crosswise, a refractory period or a threshold that is not of these scores, another label that is
answered, letters that repeat, outputs decided already, a window that misses its command. One was asked more than any
row can tell, where false accepts are heard, and asks no longer. One is left, below: a front end that was changed and
accepted is found for windows, by trying others; for a wake word nobody looks, and its threshold is named. Accuracy
"shows nothing" where it is INCONCLUSIVE, which fails a run but names no harm.

"""


def line(result: Result) -> str:
    """One fault: caught, named right, or what was missed."""
    if not result.caught:
        return f"MISSED  {result.fault.name}: {', '.join(result.missed)} ({result.seconds:.1f} s)"
    word, text = first_cause(result.told)
    verdict = "caught, named right" if result.named else f"caught, NAMED WRONG (wanted {result.fault.cause})"
    return f"{verdict}  {result.fault.name}: {word}: {text[:WIDTH]} ({result.seconds:.1f} s)"


def good(results: Sequence[Result], found: Mapping[str, Told]) -> bool:
    named = sum(result.named for result in results)
    return (
        bool(results)
        and not any(told.red for told in found.values())
        and all(result.caught for result in results)
        and named >= NAMED * len(results)
    )


def counts(results: Sequence[Result]) -> tuple[int, int, int]:
    """Caught, named right, and all of them."""
    return sum(result.caught for result in results), sum(result.named for result in results), len(results)


def summary(results: Sequence[Result], found: Mapping[str, Told]) -> str:
    caught, named, total = counts(results)
    told = [
        f"healthy {build}: {len(each.rows) - len(each.red)} of {len(each.rows)} PASS" for build, each in found.items()
    ]
    scores = f"caught {caught} of {total}, named right {named} of {total}, missed {total - caught}"
    return "\n".join(["", *told, scores])


def page(results: Sequence[Result], found: Mapping[str, Told]) -> str:
    """The scoreboard; nothing in it depends on the machine's speed."""
    caught, named, total = counts(results)
    places = Counter(result.fault.where for result in results)
    lines = [
        f"| | |\n|---|---|\n| seeded | {total} |\n| caught | {caught} ({caught / total:.0%}) |\n"
        f"| named right, first | {named} ({named / total:.0%}) |\n| missed | {total - caught} |\n",
        "Health, judged by the same gates: "
        + ", ".join(
            f"{build} {len(each.rows) - len(each.red)} of {len(each.rows)} rows PASS" for build, each in found.items()
        )
        + ".\n",
    ]
    for place in places:
        lines.append(
            f"## {place}\n\n| fault | must turn red | caught | cause wanted | named first |\n|---|---|---|---|---|"
        )
        lines += [_row(result) for result in results if result.fault.where == place]
        lines.append("")
    return HEAD.format(conditions="clean and at 10 dB SNR") + "\n".join(lines)


def _row(result: Result) -> str:
    fault, (word, text) = result.fault, first_cause(result.told)
    right = word if result.named else f"**{word}** {text[:60]}"
    red = "; ".join(fault.red) + "".join(f"; {_quiet(part)}" for part in fault.quiet)
    cells = (fault.name, red, "yes" if result.caught else f"**missed** {', '.join(result.missed)}", fault.cause, right)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _quiet(part: str) -> str:
    return f"{part.removesuffix(NOT_SHOWN)} shows nothing" if part.endswith(NOT_SHOWN) else f"{part} stays PASS"
