#!/bin/sh
# HEALTHCHECK of the images: requests /healthz from the gateway's own port, at the first address of ROUTE_LISTEN.

set -euf

IFS=', '
for listen in ${ROUTE_LISTEN:-80}; do
    [ -z "$listen" ] || break
done
port=${listen##*:}
case $listen in
    *:*) host=${listen%:*} ;;
    *) host=127.0.0.1 ;;
esac
case $host in
    '*' | 0.0.0.0) host=127.0.0.1 ;;
    '[::]') host='[::1]' ;;
esac

if command -v curl > /dev/null; then
    exec curl --fail --silent --show-error --noproxy '*' --max-time 3 --output /dev/null "http://$host:$port/healthz"
fi
# -Y off: ignore the environment's proxies for an address of this machine.
exec wget -Y off -q -T 3 -O /dev/null "http://$host:$port/healthz"
