#!/bin/sh
# Starts the gateway in the foreground from the environment: an image's entrypoint, and the way to run an installed gateway.
#
#   docker-entrypoint.sh             the gateway
#   docker-entrypoint.sh COMMAND …   that command instead
#
#   ROUTE_CONF_DIR (conf/ beside this file): nginx.conf and what it includes
#   ROUTE_RUN_DIR (/run/route_native): the only place that is written to, so that the rest may be read-only
#   ROUTE_DRAIN_SECONDS (25): how long open connections may go on after SIGTERM or SIGQUIT
#
# This script stays as nginx's parent, because nginx takes SIGTERM, which is what everything but Docker's own stop sends, as
# "drop all connections". Here SIGTERM and SIGQUIT drain: nginx accepts no more and finishes what is open, until time is
# up; a second one, or SIGINT, ends at once. SIGHUP (reload) and SIGUSR1 (reopen logs) are passed on. The time does not
# bind reloads, as nginx's own worker_shutdown_timeout would: they leave open WebSockets alone.

set -eu

[ $# = 0 ] || exec "$@"

here=$(dirname "$0")
conf_dir=${ROUTE_CONF_DIR:-$here/conf}
run_dir=${ROUTE_RUN_DIR:-/run/route_native}
drain_seconds=${ROUTE_DRAIN_SECONDS:-25}
etc=$run_dir/etc

fail() {
    echo "route_native: $1" >&2
    exit 1
}

# SIGINT, and every signal that ends it from the second one on.
end_at_once() {
    nginx=${nginx:-${!:-}}
    [ -n "$nginx" ] || exit 130
    kill -TERM "$nginx"
}

# Passes a signal on. $! is for one between nginx's start and the next line; before that there is nothing to tell.
pass_on() {
    nginx=${nginx:-${!:-}}
    [ -z "$nginx" ] || kill "-$1" "$nginx"
}

# The first SIGTERM. Without nginx there is nothing to drain; $! is for a signal between its start and the next line.
drain() {
    nginx=${nginx:-${!:-}}
    [ -n "$nginx" ] || exit 143
    trap end_at_once TERM QUIT
    (
        trap 'kill "$!"; exit' TERM
        # Five times: a shell starts nginx with SIGQUIT ignored, and what comes before nginx has its handlers is lost.
        for second in $(seq "$drain_seconds"); do
            [ "$second" -gt 5 ] || kill -QUIT "$nginx" || exit
            sleep 1 &
            wait "$!"
        done
        kill -TERM "$nginx"
    ) 2> /dev/null &
    timer=$!
}

# Set before anything else: a process 1 without a handler never hears of a signal.
nginx='' timer=''
trap drain TERM QUIT
trap end_at_once INT
trap 'pass_on HUP' HUP
trap 'pass_on USR1' USR1

# Links to the configuration beside what runtime.sh writes: nginx looks for all of it in one directory.
lay_out() {
    { rm -rf "$etc" && mkdir -p "$etc"; } 2> /dev/null \
        || fail "ROUTE_RUN_DIR must be a directory that can be written to, and is \"$run_dir\""
    [ -e "$conf_dir/nginx.conf" ] || fail "ROUTE_CONF_DIR must hold nginx.conf, and is \"$conf_dir\""
    conf_dir=$(cd "$conf_dir" && pwd)
    for entry in "$conf_dir"/*; do
        ln -s "$entry" "$etc/"
    done
    rm -f "$etc/runtime"
    ROUTE_RUN_DIR=$run_dir sh "$etc/runtime.sh" "$etc/runtime" || exit 1
}

# words LIST: one a line.
words() {
    printf '%s\n' "$1" | tr ', ' '\n\n'
}

# The variable that holds the port of nginx's message about a socket. Other variables may hold the same digits.
listen_variable() {
    port=$(printf '%s\n' "$1" | sed -n 's/.*bind() to [^ ]*:\([0-9]*\) failed.*/\1/p')
    if [ -n "${ROUTE_TLS_CERTIFICATE:-}" ] && words "${ROUTE_TLS_LISTEN:-443}" | grep -Eqx "(.*:)?$port" \
        && ! words "${ROUTE_LISTEN:-80}" | grep -Eqx "(.*:)?$port"; then
        echo ROUTE_TLS_LISTEN
    else
        echo ROUTE_LISTEN
    fi
}

# The first variable with a value, or with a word of a list, that nginx's message shows.
named_by() {
    env | grep -E '^(ROUTE|PYOS|NAMESERVER|NODE)_[A-Z_]*=...' | while IFS='=' read -r name value; do
        words "$value" | grep ... | while read -r word; do
            case $1 in *"$word"*) printf '%s\n' "$name" ;; esac
        done
    done | sed -n 1p
}

