#!/bin/sh
# Writes the configuration that depends on the environment:
# DIR/{main,events,http,https,headers,redirect,trusted_proxies,trace,listen,desktop,admin,website,service_root,
# service_prefix}.conf.
#
#   runtime.sh DIR
#
# Only this script turns the environment into nginx configuration. It checks every value, so that none can contain a
# directive. A mistake is one sentence that names the variable, with exit status 1.

set -euf

out=${1:?usage: runtime.sh DIR}

fail() {
    echo "route_native: $1" >&2
    exit 1
}

# check VARIABLE VALUE PATTERN WHAT: the whole value must match the extended regular expression.
check() {
    # With a newline in the value, grep would check each line separately.
    case $2 in
        *"
"*) fail "$1 must be $4, and holds a line break" ;;
    esac
    printf '%s\n' "$2" | grep -Eqx -e "$3" || fail "$1 must be $4, and is \"$2\""
}

HOST='[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]'
PATH_TEXT='[^][[:space:][:cntrl:]"'\''\\;{}$#]+'

host() { check "$1" "$2" "$HOST" 'a host name or address'; }
host_and_port() {
    check "$1" "$2" "($HOST)(:[0-9]{1,5})?" 'a host name or address, with or without a port'
    case $2 in
        *]:* | [!\[]*:*) in_port_range "${2##*:}" || fail "$1 has an invalid port: \"$2\"" ;;
    esac
}
path() { check "$1" "$2" "$PATH_TEXT" 'a path without blanks, quotes and braces'; }
in_port_range() { [ "$1" -ge 1 ] && [ "$1" -le 65535 ]; }
port() {
    check "$1" "$2" '[0-9]{1,5}' 'a port number'
    in_port_range "$2" || fail "$1 must be a port number, and is \"$2\""
}

# Prints the words of a list, separated by commas or blanks, one per line, each once.
words() { printf '%s\n' "$1" | tr ', ' '\n\n' | awk 'NF && !seen[$0]++'; }

# one_line VARIABLE VALUE: refuses a list with a line break or another control character.
one_line() {
    case $2 in
        *[[:cntrl:]]*) fail "$1 must be a list on one line, and holds a control character" ;;
    esac
}

# Prints the name servers of resolv.conf, IPv6 in brackets. nginx cannot use a zone (%eth0): a server with one is
# omitted if there is another server, and loses its zone otherwise.
system_resolvers() {
    awk '$1 == "nameserver" && $2 != "" {
             zone = sub(/%.*/, "", $2)
             server = $2 ~ /:/ ? "[" $2 "]" : $2
             if (zone) { last = server } else if (!seen[server]++) { all = all " " server }
         }
         END { print substr(all == "" ? " " last : all, 2) }' /etc/resolv.conf 2> /dev/null || true
}

# resolver VALUE: prints the directive for name servers and parameters.
resolver() {
    one_line NAMESERVER_RESOLVER "$1"
    servers='' parameters=''
    for word in $(words "$1"); do
        case $word in
            *=*)
                check NAMESERVER_RESOLVER "$word" 'ipv[46]=(on|off)|valid=[0-9]{1,6}[smh]?' \
                    'name servers, and ipv6=off or valid=30s'
                parameters="$parameters $word"
                ;;
            *)
                host_and_port NAMESERVER_RESOLVER "$word"
                servers="$servers $word"
                ;;
        esac
    done
    # Parameters alone are for the system's name servers.
    servers=${servers:- $(system_resolvers)}
    [ "$servers" = ' ' ] || echo "resolver$servers$parameters;"
}

# Prints the system's bundle of authorities, which has another path in each family of distributions.
system_authorities() {
    for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        [ ! -e "$bundle" ] || { echo "$bundle"; break; }
    done
}

