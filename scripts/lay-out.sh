#!/usr/bin/env bash
# Lays out a directory from which nginx runs the checkout's own conf/ and lua/, as an ordinary user:
#
#   lay-out.sh RUN_DIR
#
# RUN_DIR/etc has links to conf/ and examples/, and runtime/ with the files that runtime.sh writes. `make run`, the
# specs and the benchmarks all start nginx this way:  nginx -p RUN_DIR/etc -c RUN_DIR/etc/nginx.conf
#
# SITE=path/to/site.conf serves that file instead of conf/sites-enabled/. The examples use it.
# CONF=path/to/conf lays out another configuration than the checkout's.

set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
conf=$(realpath "${CONF:-$root/conf}")
mkdir -p "${1:?usage: lay-out.sh RUN_DIR}"/{etc,logs,acme}
run_dir=$(cd "$1" && pwd)

# An earlier run with SITE may have left a directory in place of the link.
rm -rf "$run_dir/etc/sites-enabled"
for entry in "$root/examples" "$conf"/*; do
    ln -sfn "$entry" "$run_dir/etc/$(basename "$entry")"
done

if [ -n "${SITE:-}" ]; then
    rm -rf "$run_dir/etc/sites-enabled"
    mkdir "$run_dir/etc/sites-enabled"
    ln -s "$(realpath "$SITE")" "$run_dir/etc/sites-enabled/"
fi

# What a killed nginx leaves, which the next one could not bind.
rm -f "$run_dir/admin.sock"

export ROUTE_RUN_DIR=$run_dir
export ROUTE_ACCESS_LOG=${ROUTE_ACCESS_LOG:-$run_dir/logs/access.log}
export ROUTE_ERROR_LOG=${ROUTE_ERROR_LOG:-$run_dir/logs/error.log}
export ROUTE_LUA_PATH=${ROUTE_LUA_PATH:-$root/lua/?.lua}
export ROUTE_LUA_CPATH=${ROUTE_LUA_CPATH:-$root/target/release/?.so}
# The workers run as the current user, because only that user may be able to read the checkout.
ROUTE_USER=${ROUTE_USER:-$(id -un)}
export ROUTE_USER

exec sh "$conf/runtime.sh" "$run_dir/etc/runtime"
