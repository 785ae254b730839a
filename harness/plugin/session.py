"""A session that judges: parametrization, the plan before, rows as they come, the table after."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from harness.cache import disk_error
from harness.candidate import Candidate
from harness.errors import InfraError, Unsupported, VoxgateError
from harness.plugin import ending, select, workers
from harness.plugin.house import HOUSE, House, make_latest, new_folder
from harness.plugin.options import Options
from harness.plugin.record import ROWS, keep_crash, plainly
from harness.report import beside, diagnosis
from harness.report.allure import configure_results, finish_results, tell_losses
from harness.report.summary import plan_table, summary
from harness.report.timeline import findings
from harness.row import Row, keyed
from harness.targets.registry import registry
from harness.trend import WINDOW
from harness.verdict import Outcome

JUDGED = {Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE}


def open_house(config: pytest.Config, chosen: Options) -> None:
    """Make the house of this session. Raises UsageError where its folder or candidates are unusable."""
    try:
        worker = getattr(config, "workerinput", None)
        folder = Path(worker["voxgate_folder"]) if worker else new_folder(chosen.work)
    except VoxgateError as error:
        raise pytest.UsageError(str(error)) from error
    house = House(options=chosen, say=_speaker(config), folder=folder)
    config.stash[HOUSE] = house
    _checked(house, lambda: _look_at_lab(house))
    config.pluginmanager.register(workers, "voxgate-workers")
    configure_results(config, folder)
    tell_losses(config, lambda error: _lose(house, error))
    if not worker and getattr(config.option, "numprocesses", None):
        _checked(house, lambda: house.candidates)  # the controller collects nothing: look before workers start


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    house = node.config.stash.get(HOUSE, None)
    if house is not None:
        node.workerinput["voxgate_folder"] = str(house.folder)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    house = node.config.stash.get(HOUSE, None)
    if house is not None:  # a worker that crashed has no output
        house.lost = house.lost or getattr(node, "workeroutput", {}).get("voxgate_lost", "")


def pytest_report_header(config: pytest.Config) -> list[str]:
    house = config.stash.get(HOUSE, None)
    if house is None:
        return []
    first = f"voxgate {version('voxgate')}: records in {house.folder}, targets {', '.join(registry())}"
    return [first, *(f"quarantine: {line}" for line in ending.quarantined(house))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    house = metafunc.config.stash.get(HOUSE, None)
    if house is None or house.fault is not None:
        return
    try:
        select.parametrize(metafunc, house)
    except VoxgateError as error:
        house.fault = error


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    house = session.config.stash.get(HOUSE, None)
    if house is None:
        return
    if house.fault is not None:
        raise pytest.UsageError(str(house.fault))
    items[:] = [item for item in items if _asked(item)]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Before anything runs: models and corpora are usable, and the plan says what can be decided."""
    house = session.config.stash.get(HOUSE, None)
    if house is None or session.config.option.collectonly or hasattr(session.config, "workerinput"):
        return
    if house.fault is not None:  # pytest finishes a collection that failed, too
        return
    builds = _selected(session.items)
    if builds:
        _checked(house, lambda: _plan(house, builds))
    if house.options.scheduler and session.items:
        from harness.plugin import elsewhere  # lazily: Dask is an optional extra

        _checked(house, lambda: elsewhere.begin(house, session.items))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with _plain(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with _plain(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and _judges(item) and HOUSE in item.config.stash:
        keep_crash(item, report.longreprtext.strip().rpartition("\n")[2])
    rows = item.stash.get(ROWS, [])
    if rows:
        report.voxgate_rows = [row.as_json() for row in rows]  # type: ignore[attr-defined]
        item.stash[ROWS] = []
    return report


class Rows:
    """Takes the rows from reports, so that xdist's workers deliver theirs too."""

    def __init__(self, house: House, command: str) -> None:
        self.house = house
        self.command = command

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        rows = getattr(report, "voxgate_rows", [])
        if rows and not self.house.rows:
            with _unhurt(self.house):
                make_latest(self.house.folder)
        self.house.rows += [Row.from_json(row) for row in rows]
        if rows:
            with _unhurt(self.house), (self.house.folder / "rows.jsonl").open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
        if rows and not self.house.lost:  # a store that failed once would fail, and wait, at every row
            with _unhurt(self.house):
                self.house.remember(self.command, [Row.from_json(row) for row in rows])


def pytest_sessionstart(session: pytest.Session) -> None:
    house = session.config.stash.get(HOUSE, None)
    if house is not None and not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(Rows(house, ending.command(session.config)), "voxgate-rows")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    house = session.config.stash.get(HOUSE, None)
    if house is None:
        return
    if house.lab is not None:
        house.lab.release()
    house.close()
    if hasattr(session.config, "workerinput"):
        session.config.workeroutput["voxgate_lost"] = house.lost  # type: ignore[attr-defined]  # by pytest-xdist
        return
    silent = house.rows and not any(row.outcome in JUDGED for row in house.rows)
    if silent and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED  # a run that judged nothing is not green
    house.withheld = list(ending.withheld(house)) if house.options.release else []
    if house.withheld and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    facts = ending.facts(session.config, house, session.exitstatus)
    with _unhurt(house):
        for name, found in ending.baselines(house):  # beside its records: the house may have others when it is reported
            house.run.write(f"{name}/baseline", found.model_dump(mode="json"))
        house.run.write("run", facts)
        finish_results(session.config, house.folder, facts["environment"])
        if house.rows and not house.lost:
            house.history.end(house.folder.name, facts["exitstatus"], ending.made(house, facts["commit"]))
            house.drift = [
                line for name in sorted(ending.judged(house)) for line in findings(house.history.points(name, WINDOW))
            ]
            house.run.write("drift", house.drift)
    if house.lost and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    house = config.stash.get(HOUSE, None)
    if house is not None and house.lost:
        terminalreporter.write_line(f"voxgate: records of this run are lost, so it fails: {house.lost}", red=True)
    if house is None or not house.rows:
        return
    writer = terminalreporter._tw
    terminalreporter.section("voxgate")
    before = keyed(row for _, found in ending.baselines(house) for row in found.last.figures())
    causes = diagnosis.lines(house.folder)
    times = {build: beside.text(found) for build, found in beside.read(house.folder).items()}
    width, colour = writer.fullwidth, writer.hasmarkup
    terminalreporter.write(summary(house.rows, ending.hits(house), width, colour, before, causes, times))
    for line in ending.quarantined(house):
        terminalreporter.write_line(f"quarantine: {line}; nothing ran there", yellow=True)
    for line in house.withheld:
        terminalreporter.write_line(f"--release: {line}, so this run fails", red=True)
    for line in house.drift:
        terminalreporter.write_line(line, yellow=True)
    if not any(row.outcome in JUDGED for row in house.rows):
        terminalreporter.write_line("voxgate: this run judged nothing, so it fails; see the reasons above.", red=True)
    terminalreporter.write_line(f"records: {house.folder}   report: voxgate report --work {house.options.work}")


@contextmanager
def _unhurt(house: House) -> Iterator[None]:
    """A record that cannot be written fails the run at its end; the verdicts are still told."""
    try:
        yield
    except (InfraError, OSError) as error:
        _lose(house, error)


def _lose(house: House, error: InfraError | OSError) -> None:
    told = error if isinstance(error, InfraError) else disk_error(error, house.folder)
    house.lost = house.lost or str(told)


def _plain(item: pytest.Item) -> AbstractContextManager[None]:
    """Errors of stages become outcomes in the items that judge; other people's tests are left alone."""
    house = item.config.stash.get(HOUSE, None)
    return plainly(item, house) if house is not None and _judges(item) else nullcontext()


def _selected(items: list[pytest.Item]) -> list[tuple[str, str]]:
    builds: dict[tuple[str, str], None] = {}
    for item in items:
        params = getattr(item, "callspec", None)
        if params and {"candidate", "recipe"} <= set(params.params):
            values = params.params
            builds[values["candidate"], f"{values['target']}/{values['recipe']}"] = None
    return list(builds)


def _asked(item: pytest.Item) -> bool:
    """False for what pytest makes of a gate without any slice to judge: a test without parameters."""
    params = getattr(item, "callspec", None)
    return params is None or all(isinstance(value, str) for value in params.params.values()) or not _judges(item)


def _judges(item: pytest.Item) -> bool:
    return "house" in getattr(item, "fixturenames", ())


def _plan(house: House, builds: list[tuple[str, str]]) -> None:
    decidable = []
    for name, recipe_id in builds:
        candidate: Candidate = house.candidates[name]
        try:
            house.run.ready(candidate)
        except Unsupported:
            continue  # its tests skip, each with this reason
        decidable += house.plan(candidate, candidate.recipe(recipe_id))
    for name, target in sorted({(name, recipe_id.partition("/")[0]) for name, recipe_id in builds}):
        with suppress(VoxgateError):  # remembered: the target's own tests say it
            house.run.provision(house.candidates[name], target)
    house.run.write("plan", [entry.record() for entry in decidable])
    house.say(plan_table(decidable))
    for told in ending.unreleased(house, builds):
        house.say(told)


def _look_at_lab(house: House) -> None:
    if house.lab is not None and house.options.release:
        house.lab.require_no_overdue()


def _checked(house: House, look: Callable[[], object]) -> None:
    try:
        look()
    except VoxgateError as error:
        raise pytest.UsageError(str(error)) from error


def _speaker(config: pytest.Config) -> Callable[[str], None]:
    """Progress lines on the terminal, past pytest's capture; silent in xdist's workers."""

    one = Lock()

    def say(text: str) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        capture = config.pluginmanager.get_plugin("capturemanager")
        if reporter is None or capture is None or config.option.verbose < 0:
            return
        with one, capture.global_and_fixture_disabled():  # stages that are done side by side speak in turn
            reporter.ensure_newline()
            for line in text.splitlines():
                reporter.write_line(line if line.startswith(" ") else f"voxgate: {line}")

    return say
