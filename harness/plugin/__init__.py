"""The pytest face: options here, everything else in :mod:`harness.plugin.session`.

Registered by entry point, so every pytest of the environment imports it: it stays small and out of the
way until a house is named by ``--candidates`` or ``voxgate_candidates``.
"""

from __future__ import annotations

import pytest

from harness.plugin import options, rootdir


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    known = early_config.known_args_namespace
    if known.candidates or known.work or known.data or known.lab:
        rootdir.restore(early_config, args)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    chosen = options.read(config)
    if not chosen.candidates:
        return
    from harness.plugin import session

    options.add_markers(config)
    options.check_markers(config)
    session.open_house(config, chosen)
    config.pluginmanager.register(session, "voxgate-session")
