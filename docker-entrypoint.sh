#!/bin/sh
# Starts the gateway in the foreground with settings from the environment: in an image as its entrypoint, or after an
# installation.
#
#   docker-entrypoint.sh             starts the gateway
#   docker-entrypoint.sh COMMAND …   runs that command instead
#
#   ROUTE_CONF_DIR (conf/ beside this file): nginx.conf and what it includes
#   ROUTE_RUN_DIR (/run/route_native): the only directory with writes; the rest may be read-only
#   ROUTE_DRAIN_SECONDS (25): time in which open connections may end after SIGTERM or SIGQUIT
#
# This script stays nginx's parent, because nginx drops all connections at SIGTERM, and most programs stop a container
# with SIGTERM. Here SIGTERM and SIGQUIT drain: nginx accepts no more connections and finishes the open ones, until the
# time is up. A second signal, or SIGINT, ends nginx at once. The script passes SIGHUP (reload) and SIGUSR1 (reopen
# logs) on. Reloads have no such time limit, unlike with nginx's own worker_shutdown_timeout: open WebSockets stay open.

set -eu
unset CDPATH

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

# Handles SIGINT, and the second signal of any kind that ends nginx.
end_at_once() {
    nginx=${nginx:-${!:-}}
    [ -n "$nginx" ] || exit 130
    kill -TERM "$nginx"
}

# Passes a signal on. $! covers a signal between nginx's start and the next line; before that there is no nginx.
pass_on() {
    nginx=${nginx:-${!:-}}
    [ -z "$nginx" ] || kill "-$1" "$nginx"
}

# Handles the first SIGTERM or SIGQUIT. $! covers a signal between nginx's start and the next line; before that there is
# nothing to drain.
drain() {
    nginx=${nginx:-${!:-}}
    [ -n "$nginx" ] || exit 143
    trap end_at_once TERM QUIT
    (
        trap 'kill "$!"; exit' TERM
        # Send it five times: a shell starts nginx with SIGQUIT ignored, and nginx loses signals before it sets its
        # handlers.
        for second in $(seq "$drain_seconds"); do
            [ "$second" -gt 5 ] || kill -QUIT "$nginx" || exit
            sleep 1 &
            wait "$!"
        done
        kill -TERM "$nginx"
    ) 2> /dev/null &
    timer=$!
}

# Set the traps first: the kernel delivers no signal to a process 1 without a handler.
nginx='' timer=''
trap drain TERM QUIT
trap end_at_once INT
trap 'pass_on HUP' HUP
trap 'pass_on USR1' USR1

# Link the configuration into the directory that runtime.sh writes to: nginx reads all files from one directory.
lay_out() {
    { rm -rf "$etc" && mkdir -p "$etc"; } 2> /dev/null \
        || fail "ROUTE_RUN_DIR must be a directory that can be written to, and is \"$run_dir\""
    [ -e "$conf_dir/nginx.conf" ] || fail "ROUTE_CONF_DIR must hold nginx.conf, and is \"$conf_dir\""
    conf_dir=$(cd "$conf_dir" && pwd)
    for entry in "$conf_dir"/*; do
        ln -s "$entry" "$etc/"
    done
    rm -f "$etc/runtime"
    # What a killed nginx leaves, which the next one could not bind.
    rm -f "$run_dir/admin.sock"
    ROUTE_RUN_DIR=$run_dir sh "$etc/runtime.sh" "$etc/runtime" || exit 1
}

# Prints the words of a list, one per line.
words() {
    printf '%s\n' "$1" | tr ', ' '\n\n'
}

# Prints the variable with the port of nginx's message about a socket. Other variables may contain the same digits.
listen_variable() {
    port=$(printf '%s\n' "$1" | sed -n 's/.*bind() to [^ ]*:\([0-9]*\) failed.*/\1/p')
    tls_listen=${ROUTE_TLS_CERTIFICATE:+${ROUTE_TLS_LISTEN:-443}}
    if words "${ROUTE_LISTEN:-80}" | grep -Eqx "(.*:)?$port"; then
        echo ROUTE_LISTEN
    elif words "$tls_listen" | grep -Eqx "(.*:)?$port"; then
        echo ROUTE_TLS_LISTEN
    elif words "${ROUTE_ADMIN_LISTEN:-}" | grep -Eqx "(.*:)?$port"; then
        echo ROUTE_ADMIN_LISTEN
    else
        echo ROUTE_LISTEN
    fi
}

# Prints the first variable whose value, or a word of it, is in nginx's message.
named_by() {
    env | grep -E '^(ROUTE|PYOS|NAMESERVER|NODE)_[A-Z_]*=...' | while IFS='=' read -r name value; do
        words "$value" | grep ... | while read -r word; do
            case $1 in *"$word"*) printf '%s\n' "$name" ;; esac
        done
    done | sed -n 1p
}

# Reduces the output of `nginx -t` to one sentence: the library's own, or nginx's with the name of the variable at
# fault.
explain() {
    # Take the first line with a program that reads to the end: with SIGPIPE ignored, printf would report an error.
    own=$(printf '%s\n' "$1" | sed -n 's/.*\(route_native: .*\)/\1/p' | sed -n 1p)
    [ -z "$own" ] || fail "${own#route_native: }"
    # Omit the file name in runtime/, because nobody has written that file by hand.
    message=$(printf '%s\n' "$1" \
        | sed -n '/.*\[emerg\] / { s///; s/^[0-9]*#[0-9]*: //; s| in [^ ]*/runtime/[a-z.]*:[0-9]*$||; p; }' | sed -n 1p)
    case $message in
        *'bind() to '*) name=$(listen_variable "$message") ;;
        *) name=$(named_by "$message") ;;
    esac
    case $message in *getpwnam* | *getgrnam*) name=${name:-ROUTE_USER} ;; esac
    fail "${name:+$name is wrong: }nginx refuses its configuration: ${message:-$1}"
}

# Prints the first address of runtime/{listen,admin}.conf on which another program listens. /proc/net has IPv4 addresses with
# their bytes in reverse order, and listening sockets in state 0A. `nginx -t` does not report ports in use.
taken_address() {
    awk 'FILENAME ~ /[.]conf$/ {
             if ($1 != "listen" || $2 ~ /^unix:/) next
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
         END { print found }' "$etc/runtime/listen.conf" "$etc/runtime/admin.conf" /proc/net/tcp /proc/net/tcp6 2> /dev/null || true
}

# Reports a port in use in one sentence; nginx would report it five times. Waits for a port that is about to be free.
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

# Reports a key of the wrong kind in one sentence; nginx would print several lines. A missing key is no mistake: the
# gateway answers 503 until a reload finds it.
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

# A signal ends `wait` early. The loop ends when nginx ends, with its status.
while :; do
    status=0
    wait "$nginx" || status=$?
    kill -0 "$nginx" 2> /dev/null || break
done
[ -z "$timer" ] || kill "$timer" 2> /dev/null || true
exit "$status"