main_conf() {
    workers=${ROUTE_WORKERS:-auto}
    check ROUTE_WORKERS "$workers" 'auto|[1-9][0-9]{0,3}' '"auto" or a number'
    run_dir=${ROUTE_RUN_DIR:-/run/route_native}
    path ROUTE_RUN_DIR "$run_dir"
    error_log=${ROUTE_ERROR_LOG:-/var/log/nginx/error.log}
    path ROUTE_ERROR_LOG "$error_log"
    log_level=${ROUTE_LOG_LEVEL:-notice}
    # Below notice, nginx logs the request lines that it refuses before any Lua code can remove the token.
    check ROUTE_LOG_LEVEL "$log_level" 'notice|warn|error|crit|alert|emerg' 'a log level of nginx from notice up'

    # The threads per worker for new tokens (lua/route_native/desktop/queue.lua). With 0 the event loop does their RSA.
    threads=${ROUTE_RSA_THREADS:-1}
    check ROUTE_RSA_THREADS "$threads" '[0-8]' 'a number up to 8'

    echo "worker_processes $workers;"
    [ "$threads" = 0 ] || echo "thread_pool route_native threads=$threads max_queue=65536;"
    echo "worker_rlimit_nofile $files;"
    echo "pid $run_dir/nginx.pid;"
    echo "error_log $error_log $log_level;"
    if [ "$(id -u)" = 0 ]; then
        user=${ROUTE_USER:-www-data}
        check ROUTE_USER "$user" '[a-z_][a-z0-9_-]*' 'the name of a user'
        echo "user $user;"
    fi
    # Debian's nginx loads Lua as modules. OpenResty has it built in.
    modules=${ROUTE_MODULES_DIR:-}
    if [ -n "$modules" ]; then
        path ROUTE_MODULES_DIR "$modules"
        for module in ndk_http ngx_http_lua ngx_http_headers_more_filter; do
            echo "load_module $modules/${module}_module.so;"
        done
    fi
}

# The files that a worker opens besides its connections: logs, listening sockets, and the channels between processes.
OTHER_FILES=512

# Chooses the connections of a worker and its limit of open files: two a connection, for a socket and a temporary file
# with a large body, and at least one. A worker sets its limit before it drops root, with the rights that this shell has
# now, so that the shell can try it.
# shellcheck disable=SC3045 # dash, busybox and bash have ulimit -n and -H.
worker_limits() {
    connections=${ROUTE_WORKER_CONNECTIONS:-16384}
    # The kernel grants no process more than 1048576 files by default (fs.nr_open).
    check ROUTE_WORKER_CONNECTIONS "$connections" '[1-9][0-9]{2}|[1-9][0-9]{3,4}|[1-4][0-9]{5}|500000' \
        'a number from 100 to 500000'
    files=$((2 * connections + OTHER_FILES))
    (ulimit -n "$files") 2> /dev/null || files=$(ulimit -Hn)
    [ "$files" -ge 256 ] || fail "a worker needs 256 open files, and the system grants $files: raise ulimit -n"
    granted=$((files - OTHER_FILES))
    [ "$files" -ge $((2 * OTHER_FILES)) ] || granted=$((files / 2))
    [ "$connections" -gt "$granted" ] || return 0
    echo "route_native: the system grants a worker $files open files, so ROUTE_WORKER_CONNECTIONS is $granted in place \
of $connections: raise the hard limit of ulimit -n" >&2
    connections=$granted
}

# variable NAME DEFAULT CHECK VARIABLE: writes an nginx variable with the value of an environment variable.
variable() {
    value=
    eval "value=\${$4:-\$2}"
    "$3" "$4" "$value"
    echo "map \"\" \$$1 { default \"$value\"; }"
}

on_or_off() { check "$1" "$2" 'on|off' '"on" or "off"'; }
ends() { check "$1" "$2" 'revocation|expiry|never' '"revocation", "expiry" or "never"'; }
grace() { check "$1" "$2" '[0-9]{1,5}' 'a number of seconds below 100000'; }

node_name() { check "$1" "$2" '[A-Za-z0-9._:-]*' 'a node name'; }

