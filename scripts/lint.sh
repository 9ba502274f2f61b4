#!/usr/bin/env bash
# `make lint`: checks formatting, clippy, luacheck, the reference, the version and, in lint-deploy.sh, the shipped
# files. Warnings are errors.

set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh test
cargo fmt --check
cargo clippy --release --all-targets --features "${CARGO_FEATURES:-cli,demo,tunnel}" --quiet -- -D warnings
luacheck --quiet lua compat spec conf bench examples scripts
CHECK=1 scripts/docs.sh
scripts/version.sh --check
scripts/lint-deploy.sh
