from __future__ import annotations

from dataclasses import replace

import matplotlib.image
import numpy as np
import numpy.typing as npt
import pytest
from report.rows import drops, row

from harness.report import plots
from harness.report.curves import Series, latencies, timeline
from harness.report.plots import heatmap, histogram, quantiles
from harness.row import Row, keyed
from harness.verdict import Outcome


def pixels(png: bytes, tmp_path) -> npt.NDArray[np.float32]:
    (tmp_path / "plot.png").write_bytes(png)
    return matplotlib.image.imread(tmp_path / "plot.png")


def test_the_same_rows_give_the_same_bytes() -> None:
    first = heatmap(drops(), "t")
    plots._heatmap.cache_clear()
    assert heatmap(drops(), "t") == first


def test_missing_cells_leave_a_heatmap_of_the_same_size(tmp_path) -> None:
    few = [each for each in drops() if "accent=fr,condition=clean" not in each.slice]
    whole, holed = pixels(heatmap(drops(), "t"), tmp_path), pixels(heatmap(few, "t"), tmp_path)
    assert whole.shape == holed.shape
    assert not np.array_equal(whole, holed)


def test_a_change_since_the_release_is_written_into_its_cell(tmp_path) -> None:
    before = keyed([each for each in drops(seed=2) if each.screened])
    plain, changed = pixels(heatmap(drops(), "t"), tmp_path), pixels(heatmap(drops(), "t", before), tmp_path)
    assert not np.array_equal(plain, changed)
    assert np.array_equal(pixels(heatmap(drops(), "t", {}), tmp_path), plain)


def test_runs_and_latencies_are_drawn_spikes_included(tmp_path) -> None:
    rows = [row("accuracy", "overall", float(i)) for i in range(4)]
    series = {"overall": Series([0, 1, 2, 3], rows, ["a", "a", "b", "b"]), "accent=de": Series([3], rows[:1], [""])}
    assert pixels(timeline(series, [f"2026-01-0{i}" for i in range(1, 5)], "t"), tmp_path).std() > 0.01
    calm = pixels(latencies(range(1, 102), range(2, 103), "t", "2026-01-01"), tmp_path)
    wide = pixels(latencies([*range(1, 101), 9000], range(2, 103), "t", "2026-01-01"), tmp_path)
    assert not np.array_equal(calm, wide)


@pytest.mark.parametrize(
    "rows",
    [
        [row("accuracy", "overall")],
        [row("accuracy", "overall"), row("accuracy", "condition=clean")],
        [row("accuracy", "accent=de,condition=clean", screened=True)],
        [row("accuracy", "overall", 0.0), row("accuracy", "accent=de", None)],
    ],
    ids=["overall alone", "margins alone", "one cell", "no figure"],
)
def test_whatever_rows_there_are_can_be_drawn(rows: list[Row], tmp_path) -> None:
    assert pixels(heatmap(rows, "t"), tmp_path).shape[2] == 4


def test_a_fail_is_outlined(tmp_path) -> None:
    calm = [replace(each, outcome=Outcome.PASS) for each in drops()]
    dark = [float((pixels(heatmap(rows, "t"), tmp_path)[..., :3].max(axis=2) < 0.1).sum()) for rows in (calm, drops())]
    assert dark[1] > dark[0] + 500


def test_a_group_does_not_stand_in_for_overall() -> None:
    assert plots._place("accents=unseen") == ("unseen accents", "all")
    assert plots._place("overall") == ("all", "all")


@pytest.mark.parametrize(("n", "names"), [(50, ["p50"]), (130, ["p50", "p95"]), (662, ["p50", "p95", "p99"])])
def test_a_percentile_without_its_samples_is_not_shown(n: int, names: list[str]) -> None:
    assert list(quantiles(np.linspace(1.0, 2.0, n))) == names


@pytest.mark.parametrize("spike", [1.2, 300.0])
def test_histogram_shows_the_spike(spike: float, tmp_path) -> None:
    calm = np.random.default_rng(1).normal(1.0, 0.01, 700)
    without = pixels(histogram(calm, "t"), tmp_path)
    assert not np.array_equal(without, pixels(histogram(np.append(calm, spike), "t"), tmp_path))


def test_histogram_of_equal_samples(tmp_path) -> None:
    assert pixels(histogram(np.full(100, 2.0), "t"), tmp_path).shape[2] == 4