# The proxies in front of nginx that say truly who the client is. Without one, nothing that a client says is believed.
trusted_proxies() {
    one_line ROUTE_TRUSTED_PROXIES "${ROUTE_TRUSTED_PROXIES:-}"
    words "${ROUTE_TRUSTED_PROXIES:-}" | while read -r network; do
        check ROUTE_TRUSTED_PROXIES "$network" \
            '[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/[0-9]{1,3})?' \
            'addresses and networks, such as 10.0.0.0/8'
        echo "$network"
    done
}

# The address of the client.
real_ip() {
    [ -n "$proxies" ] || return 0
    for network in $proxies; do
        echo "set_real_ip_from $network;"
    done
    echo 'real_ip_header X-Forwarded-For;'
    echo 'real_ip_recursive on;'
}

# What overrides the variable of forwarded_http.conf.
trusted_proxies_conf() {
    [ -n "$proxies" ] || return 0
    echo 'geo $realip_remote_addr $from_trusted_proxy {'
    echo '    default 0;'
    for network in $proxies; do
        echo "    $network 1;"
    done
    echo '}'
    echo 'map $from_trusted_proxy $trusted_proxy { 1 $realip_remote_addr; default ""; }'
}

# What overrides the variable of trace_http.conf: whether a trace that begins here is to be recorded.
trace_conf() {
    sampled=${ROUTE_TRACE_SAMPLED:-on}
    on_or_off ROUTE_TRACE_SAMPLED "$sampled"
    [ "$sampled" = on ] || echo 'map "" $trace_flags { default 00; }'
}

# The paths of services whose `proxy_pass` ends in a slash in the reference (route.conf).
upstream_paths=${ROUTE_UPSTREAM_PATHS:-received}
check ROUTE_UPSTREAM_PATHS "$upstream_paths" 'received|reference' '"received" or "reference"'
service_root_conf() { [ "$upstream_paths" = received ] || echo 'set $route_uri /;'; }
service_prefix_conf() { [ "$upstream_paths" = received ] || echo 'set $route_uri $uri_behind_prefix;'; }

http_conf() {
    # For maps with origins. It must stand before the first map.
    [ -z "$cors_origins$cookie_origins" ] || echo 'map_hash_bucket_size 512;'
    resolver "${NAMESERVER_RESOLVER:-}"
    echo 'resolver_timeout 5s;'
    real_ip
    # The trusted authorities for other servers' certificates.
    ca_file=${ROUTE_CA_FILE:-$(system_authorities)}
    if [ -n "$ca_file" ]; then
        path ROUTE_CA_FILE "$ca_file"
        echo "proxy_ssl_trusted_certificate $ca_file;"
        # For the JWK Set and for Redis, to which Lua connects. A site may have this directive too, so only where it is
        # needed.
        [ -z "${ROUTE_SIGNING_JWKS_URL:-}" ] && [ "${ROUTE_REVOCATION_REDIS_TLS:-off}" = off ] \
            || echo "lua_ssl_trusted_certificate $ca_file; lua_ssl_verify_depth 5;"
    fi
    access_log=${ROUTE_ACCESS_LOG:-/var/log/nginx/access.log}
    path ROUTE_ACCESS_LOG "$access_log"
    echo "access_log $access_log route;"
    for temporary in client_body proxy fastcgi uwsgi scgi; do
        echo "${temporary}_temp_path $run_dir/tmp/$temporary;"
    done
    if [ -n "${ROUTE_LUA_PATH:-}" ]; then
        path ROUTE_LUA_PATH "$(printf %s "$ROUTE_LUA_PATH" | tr -d ';')"
        echo "lua_package_path \"$ROUTE_LUA_PATH;;\";"
    fi
    if [ -n "${ROUTE_LUA_CPATH:-}" ]; then
        path ROUTE_LUA_CPATH "$(printf %s "$ROUTE_LUA_CPATH" | tr -d ';')"
        echo "lua_package_cpath \"$ROUTE_LUA_CPATH;;\";"
    fi

    variable node_name '' node_name NODE_NAME
    variable acme_root "$run_dir/acme" path ROUTE_ACME_ROOT
    variable pyos_fqdn pyos host PYOS_FQDN
    variable pyos_service_port 8000 port PYOS_SERVICE_PORT
    variable console_upstream console host_and_port ROUTE_CONSOLE_UPSTREAM
    variable website_upstream website host_and_port ROUTE_WEBSITE_UPSTREAM
    variable speedtest_upstream speedtest host_and_port ROUTE_SPEEDTEST_UPSTREAM
    variable auth_backend login host_and_port ROUTE_AUTH_BACKEND
    variable auth_upstream upstream host_and_port ROUTE_AUTH_UPSTREAM

    variable ws_tcp_bridge_tcp_port 6081 port WS_TCP_BRIDGE_TCP_PORT
    variable xterm_tcp_port 29781 port XTERM_TCP_PORT
    variable printerfile_service_tcp_port 29782 port PRINTERFILE_SERVICE_TCP_PORT
    variable file_service_tcp_port 29783 port FILE_SERVICE_TCP_PORT
    variable broadcast_tcp_port 29784 port BROADCAST_TCP_PORT
    variable snapshot_service_tcp_port 29785 port SNAPSHOT_SERVICE_TCP_PORT
    variable spawner_service_tcp_port 29786 port SPAWNER_SERVICE_TCP_PORT
    variable signalling_service_tcp_port 29787 port SIGNALLING_SERVICE_TCP_PORT
    variable sound_service_tcp_port 29788 port SOUND_SERVICE_TCP_PORT
    variable microphone_service_tcp_port 29789 port MICROPHONE_SERVICE_TCP_PORT
    variable gamepad_service_tcp_port 29790 port GAMEPAD_SERVICE_TCP_PORT

    variable default_connection_ends revocation ends ROUTE_CONNECTION_ENDS
    variable default_connection_grace 0 grace ROUTE_CONNECTION_GRACE

    desktop_variables
    desktop_scheme
    desktop_limits
    token_variables
    cors_variables
}

