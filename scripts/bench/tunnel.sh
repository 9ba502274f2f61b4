#!/usr/bin/env bash
# The tunnel's part of `make bench`: what goes through it in a second, and what an idle one costs, with client and server
# of this project. PEER_WEBSOCKTUNNEL, PEER_WST_CLIENT and PEER_RATHOLE name what it is held against; without them there
# is nothing to hold it against, and only memory is judged. See benches/gateway/tunnel.py.

set -euo pipefail
cd "$(dirname "$0")/../.."

cargo build --release --features "${CARGO_FEATURES:-cli,demo,tunnel}" --bins --example tunnel_bench
# Ten thousand tunnels take a descriptor each, on either side.
ulimit -n "$(ulimit -Hn)"
exec /usr/bin/python3 benches/gateway/tunnel.py
