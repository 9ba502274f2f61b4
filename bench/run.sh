#!/usr/bin/env bash
# `make bench`: installs what is missing, builds, and measures the gateway side by side with its limits,
# then the tunnel side by side with its peers.
#
#   QUICK=1  RUNS=9  BENCH_OUT=docs/bench/results.json  PEER_LUA_PATH=DIR: see bench/gateway/__main__.py
#   PEER_WEBSOCKTUNNEL  PEER_WST_CLIENT  PEER_RATHOLE: see bench/tunnel/tunnel.py

set -euo pipefail
cd "$(dirname "$0")/.."

# One set of features for all that follows: another would build everything again.
export CARGO_FEATURES=cli,demo,tunnel

scripts/setup.sh bench
# In one go: without the benchmarks cargo gives the dependencies fewer features, and builds all again for them.
cargo build --release --features "$CARGO_FEATURES" --lib --bins --benches
/usr/bin/python3 bench/gateway
# Verify and sign for each algorithm.
BENCH_OUT=${BENCH_OUT:-docs/bench/results.json} bench/jwt/run.sh
bench/tunnel/run.sh