# readable VARIABLE VALUE: checks that the current user can read the file.
readable() {
    path "$1" "$2"
    [ -f "$2" ] && [ -r "$2" ] || fail "$1 must be a file that can be read, and is \"$2\""
}

# What `/` serves: the upstream if there is one, and otherwise files.
website_conf() {
    if [ -n "${ROUTE_WEBSITE_UPSTREAM:-}" ]; then
        echo 'include proxy.conf;'
        echo 'proxy_pass http://$website_upstream$route_uri;'
        return
    fi
    root=${ROUTE_WEBSITE_ROOT:-}
    if [ -n "$root" ]; then
        path ROUTE_WEBSITE_ROOT "$root"
        case $root in
            /*) ;;
            *) fail "ROUTE_WEBSITE_ROOT must be an absolute path, and is \"$root\"" ;;
        esac
        [ -d "$root" ] && [ -r "$root" ] && [ -x "$root" ] \
            || fail "ROUTE_WEBSITE_ROOT must be a directory that can be read, and is \"$root\""
    fi
    # The shipped page is beside nginx.conf.
    echo "root ${root:-website};"
    echo 'index index.html;'
    # The error log would name the missing file, and the access log names it without tokens.
    echo 'log_not_found off;'
    echo 'location ~ /\. { return 404; }'
}

LISTEN="(($HOST|\*):)?[0-9]{1,5}"

# addresses VARIABLE VALUE: checks a list of ports and of addresses with ports, and prints one a line. `[::]:PORT` is
# for IPv4 too, unless the list names an address of IPv4 with that port. That is a socket of its own, because in one for
# both, IPv4 clients would have addresses like ::ffff:192.0.2.1.
addresses() {
    one_line "$1" "$2"
    list=$(words "$2")
    [ -n "$list" ] || fail "$1 must be a port, or an address and a port, and is \"$2\""
    for address in $list; do
        check "$1" "$address" "$LISTEN" 'a port, or an address and a port'
        port=${address##*:}
        in_port_range "$port" || fail "$1 has an invalid port: \"$address\""
        echo "$address"
        case $address in
            '[::]':*) printf '%s\n' "$list" | grep -Eqx "([^][]*:)?$port" || echo "0.0.0.0:$port" ;;
        esac
    done
}

# HTTP/2 is a directive since nginx 1.25.1, and a parameter of `listen` before that.
has_http2_directive() {
    "${NGINX_BINARY:-nginx}" -v 2>&1 | sed 's|.*/||' \
        | awk -F '[.]' '{ exit !($1 > 1 || $1 == 1 && ($2 > 25 || $2 == 25 && $3 >= 1)) }'
}

