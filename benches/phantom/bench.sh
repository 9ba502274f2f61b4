#!/usr/bin/env bash
# Cached phantom tokens against plain proxy_pass, in one run:
#
#   ROUNDS (7)  rounds; each measures every arm, and the median counts      SECONDS_EACH (3)
#
#   plain      proxy_pass of a request that carries the API's JWT: what reaches the API is the same in both arms
#   opaque     proxy_pass of a request that carries the opaque token, for comparison
#   phantom    the opaque token exchanged for the JWT, from the cache
#
# One worker of nginx also plays the API, so its share of the work is in all three.

set -euo pipefail
cd "$(dirname "$0")/../.."

ROUNDS=${ROUNDS:-7} SECONDS_EACH=${SECONDS_EACH:-3}
directory=$(mktemp -d)
pids=()
stop() {
    kill "${pids[@]}" 2> /dev/null || true
    wait
    rm -rf "$directory"
}
trap stop EXIT

scripts/setup.sh bench
cargo build --release --quiet
# shellcheck source=scripts/nginx.sh
. scripts/nginx.sh

openssl genrsa -out "$directory/key.pem" 2048 2> /dev/null
node spec/support/introspection_server.mjs --key "$directory/key.pem" > "$directory/server.log" &
pids+=($!)
until grep -qs '^ready' "$directory/server.log"; do kill -0 "${pids[0]}" && sleep 0.05; done
server=$(sed -n 's/^ready //p' "$directory/server.log")

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
sed "s#API_SOCKET#$directory/api.sock#; s#SERVER_PORT#$server#" benches/phantom/site.conf > "$directory/site.conf"
SITE=$directory/site.conf ROUTE_WORKERS=1 ROUTE_LISTEN=127.0.0.1:$port scripts/lay-out.sh "$directory"
"$NGINX_BINARY" -e stderr -p "$directory/etc" -c "$directory/etc/nginx.conf" &
pids+=($!)
url=http://127.0.0.1:$port
until curl -so /dev/null "$url/plain"; do kill -0 "${pids[1]}" && sleep 0.05; done

# An opaque token of the usual length; the JWT that it stands for has some 900 bytes.
opaque=$(printf '{"kind":"jwt","fill":380,"claims":{}}' | base64 -w0 | tr '+/' '-_' | tr -d =)
jwt=$(curl -sf -d "token=$opaque" "http://127.0.0.1:$server/")
[ "$(curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $opaque" "$url/phantom")" = 200 ]

measure() {
    wrk -t1 -c32 -d"$SECONDS_EACH" -H "Authorization: Bearer $2" "$url/$1" | awk '/^Requests\/sec/ { print int($2) }'
}
for ((round = 1; round <= ROUNDS; round++)); do
    measure plain "$jwt" >> "$directory/plain"
    measure plain "$opaque" >> "$directory/opaque"
    measure phantom "$opaque" >> "$directory/phantom"
done
median() { sort -n "$1" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }
plain=$(median "$directory/plain") opaque=$(median "$directory/opaque") phantom=$(median "$directory/phantom")
awk -v plain="$plain" -v opaque="$opaque" -v phantom="$phantom" -v bytes="${#jwt}" 'BEGIN {
    printf "phantom tokens, one worker, JWT of %d bytes, requests/s (median)\n", bytes
    printf "  plain proxy_pass, JWT      %7d\n  plain proxy_pass, opaque   %7d\n", plain, opaque
    printf "  phantom token, cached      %7d   %.2f of plain (target 0.95), %.2f of plain with the opaque token\n",
        phantom, phantom / plain, phantom / opaque
}'
