"""Runs inside the edgetpu toolchain's own environment: converts one ONNX to a float .tflite by onnx2tf.

    python -I onnx2tf_worker.py FOLDER

FOLDER/request.json names the model and the file to make, relative to FOLDER; FOLDER/result.json says what came of it.
Its own int8 is not asked for: it is worse than that of litert-quantizer.
"""

from __future__ import annotations

import json
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any


def convert(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    import onnx2tf

    made = folder / "onnx2tf"
    onnx2tf.convert(
        input_onnx_file_path=str(folder / request["model"]),
        output_folder_path=str(made),
        output_signaturedefs=True,  # litert-quantizer calibrates by the signature
        non_verbose=True,
    )
    files = sorted(made.glob("*_float32.tflite"))
    if len(files) != 1:
        return {"ok": False, "error": f"onnx2tf wrote {len(files)} float .tflite files where one was expected"}
    files[0].replace(folder / request["file"])
    shutil.rmtree(made)
    return {"ok": True}


def main(folder: Path) -> None:
    try:
        result = convert(json.loads((folder / "request.json").read_text(encoding="utf-8")), folder)
    except (Exception, SystemExit) as error:  # it exits where it meets an operator that it does not know
        traceback.print_exc()
        first = (str(error).strip().splitlines() or ["no reason given"])[0]
        result = {"ok": False, "error": f"{type(error).__name__}: {first}"}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