# certificate_conf PREFIX PURPOSE: writes the certificate of $PREFIX_CERTIFICATE and $PREFIX_CERTIFICATE_KEY.
certificate_conf() {
    eval "certificate=\${$1_CERTIFICATE:-} certificate_key=\${$1_CERTIFICATE_KEY:-}"
    [ -n "$certificate" ] || fail "$1_CERTIFICATE is not set, and $1_CERTIFICATE_KEY is: $2 needs both"
    [ -n "$certificate_key" ] || fail "$1_CERTIFICATE_KEY is not set, and $1_CERTIFICATE is: $2 needs both"
    readable "$1_CERTIFICATE" "$certificate"
    readable "$1_CERTIFICATE_KEY" "$certificate_key"
    echo "ssl_certificate $certificate;"
    echo "ssl_certificate_key $certificate_key;"
}

tls_conf() {
    certificate_conf ROUTE_TLS HTTPS
    tls_listen=$(addresses ROUTE_TLS_LISTEN "${ROUTE_TLS_LISTEN:-443}")
    options='ssl http2' directive=''
    ! has_http2_directive || options=ssl directive='http2 on;'
    for address in $tls_listen; do
        echo "listen $address $options;"
    done
    echo "$directive"
}

# HTTPS is on if a certificate and its key are set. Plain HTTP stays on, for probes and for challenges of Let's Encrypt.
listen_conf() {
    listen=$(addresses ROUTE_LISTEN "${ROUTE_LISTEN:-80}")
    for address in $listen; do
        echo "listen $address;"
    done
    [ -z "${ROUTE_TLS_CERTIFICATE:-}${ROUTE_TLS_CERTIFICATE_KEY:-}" ] || tls_conf
}

# The settings, and what the start scripts export.
SETTINGS='ACCESS_LOG ACME_ROOT ADMIN_AUDIENCE ADMIN_CLIENT_CA ADMIN_HOSTS ADMIN_ISSUER ADMIN_KEY ADMIN_LISTEN
ADMIN_LOG ADMIN_TLS_CERTIFICATE ADMIN_TLS_CERTIFICATE_KEY ADMIN_TOKEN AUTH_BACKEND AUTH_UPSTREAM CACHE_ENTRIES CA_FILE
CONF_DIR CONNECTION_ENDS CONNECTION_GRACE CONSOLE_UPSTREAM COOKIE_ORIGINS CORS_ORIGINS DESKTOP_COOKIES DESKTOP_HEADERS
DESKTOP_LINKS DESKTOP_SANDBOX DESKTOP_SERVICE_WORKERS DESKTOP_TEXTS DESKTOP_TLS DESKTOP_TLS_CA DESKTOP_TLS_CERTIFICATE
DESKTOP_TLS_CERTIFICATE_KEY DESKTOP_TLS_NAME DESKTOP_TLS_VERIFY DESKTOP_UPGRADE DESKTOP_WAIT DRAIN_SECONDS ERROR_LOG
FRAME_ANCESTORS JWT_ALGORITHMS JWT_AUDIENCE JWT_ISSUER JWT_LEEWAY JWT_MAX_LIFETIME LIMIT_CLIENT_CONNECTIONS
LIMIT_CLIENT_RATE LIMIT_TARGET_CONNECTIONS LIMIT_TARGET_RATE LIMIT_TOKEN_CONNECTIONS LIMIT_TOKEN_RATE LISTEN LOG_LEVEL
LOG_TOKENS LUA_CPATH LUA_PATH MODULES_DIR PAYLOAD_PADDING REVOCATION_FAIL REVOCATION_FAIL_SECONDS REVOCATION_MASTER
REVOCATION_REDIS REVOCATION_REDIS_PASSWORD_FILE REVOCATION_REDIS_TLS REVOCATION_REDIS_USER REVOCATION_SECONDS
REVOCATION_SENTINELS REVOCATION_SENTINEL_PASSWORD_FILE RSA_THREADS RUN_DIR SIGNING_JWKS_URL SPEEDTEST_UPSTREAM
TARGET_SUFFIX TLS_CERTIFICATE TLS_CERTIFICATE_KEY TLS_HSTS TLS_LISTEN TLS_REDIRECT TOKEN_COOKIE TOKEN_PROTOCOL
TOKEN_QUERY TRACE_SAMPLED TRUSTED_PROXIES UPSTREAM_PATHS USER WEBSITE_ROOT WEBSITE_UPSTREAM WORKERS WORKER_CONNECTIONS'

