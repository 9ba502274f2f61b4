#!/usr/bin/env bash
# `make test`: installs the programs for the tests, then runs the lints, the Rust tests, and the specs under a real
# nginx.

set -euo pipefail
cd "$(dirname "$0")/.."

# Use one set of features for everything, also for the `make run` of the specs: another set would cause another full
# build.
export CARGO_FEATURES=cli,demo,tunnel
# Use one set of targets too: without the tests, cargo gives the dependencies fewer features and builds them again.
export CARGO_TARGETS='--lib --bins --tests'

scripts/setup.sh test
scripts/lint.sh
# shellcheck disable=SC2086
cargo build --release --features "$CARGO_FEATURES" $CARGO_TARGETS
cargo test --release --features "$CARGO_FEATURES"
for part in gateway tunnel; do
    python3 -m unittest discover --quiet --start-directory "bench/$part"
done
scripts/specs.sh
# The gateway's answers must not depend on its caches and threads.
echo 'again without the caches of workers and without the thread pool'
ROUTE_CACHE_ENTRIES=0 ROUTE_RSA_THREADS=0 \
    scripts/specs.sh spec/endpoints_spec.lua spec/token_sources_spec.lua spec/attacks_spec.lua
