"""``python -m benchmarks.verdicts``: false alarms and power of the gates; writes docs/power.md and docs/power.svg.

``--quick`` repeats a tenth as often and writes nothing. Fails where health FAILs more than one time in a hundred, or an
unpaired gate needs less than twice the clips.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.verdicts import pages, power, quiet
from benchmarks.verdicts.record import CHECKOUT
from benchmarks.verdicts.recorded import data, recorded

REPEATS, QUICK = 100, 10  # of each of three kinds
POWER_REPEATS, POWER_QUICK = 100, 20


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args(arguments).quick
    whole = recorded()
    rates = []
    for rate in quiet.rates(whole, QUICK if quick else REPEATS):
        rates.append(rate)
        print(pages.rate_line(rate), flush=True)
    rates.append(quiet.together(rates))
    print(pages.rate_line(rates[-1]), flush=True)
    timings = power.timings(np.asarray(data("timed")["timed"], np.float64))
    curves = power.curves(whole, POWER_QUICK if quick else POWER_REPEATS)
    print(pages.power_lines(curves, timings))
    if not quick:
        (CHECKOUT / "docs" / "power.md").write_text(pages.page(whole, rates, curves, timings), encoding="utf-8")
        (CHECKOUT / "docs" / "power.svg").write_text(pages.plot(curves), encoding="utf-8")
    return 0 if pages.good(rates[-1], curves) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
