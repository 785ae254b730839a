"""``voxgate lab``: the boards, for people."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from harness.terminal import print_table


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    status = commands.add_parser("status", help="who has which board")
    status.set_defaults(call=_status)
    check = commands.add_parser("check", help="is a board fit to be measured on, and what mends it")
    check.add_argument("board", nargs="*", help="these only")
    check.set_defaults(call=_check)
    lock = commands.add_parser("lock", help="keep a board for yourself for a while; your own runs may use it")
    lock.add_argument("board")
    lock.add_argument(
        "--minutes", type=float, default=60.0, help="how long (default: 60); a restart of the board ends it"
    )
    lock.add_argument("--why", default="", help="what others will read")
    lock.set_defaults(call=_lock)
    unlock = commands.add_parser("unlock", help="end your lock and reservation")
    unlock.add_argument("board")
    unlock.add_argument("--force", action="store_true", help="or anybody's: a run that is under way notices and stops")
    unlock.set_defaults(call=_unlock)
    for command in (status, check, lock, unlock):
        command.add_argument(
            "--lab", type=Path, default=Path(os.environ.get("VOXGATE_LAB", "lab.toml")), help="default: lab.toml"
        )


def _status(options: argparse.Namespace) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from rich.markup import escape
    from rich.table import Table

    from harness.boards import desk, lab

    found = lab.load(options.lab)
    grid = Table("board", "targets", "can", "state", "quarantine", "notes", box=None, pad_edge=False)
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda board: desk.holders(found, board), found.boards))
    for board, state in zip(found.boards, states, strict=True):
        can = ", ".join(board.capabilities)
        words = (board.id, ", ".join(board.targets), can, state, board.out_of_order(), board.notes)
        grid.add_row(*map(escape, words))
    print_table(grid)


def _check(options: argparse.Namespace) -> None:
    from rich.markup import escape
    from rich.table import Table

    from harness.boards import desk, lab
    from harness.errors import InfraError
    from harness.row import printable

    found = lab.load(options.lab)
    grid = Table("board", "what", "", "seen", "remedy", box=None, pad_edge=False)
    unfit = []
    for board in [found.entry(name) for name in options.board] or found.boards:
        for each in desk.check(found, board):
            word = "[green]well[/]" if each.well else "[red]not well[/]"
            remedy = "" if each.well else each.remedy
            grid.add_row(board.id, escape(each.what), word, escape(printable(each.detail)), escape(remedy))
            unfit += [] if each.well else [f"{board.id}: {each.what}"]
    print_table(grid)
    if unfit:
        raise InfraError(f"not fit to be measured on: {', '.join(unfit)}; the table has the remedies.")


def _lock(options: argparse.Namespace) -> None:
    from harness.boards import desk, lab
    from harness.boards.hold import owner

    found = lab.load(options.lab)
    desk.lock(found, found.entry(options.board), 60 * options.minutes, options.why)
    print(f"{options.board} is reserved for {owner()} for {options.minutes:g} minutes")


def _unlock(options: argparse.Namespace) -> None:
    from harness.boards import desk, lab

    found = lab.load(options.lab)
    ended = desk.unlock(found, found.entry(options.board), options.force)
    print(f"{options.board}: {'; '.join(f'ended {each}' for each in ended) or 'nobody had it'}")
