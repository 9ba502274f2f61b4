# shellcheck shell=sh
# The part of runtime.sh that says how browsers reach the gateway: over HTTPS only or not, and who may frame its pages.
# runtime.sh sources this file: it has the checks, and `listen_conf` has set $tls_listen.

# behind_tls VARIABLE: refuses a setting that needs HTTPS where neither nginx nor a proxy in front of it speaks it.
behind_tls() {
    [ -n "${ROUTE_TLS_CERTIFICATE:-}$proxies" ] \
        || fail "$1 needs HTTPS: set ROUTE_TLS_CERTIFICATE, or ROUTE_TRUSTED_PROXIES if a proxy speaks TLS"
}

# Prints the port of HTTPS as it stands in a URL, nothing for 443. `on` is the port of the first address.
redirect_port() {
    number=$redirect
    [ "$redirect" != on ] || number=$(printf '%s\n' "${tls_listen:-443}" | sed 's/.*://; q')
    [ "$number" = 443 ] || echo ":$number"
}

# The http block's part of redirects. Exceptions are challenges of ACME, which an authority requests over HTTP, and
# probes. The internal locations of desktop_server.conf answer for requests that nginx has refused before.
redirect_maps() {
    [ "$redirect" != off ] || return 0
    url_port=$(redirect_port)
    cat << MAPS
map "\$forwarded_proto \$uri" \$is_plain_http {
    "~^http /\.well-known/acme-challenge/"     "";
    "~^http /(?:healthz|readyz|node)\$"         "";
    "~^http /\.(?:bad_request|oversized)\$"     "";
    "~^http "                                  1;
    default                                    "";
}
map "\$is_plain_http\$request_uri" \$https_url {
    "~^1/"  https://\$forwarded_name$url_port\$request_uri;
    "~^1"   https://\$forwarded_name$url_port/;
    default "";
}
MAPS
}

# For desktop_server.conf, which has the variables. A URL with a token is refused: the redirect would repeat the token,
# or lead to a 401 that nobody understands. $route_uri is set if query_token.conf has found one. A request without a
# host, which only HTTP/1.0 allows, is refused too. 497 is a request of plain HTTP at a port of HTTPS.
redirect_conf() {
    [ "$redirect" != off ] || return 0
    cat << SERVER
error_page 497 = /.plain_http;
location = /.plain_http { internal; return 400; }
set \$plain_http "\$is_plain_http\$route_uri \$forwarded_name";
if (\$plain_http ~ "^1(/| _\$)") {
    set \$route_reason https_required;
    return 403;
}
if (\$https_url) {
    return 308 \$https_url;
}
SERVER
}

# hsts VALUE: prints the value of Strict-Transport-Security (RFC 6797).
hsts_policy() {
    check ROUTE_TLS_HSTS "$1" '[0-9]{1,9}( includeSubDomains( preload)?)?' \
        '"off", or seconds with or without "includeSubDomains", and "preload" behind that'
    case $1 in
        # The lists of browsers take no shorter time.
        *preload) [ "${1%% *}" -ge 31536000 ] || fail "ROUTE_TLS_HSTS must have at least 31536000 seconds for preload" ;;
    esac
    printf 'max-age=%s\n' "$1" | sed 's/ /; /g'
}

# Prints the Content-Security-Policy for pages of other origins that may frame ours. X-Frame-Options can name none.
frame_policy() {
    one_line ROUTE_FRAME_ANCESTORS "$1"
    policy="frame-ancestors 'self'"
    for origin in $(words "$1"); do
        check ROUTE_FRAME_ANCESTORS "$origin" "https?://(\*\.)?($HOST)(:[0-9]{1,5})?" \
            '"same-origin", "none", or origins such as https://portal.example.org'
        policy="$policy $origin"
    done
    echo "$policy"
}

# Sets $frame_options, $frame_policy and $hsts for headers_conf and https_conf, and $redirect.
https_settings() {
    redirect=${ROUTE_TLS_REDIRECT:-off}
    check ROUTE_TLS_REDIRECT "$redirect" 'off|on|[0-9]{1,5}' '"off", "on" or the port of HTTPS'
    case $redirect in
        off) ;;
        on) behind_tls ROUTE_TLS_REDIRECT ;;
        *) port ROUTE_TLS_REDIRECT "$redirect"; behind_tls ROUTE_TLS_REDIRECT ;;
    esac
    hsts='' frame_options=SAMEORIGIN frame_policy=''
    case ${ROUTE_TLS_HSTS:-off} in
        off) ;;
        *) behind_tls ROUTE_TLS_HSTS; hsts=$(hsts_policy "$ROUTE_TLS_HSTS") ;;
    esac
    case ${ROUTE_FRAME_ANCESTORS:-same-origin} in
        same-origin) ;;
        none) frame_options=DENY frame_policy="frame-ancestors 'none'" ;;
        *) frame_options='' frame_policy=$(frame_policy "$ROUTE_FRAME_ANCESTORS") ;;
    esac
}

# For security_http.conf.
https_conf() {
    redirect_maps
    [ "$frame_options" = SAMEORIGIN ] || echo "map \"\" \$frame_options { default \"$frame_options\"; }"
    # A browser ignores the header over plain HTTP, where anybody could send it (RFC 6797 §7.2).
    [ -z "$hsts" ] || echo "map \$forwarded_proto \$hsts { https \"$hsts\"; default \"\"; }"
}

# For security.conf.
headers_conf() {
    [ -z "$frame_policy" ] || echo "add_header Content-Security-Policy \"$frame_policy\" always;"
    # Of two headers, a browser takes the first, which would be the upstream's.
    [ -z "$hsts" ] || echo 'proxy_hide_header Strict-Transport-Security;
add_header Strict-Transport-Security $hsts always;'
}
