#!/usr/bin/env bash
# `make fuzz`: runs the targets of fuzz/ for a time, on the stable toolchain. An input that finds a fault is written
# into fuzz/seeds/NAME, so that every test run repeats it.
#
#   FUZZ_SECONDS=60          the time of all targets together
#   FUZZ_TARGET=tokens,jwk   default: every target

set -uo pipefail
cd "$(dirname "$0")/.." || exit

export FUZZ_SECONDS=${FUZZ_SECONDS:-60} FUZZ_TARGET=${FUZZ_TARGET:-}
# The input that runs when the process crashes.
FUZZ_LAST=$(mktemp -d)
export FUZZ_LAST
trap 'rm -rf "$FUZZ_LAST"' EXIT

# The features and targets of `make test`, so that nothing is built twice.
cargo test --quiet --release --features "${CARGO_FEATURES:-cli,demo,tunnel}" --test fuzz -- \
    --exact fuzz_for_a_time --ignored --nocapture
status=$?

for last in "$FUZZ_LAST"/*; do
    if [ -s "$last" ]; then
        name=$(basename "$last")
        found=fuzz/seeds/$name/crash-$(sha256sum "$last" | head -c 16)
        cp "$last" "$found"
        echo "fuzz: $name: the process crashed with the input in $found"
        status=1
    fi
done
exit "$status"
