#!/usr/bin/env bash
# `make bench`: installs what is missing, builds, and measures the gateway side by side with its limits,
# then the tunnel side by side with its peers.
#
#   QUICK=1  RUNS=9  BENCH_OUT=docs/bench/results.json  PEER_LUA_PATH=DIR: see benches/gateway/__main__.py
#   PEER_WEBSOCKTUNNEL  PEER_WST_CLIENT  PEER_RATHOLE: see benches/gateway/tunnel.py

set -euo pipefail
cd "$(dirname "$0")/.."

# One set of features for all that follows: another would build everything again.
export CARGO_FEATURES=cli,demo,tunnel

scripts/setup.sh bench
cargo build --release --features "$CARGO_FEATURES"
cargo bench --no-run --features "$CARGO_FEATURES"
/usr/bin/python3 benches/gateway
# Verify and sign for each algorithm.
BENCH_OUT=${BENCH_OUT:-docs/bench/results.json} scripts/bench/jwt.sh
scripts/bench/tunnel.sh