# One sentence for what `nginx -t` said: the library's own, or nginx's with the variable that it is about.
explain() {
    # The first line each time, read by a program that reads to the end: with SIGPIPE ignored, printf would complain.
    own=$(printf '%s\n' "$1" | sed -n 's/.*\(route_native: .*\)/\1/p' | sed -n 1p)
    [ -z "$own" ] || fail "${own#route_native: }"
    # Without the file of runtime/ that it happened in: nobody has written that by hand.
    message=$(printf '%s\n' "$1" \
        | sed -n '/.*\[emerg\] / { s///; s/^[0-9]*#[0-9]*: //; s| in [^ ]*/runtime/[a-z.]*:[0-9]*$||; p; }' | sed -n 1p)
    case $message in
        *'bind() to '*) name=$(listen_variable "$message") ;;
        *) name=$(named_by "$message") ;;
    esac
    case $message in *getpwnam* | *getgrnam*) name=${name:-ROUTE_USER} ;; esac
    fail "${name:+$name is wrong: }nginx refuses its configuration: ${message:-$1}"
}

# The first address of runtime/listen.conf that another program listens on, as /proc/net has them: IPv4 addresses with
# their bytes in reverse, and sockets that listen in state 0A. `nginx -t` says nothing about ports in use.
taken_address() {
    awk 'FILENAME ~ /listen.conf$/ {
             if ($1 != "listen") next
             sub(/;$/, "", $2)
             port = $2; sub(/.*:/, "", port)
             address = $2; if (!sub(/:[0-9]+$/, "", address) || address == "*") address = "0.0.0.0"
             text = address ":" port; port = sprintf("%04X", port)
             if (address == "[::]") { every[6 port] = text }
             else if (split(address, byte, ".") == 4) {
                 hex = sprintf("%02X%02X%02X%02X", byte[4], byte[3], byte[2], byte[1])
                 if (hex == "00000000") every[4 port] = text; else one[hex port] = text
             }
             next
         }
         $4 == "0A" {
             split($2, socket, ":"); family = length(socket[1]) == 8 ? 4 : 6
             if (family socket[2] in every) found = every[family socket[2]]
             else if (socket[1] socket[2] in one) found = one[socket[1] socket[2]]
             else if (socket[1] == "00000000") for (key in one) if (substr(key, 9) == socket[2]) found = one[key]
         }
         END { print found }' "$etc/runtime/listen.conf" /proc/net/tcp /proc/net/tcp6 2> /dev/null || true
}

# A port in use, said before nginx says it five times. One that is about to be free is waited for, as nginx does.
check_ports() {
    for _ in 1 2 3; do
        taken=$(taken_address)
        [ -n "$taken" ] || return 0
        sleep 1
    done
    # A configuration of the user's own may listen elsewhere.
    "$NGINX_BINARY" "$@" -T 2> /dev/null | grep -q '^# configuration file .*/runtime/listen.conf:' || return 0
    message="bind() to $taken failed"
    fail "$(listen_variable "$message") is wrong: another program listens on $taken"
}

# A key of the wrong kind, said before nginx says it in several lines. A key that is not there yet is no mistake: the
# gateway answers 503 until it is reloaded with one.
check_keys() {
    command -v route-token > /dev/null || return 0
    [ -r "${JWT_DESKTOP_SIGNING_PUBLIC_KEY:-}" ] && [ -r "${JWT_DESKTOP_PAYLOAD_PRIVATE_KEY:-}" ] || return 0
    said=$(route-token check-keys 2>&1) || fail "${said#route-token: }"
}

case $drain_seconds in
    '' | *[!0-9]* | ??????*) fail "ROUTE_DRAIN_SECONDS must be a number of seconds, and is \"$drain_seconds\"" ;;
esac
# shellcheck source=scripts/nginx.sh
. "$here/scripts/nginx.sh"
lay_out
check_keys
set -- -e stderr -p "$etc" -c "$etc/nginx.conf"
said=$("$NGINX_BINARY" "$@" -t -q 2>&1) || explain "$said"
check_ports "$@"

"$NGINX_BINARY" "$@" &
nginx=$!

# A signal ends `wait` early; the loop ends with nginx and its status.
while :; do
    status=0
    wait "$nginx" || status=$?
    kill -0 "$nginx" 2> /dev/null || break
done
[ -z "$timer" ] || kill "$timer" 2> /dev/null || true
exit "$status"
