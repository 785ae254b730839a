#!/usr/bin/env bash
# Lock what the tox environments install: hashed, for every platform, and without a registry's address.
set -euo pipefail
cd "$(dirname "$0")/.."
for name in gate test lint report; do
    uv pip compile --quiet --generate-hashes --universal --no-header --no-emit-index-url --python-version 3.11 \
        --output-file "requirements/$name.txt" pyproject.toml "requirements/$name.in" --constraints requirements/constraints.txt "$@"
done
# What runs on the virtual board: aarch64 wheels for its Python, of the versions that run here.
uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11 \
    --python-platform aarch64-manylinux_2_28 --output-file harness/boards/virtual/board.txt harness/boards/virtual/board.in \
    --constraints requirements/test.txt --constraints requirements/constraints.txt "$@"
