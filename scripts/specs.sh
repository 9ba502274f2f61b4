#!/usr/bin/env bash
# Runs the specs under LuaJIT, two files at a time, and ends with one line of totals.
#
#   specs.sh [FILE…]     default: every spec/*_spec.lua

set -uo pipefail
cd "$(dirname "$0")/.." || exit

[ $# -gt 0 ] || set -- spec/*_spec.lua
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
export results

run_one() {
    local out
    out=$results/$(basename "$1")
    busted --lua="$(command -v luajit)" "$1" > "$out" 2>&1
    # A file that does not load prints no totals. Report it as an error.
    grep -Eq '^[0-9]+ success' "$out" || echo '0 successes / 0 failures / 1 error / 0 pending : 0 seconds' >> "$out"
    echo "== $1"
    cat "$out"
}
export -f run_one

printf '%s\n' "$@" | xargs -P 2 -I {} bash -c 'run_one {}'

# Repeat the failures at the end of a long log.
awk 'FNR == 1 { failed = 0 }
     failed
     /^[0-9]+ success/ { failed = $4 + $7; if (failed) print "\nfailed in " FILENAME }' "$results"/* \
    | head -c 8000

awk '/^[0-9]+ success/ { passed += $1; failed += $4 + $7; skipped += $10 }
     END { line = "specs: " passed " passed, " failed " failed"
           if (skipped) line = line ", " skipped " skipped"
           print line
           exit failed > 0 || passed == 0 }' "$results"/*