# Warns about variables that look like a setting: at most two letters are missing, added or different. Others that begin
# with ROUTE_ are no business of ours: Kubernetes sets some for a service that is named route.
warn_of_typos() {
    env | sed -n 's/^ROUTE_\([A-Za-z0-9_]*\)=.*/\1/p' | SETTINGS=$SETTINGS awk '
        function distance(a, b,    i, j, before, above, cell) {
            for (j = 0; j <= length(b); j++) row[j] = j
            for (i = 1; i <= length(a); i++) {
                before = row[0]
                row[0] = i
                for (j = 1; j <= length(b); j++) {
                    above = row[j]
                    cell = before + (substr(a, i, 1) != substr(b, j, 1))
                    if (above + 1 < cell) cell = above + 1
                    if (row[j - 1] + 1 < cell) cell = row[j - 1] + 1
                    row[j] = cell
                    before = above
                }
            }
            return row[length(b)]
        }
        BEGIN {
            count = split(ENVIRON["SETTINGS"], settings)
            for (i = 1; i <= count; i++) known[settings[i]] = 1
        }
        length($0) < 64 && !($0 in known) {
            nearest = ""; least = 3
            for (i = 1; i <= count; i++) {
                apart = distance(toupper($0), settings[i])
                # Of a short word, two letters may be the half.
                if (apart < least && 3 * apart <= length(settings[i])) { nearest = settings[i]; least = apart }
            }
            if (nearest) print "route_native: ROUTE_" $0 " is not a setting, and is ignored; ROUTE_" nearest " is one"
        }' >&2
}

# shellcheck source=conf/runtime_https.sh
. "$(dirname "$0")/runtime_https.sh"
# shellcheck source=conf/runtime_desktop.sh
. "$(dirname "$0")/runtime_desktop.sh"
# shellcheck source=conf/runtime_admin.sh
. "$(dirname "$0")/runtime_admin.sh"

warn_of_typos
mkdir -p "$out"
worker_limits
echo "worker_connections $connections;" > "$out/events.conf"
proxies=$(trusted_proxies)
cookie_origins=$(origins ROUTE_COOKIE_ORIGINS "${ROUTE_COOKIE_ORIGINS:-}")
cors_origins=${ROUTE_CORS_ORIGINS:-}
[ "$cors_origins" = '*' ] || cors_origins=$(origins ROUTE_CORS_ORIGINS "$cors_origins")
main_conf > "$out/main.conf"
http_conf > "$out/http.conf"
trusted_proxies_conf > "$out/trusted_proxies.conf"
trace_conf > "$out/trace.conf"
service_root_conf > "$out/service_root.conf"
service_prefix_conf > "$out/service_prefix.conf"
listen_conf > "$out/listen.conf"
https_settings
https_conf > "$out/https.conf"
headers_conf > "$out/headers.conf"
redirect_conf > "$out/redirect.conf"
desktop_conf > "$out/desktop.conf"
admin_conf > "$out/admin.conf"
website_conf > "$out/website.conf"
mkdir -p "$run_dir/tmp" "$run_dir/acme"
