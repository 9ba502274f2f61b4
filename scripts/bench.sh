#!/usr/bin/env bash
# `make bench`: installs what is missing, builds, and measures the gateway side by side with its limits,
# then the tunnel side by side with its peers.
#
#   QUICK=1  RUNS=9  BENCH_OUT=docs/bench/results.json  PEER_LUA_PATH=DIR: see benches/gateway/__main__.py
#   PEER_WEBSOCKTUNNEL  PEER_WST_CLIENT  PEER_RATHOLE: see benches/gateway/tunnel.py

set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh bench
cargo build --release
cargo bench --no-run
/usr/bin/python3 benches/gateway
# Verify and sign for each algorithm.
BENCH_OUT=${BENCH_OUT:-docs/bench/results.json} scripts/bench/jwt.sh
scripts/bench/tunnel.sh
