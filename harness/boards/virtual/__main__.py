"""``python -m harness.boards.virtual``: what lab.toml's power commands and an image's maker call."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.boards.virtual.board import VirtualBoard
from harness.boards.virtual.image import find_image
from harness.errors import VoxgateError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m harness.boards.virtual")
    commands = parser.add_subparsers(dest="command", required=True)
    power = commands.add_parser("power", help="switch a board that runs, or ran")
    power.add_argument("folder", type=Path)
    power.add_argument("to", choices=("on", "off", "cycle"))
    commands.add_parser("image", help="build the image, where it is missing")
    options = parser.parse_args()
    try:
        if options.command == "image":
            print(find_image(print).disk)
        else:
            board = VirtualBoard(options.folder)
            {"on": board.power_on, "off": board.power_cut, "cycle": board.power_cycle}[options.to]()
    except VoxgateError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
