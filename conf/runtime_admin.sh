# shellcheck shell=sh
# The part of runtime.sh for the admin server: its addresses, HTTPS, client certificates and audit log. runtime.sh
# sources this file: it has the checks, and `listen_conf` has set $listen and $tls_listen.

# The certificates of the admin API. A client's is asked for and checked in the handshake. lua/route_native/control/
# admin.lua takes no change without one. None is resumed from a session: each connection has to prove it.
admin_tls_conf() {
    [ -n "${ROUTE_ADMIN_TLS_CERTIFICATE:-}${ROUTE_ADMIN_TLS_CERTIFICATE_KEY:-}" ] \
        || fail 'ROUTE_ADMIN_CLIENT_CA is set, and ROUTE_ADMIN_TLS_CERTIFICATE is not: client certificates need HTTPS'
    certificate_conf ROUTE_ADMIN_TLS 'HTTPS for the admin API'
    client_ca=${ROUTE_ADMIN_CLIENT_CA:-}
    [ -n "$client_ca" ] || return 0
    readable ROUTE_ADMIN_CLIENT_CA "$client_ca"
    echo "ssl_client_certificate $client_ca;"
    echo 'ssl_verify_client optional;'
    echo 'ssl_session_cache none;'
}

# admin_socket ADDRESS: checks and prints a unix socket of the admin API.
admin_socket() {
    path ROUTE_ADMIN_LISTEN "${1#unix:}"
    # The system's limit for the path of a socket, which nginx would tell without a hint.
    [ "${#1}" -le 112 ] || fail "ROUTE_ADMIN_LISTEN has a path of more than 107 bytes: \"$1\"; \
set it to a shorter one, or to an address"
    [ -z "$tls_settings" ] || fail "ROUTE_ADMIN_LISTEN must be an address for HTTPS, and is the unix socket \"$1\""
    echo "listen $1;"
}

# The addresses of the admin API. By default a unix socket, for which nobody else can take the port.
admin_conf() {
    admin_listen=${ROUTE_ADMIN_LISTEN:-unix:$run_dir/admin.sock}
    tls_settings=${ROUTE_ADMIN_TLS_CERTIFICATE:-}${ROUTE_ADMIN_TLS_CERTIFICATE_KEY:-}${ROUTE_ADMIN_CLIENT_CA:-}
    one_line ROUTE_ADMIN_LISTEN "$admin_listen"
    sockets='' others='' admin_addresses=''
    for address in $(words "$admin_listen"); do
        case $address in
            unix:*) sockets="$sockets $address" ;;
            *) others="$others $address" ;;
        esac
    done
    for address in $sockets; do
        admin_socket "$address"
    done
    [ -n "$sockets" ] && [ -z "$others" ] || admin_addresses=$(addresses ROUTE_ADMIN_LISTEN "$others")
    for address in $admin_addresses; do
        ! printf '%s\n' "${listen:-}" "${tls_listen:-}" | grep -Fqx "$address" \
            || fail "ROUTE_ADMIN_LISTEN must be an address of its own, and ROUTE_LISTEN has \"$address\" too"
        echo "listen $address${tls_settings:+ ssl};"
    done
    [ -z "$tls_settings" ] || admin_tls_conf
    admin_log=${ROUTE_ADMIN_LOG:-$error_log}
    path ROUTE_ADMIN_LOG "$admin_log"
    echo "access_log $admin_log admin if=\$is_audited;"
}
