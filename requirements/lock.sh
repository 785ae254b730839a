#!/usr/bin/env bash
# Lock what the tox environments install: hashed, for every platform, and without a registry's address.
set -euo pipefail
cd "$(dirname "$0")/.."
for name in gate test lint report; do
    uv pip compile --quiet --generate-hashes --universal --no-header --no-emit-index-url --python-version 3.11 \
        --output-file "requirements/$name.txt" pyproject.toml "requirements/$name.in" --constraints requirements/constraints.txt "$@"
done
