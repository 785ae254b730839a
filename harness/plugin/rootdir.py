"""Keep ``--candidates DIR``, ``--work DIR``, ``--data DIR`` and ``--lab FILE`` from moving pytest's rootdir.

pytest looks for its configuration before plugins have told it their options, so it takes the DIR of
``--candidates DIR`` for a folder of tests and reads the configuration there (pytest#1435). Once the
options are known, the configuration is found again, as if the option had been written with "=".
"""

from __future__ import annotations

import copy

import pytest
from _pytest.config.findpaths import determine_setup


def restore(config: pytest.Config, args: list[str]) -> None:
    """Read the configuration that the arguments without option values lead to, if it is another."""
    known = config.known_args_namespace
    rootpath, inipath, inicfg, _ = determine_setup(
        inifile=known.inifilename,
        override_ini=known.override_ini,
        args=known.file_or_dir,
        rootdir_cmd_arg=known.rootdir or None,
        invocation_dir=config.invocation_params.dir,
    )
    if (rootpath, inipath) == (config.rootpath, config.inipath):
        return
    config._rootpath, config._inipath, config._inicfg = rootpath, inipath, inicfg
    config._inicache.clear()
    config._configure_python_path()
    args[:] = [*config.getini("addopts"), *args]
    config.known_args_namespace = config._parser.parse_known_args(args, namespace=copy.copy(config.option))
    config.known_args_namespace.confcutdir = str(inipath.parent if inipath else rootpath)
