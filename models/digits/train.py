"""Train the digits model as wakewords is trained, on one second of other recordings.

    python -m models.digits.train --data ../shared/data

Run from the root of the checkout, with the extra ``train`` installed. The test split is never opened. Writes
model.onnx and model.tflite beside this file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from models.wakewords.train import train

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that holds digits/; default as pytest's --data")
    train(HERE, parser.parse_args().data)


if __name__ == "__main__":
    main()
