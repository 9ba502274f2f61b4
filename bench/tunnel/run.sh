#!/usr/bin/env bash
# The tunnel's part of `make bench`: what goes through it in a second, and what an idle one costs, with client and server
# of this project. PEER_WEBSOCKTUNNEL, PEER_WST_CLIENT and PEER_RATHOLE name what it is held against; without them there
# is nothing to hold it against, and only memory is judged. See bench/tunnel/tunnel.py.

set -euo pipefail
cd "$(dirname "$0")/../.."

export CARGO_FEATURES=${CARGO_FEATURES:-cli,demo,tunnel}
cargo build --release --features "$CARGO_FEATURES" --bins --bench tunnel
# Ten thousand tunnels take a descriptor each, on either side.
ulimit -n "$(ulimit -Hn)"
exec /usr/bin/python3 bench/tunnel/tunnel.py
