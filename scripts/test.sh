#!/usr/bin/env bash
# `make test`: installs what the tests need, then lints, Rust tests, and the specs under a real nginx.

set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh test
scripts/lint.sh
cargo build --release --all-features
cargo test --release --all-features
scripts/specs.sh
