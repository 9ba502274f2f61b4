#!/usr/bin/env bash
# Sends a token through a local image: smoke-image.sh IMAGE
#
#   ENGINE (docker)
#
# The container uses the host's network: it listens on a port of 127.0.0.1, and a file server there is the desktop.

set -euo pipefail

image=${1:?usage: smoke-image.sh IMAGE}
engine=${ENGINE:-docker}
directory=$(mktemp -d)
port=18080
# The port of /filer.
python3 -m http.server --bind 127.0.0.1 --directory "$directory" 29783 > /dev/null 2>&1 &
desktop=$!
container=
stop() {
    kill "$desktop"
    [ -z "$container" ] || "$engine" rm --force "$container" > /dev/null
    rm -rf "$directory"
}
trap stop EXIT

token_tool() { "$engine" run --rm --volume "$directory:/keys" "$image" route-token "$@"; }

token_tool keygen --force /keys > /dev/null
mkdir "$directory/filer"
echo reached > "$directory/filer/file"
token=$(token_tool mint --key /keys/signing_private.pem --payload-key /keys/payload_public.pem --target 127.0.0.1 --ttl 600)

container=$("$engine" run --detach --network host --read-only --tmpfs /run --volume "$directory:/keys:ro" \
    --env "ROUTE_LISTEN=127.0.0.1:$port" --env ROUTE_DRAIN_SECONDS=1 \
    --env JWT_DESKTOP_SIGNING_PUBLIC_KEY=/keys/signing_public.pem \
    --env JWT_DESKTOP_PAYLOAD_PRIVATE_KEY=/keys/payload_private.pem "$image")
answer=$(curl --silent --show-error --fail --retry 30 --retry-connrefused --retry-delay 1 \
    --header "Authorization: Bearer $token" "http://127.0.0.1:$port/filer/file") || {
    "$engine" logs "$container" >&2
    exit 1
}
[ "$answer" = reached ]
status=$(curl --silent --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:$port/filer/file")
[ "$status" = 401 ] || { echo "without a token the answer was $status" >&2; exit 1; }
echo "$image: a token reached its desktop"
