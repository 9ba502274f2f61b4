#!/usr/bin/env bash
# Makes the screenshots of docs/ again, in the specs that show what they show.

set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh test
export BORDER_SCREENSHOT=docs/border-login.png NOVNC_SCREENSHOT=docs/desktop-novnc.png
for spec in border_browser novnc; do
    busted --lua="$(command -v luajit)" "spec/${spec}_spec.lua"
done
