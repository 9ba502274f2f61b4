#!/usr/bin/env bash
# `make bench`: installs what is missing, builds, and measures the gateway side by side with its limits.
#
#   QUICK=1  RUNS=9  BENCH_OUT=docs/bench/results.json  PEER_LUA_PATH=DIR: see benches/gateway/__main__.py

set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh bench
cargo build --release
cargo bench --no-run
/usr/bin/python3 benches/gateway
# Verify and sign for each algorithm.
BENCH_OUT=${BENCH_OUT:-docs/bench/results.json} scripts/bench/jwt.sh
scripts/bench/tunnel.sh
