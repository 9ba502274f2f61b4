# shellcheck shell=sh
# The part of runtime.sh that says how desktops are reached: where a token may lie, which origins may use it, how
# desktops are isolated, their limits, and TLS to them. runtime.sh sources this file: it has the checks.

PERMISSION='allow-[a-z]+(-[a-z]+)*'
desktop_tls=${ROUTE_DESKTOP_TLS:-off}

links() { check "$1" "$2" 'same-site|same-origin|any' '"same-site", "same-origin" or "any"'; }
required_or_optional() { check "$1" "$2" 'required|optional' '"required" or "optional"'; }
on_off_or_exchange() { check "$1" "$2" 'on|off|exchange' '"on", "off" or "exchange"'; }
cookie_name() {
    check "$1" "$2" '([A-Za-z0-9.-]|_[A-Za-z0-9.-])*_?' 'the name of a cookie, without a prefix such as __Host-'
}

ORIGIN="https?://($HOST)(:[0-9]{1,5})?"

# origins VARIABLE VALUE: checks a list of origins, and prints one a line as browsers send them: in lower case and
# without a default port.
origins() {
    one_line "$1" "$2"
    words "$2" | tr '[:upper:]' '[:lower:]' | while read -r origin; do
        check "$1" "$origin" "$ORIGIN" 'origins such as https://app.example.com, separated by commas'
        echo "$origin" | sed -e 's|^\(https://.*\):443$|\1|' -e 's|^\(http://.*\):80$|\1|'
    done
}

# Writes the variables that say where a token may lie (desktop/token_cookie.lua, subprotocol.lua, origin.lua).
token_variables() {
    variable token_cookie '' cookie_name ROUTE_TOKEN_COOKIE
    [ "${ROUTE_TOKEN_PROTOCOL:-off}" = off ] || on_or_off ROUTE_TOKEN_PROTOCOL "$ROUTE_TOKEN_PROTOCOL"
    protocol=${ROUTE_TOKEN_PROTOCOL:-off}
    echo "map \"\" \$token_protocol { default \"${protocol#off}\"; }"
    variable token_query on on_off_or_exchange ROUTE_TOKEN_QUERY
    [ "${ROUTE_TOKEN_QUERY:-}" != exchange ] || [ -n "${ROUTE_TOKEN_COOKIE:-}" ] \
        || fail 'ROUTE_TOKEN_QUERY is "exchange", and ROUTE_TOKEN_COOKIE names no cookie'
    echo "map \"\" \$cookie_origins { default \"$(printf %s "${cookie_origins:-}" | tr '\n' ' ')\"; }"
    # A location sets it to the name of a policy.
    echo 'map "" $token_policy { default ""; }'
}

# Writes the variables for the CORS headers (cors_conf): the origin that may read answers, and whether it may do so in
# the name of the cookie.
cors_variables() {
    [ -n "$cors_origins" ] || return 0
    echo 'map $http_origin $cors_origin {'
    if [ "$cors_origins" = '*' ]; then
        echo '"" ""; default "*"; }'
    else
        echo 'default "";'
        for origin in $cors_origins; do
            echo "\"$origin\" \"$origin\";"
        done
        echo '}'
    fi
    echo 'map $cors_origin $cors_credentials { default "";'
    for origin in $cookie_origins; do
        echo "\"$origin\" true;"
    done
    echo '}'
    echo 'map $cors_origin $cors_exposed { "" ""; default "Accept-Ranges, Content-Disposition, Content-Range, ETag"; }'
    # A preflight (Fetch §4.8). Its headers are told back if they are names.
    echo 'map "$request_method $http_access_control_request_method" $is_preflight { "~^OPTIONS .+" 1; default ""; }'
    echo 'map "$is_preflight$cors_origin" $cors_preflight { "~^1.+" 1; default ""; }'
    echo 'map $cors_preflight $cors_methods { 1 "GET, HEAD, POST, PUT, PATCH, DELETE"; default ""; }'
    echo 'map $cors_preflight $cors_max_age { 1 600; default ""; }'
    echo 'map "$cors_preflight$http_access_control_request_headers" $cors_headers {'
    echo '"~^1(?<cors_asked>[A-Za-z0-9_, -]{1,1024})$" $cors_asked; default ""; }'
}

# Writes the variables that desktop_http.conf reads.
desktop_variables() {
    variable desktop_links same-site links ROUTE_DESKTOP_LINKS
    variable desktop_upgrade required required_or_optional ROUTE_DESKTOP_UPGRADE
    variable desktop_service_workers off on_or_off ROUTE_DESKTOP_SERVICE_WORKERS
    permissions=${ROUTE_DESKTOP_SANDBOX:-allow-scripts allow-forms allow-popups allow-modals allow-downloads}
    check ROUTE_DESKTOP_SANDBOX "$permissions" "off|$PERMISSION( $PERMISSION)*" \
        '"off", or permissions such as "allow-scripts allow-forms"'
    if [ "$permissions" = off ]; then policy=; else policy="sandbox $permissions"; fi
    echo "map \"\" \$desktop_sandbox { default \"$policy\"; }"
}

ENDPOINTS='spawner|filer|printerfiler|snapshot|terminals|websockify|signalling|broadcast|sound|microphone|gamepad'

# Refuses settings of TLS that do nothing: who sets a CA believes that the way to the desktops is encrypted.
no_desktop_tls() {
    for name in CA CERTIFICATE CERTIFICATE_KEY NAME VERIFY; do
        eval "value=\${ROUTE_DESKTOP_TLS_$name:-}"
        [ -z "$value" ] || fail "ROUTE_DESKTOP_TLS_$name is set, and ROUTE_DESKTOP_TLS is off"
    done
}

# Writes $desktop_scheme, by the endpoint or the port, and the pool of connections that belongs to it. The variables are
# volatile, because an internal redirect may lead to another endpoint.
desktop_scheme() {
    case $desktop_tls in
        off) no_desktop_tls; echo 'map "" $desktop_scheme { default http; }' ;;
        on) echo 'map "" $desktop_scheme { default https; }' ;;
        *)
            one_line ROUTE_DESKTOP_TLS "$desktop_tls"
            endpoint_rows='' port_rows=''
            for word in $(words "$desktop_tls"); do
                case $word in
                    *[!0-9]*)
                        check ROUTE_DESKTOP_TLS "$word" "$ENDPOINTS" '"on", "off", or endpoints and ports'
                        endpoint_rows="$endpoint_rows $word https;"
                        [ "$word" != terminals ] || endpoint_rows="$endpoint_rows terminals_size https;"
                        ;;
                    *)
                        port ROUTE_DESKTOP_TLS "$word"
                        port_rows="$port_rows $word https;"
                        ;;
                esac
            done
            echo "map \$desktop_port \$desktop_scheme_of_port { volatile; default http;$port_rows }"
            echo "map \$endpoint \$desktop_scheme { volatile; default \$desktop_scheme_of_port;$endpoint_rows }"
            ;;
    esac
    [ "$desktop_tls" = off ] || echo 'map $desktop_scheme $desktop_pool { volatile; default desktops; https desktops_tls; }'
}

# Writes what the limits need, if there is one. Lua reads and checks their numbers (desktop/settings.lua).
desktop_limits() {
    rates=${ROUTE_LIMIT_CLIENT_RATE:-}${ROUTE_LIMIT_TOKEN_RATE:-}${ROUTE_LIMIT_TARGET_RATE:-}
    open=${ROUTE_LIMIT_CLIENT_CONNECTIONS:-}${ROUTE_LIMIT_TOKEN_CONNECTIONS:-}${ROUTE_LIMIT_TARGET_CONNECTIONS:-}
    [ -n "$rates$open" ] || return 0
    echo 'lua_shared_dict desktop_limits  8m;'
    # Of its own, because anybody can fill it: some 100,000 addresses.
    echo 'lua_shared_dict desktop_clients 16m;'
    # For all locations, because a request may end in another one than it began in.
    [ -z "$open" ] || echo 'log_by_lua_block { require("route_native.hooks").request_ended() }'
}

# Prints the response headers that desktop_isolation.conf removes, except those that no setting allows.
dropped_headers() {
    sed -n 's/^proxy_hide_header \(.*\);$/\1/p' "$(dirname "$0")/desktop_isolation.conf" \
        | grep -Eivx 'Set-Cookie2?|X-Content-Type-Options|X-Frame-Options|Referrer-Policy'
}

# Writes how a desktop proves who it is, and the gateway to it.
desktop_tls_conf() {
    [ "$desktop_tls" != off ] || return 0
    echo 'set $desktop $desktop_pool;'
    echo 'proxy_ssl_protocols TLSv1.2 TLSv1.3;'
    echo 'proxy_ssl_server_name on;'
    # Without it nginx would check the name of its own upstream.
    name=${ROUTE_DESKTOP_TLS_NAME:-}
    [ -z "$name" ] || host ROUTE_DESKTOP_TLS_NAME "$name"
    echo "proxy_ssl_name ${name:-\$target};"
    verify=${ROUTE_DESKTOP_TLS_VERIFY:-on}
    on_or_off ROUTE_DESKTOP_TLS_VERIFY "$verify"
    if [ "$verify" = on ]; then
        authorities=${ROUTE_DESKTOP_TLS_CA:-${ROUTE_CA_FILE:-$(system_authorities)}}
        [ -n "$authorities" ] || fail 'ROUTE_DESKTOP_TLS_CA is not set, and this system has no authorities of its own'
        readable ROUTE_DESKTOP_TLS_CA "$authorities"
        echo "proxy_ssl_trusted_certificate $authorities;"
        echo 'proxy_ssl_verify on;'
        echo 'proxy_ssl_verify_depth 3;'
    elif [ -n "${ROUTE_DESKTOP_TLS_CA:-}" ]; then
        fail 'ROUTE_DESKTOP_TLS_CA is set, and ROUTE_DESKTOP_TLS_VERIFY is off'
    fi
    own=${ROUTE_DESKTOP_TLS_CERTIFICATE:-} own_key=${ROUTE_DESKTOP_TLS_CERTIFICATE_KEY:-}
    if [ -n "$own$own_key" ]; then
        [ -n "$own" ] || fail 'ROUTE_DESKTOP_TLS_CERTIFICATE is not set, and ROUTE_DESKTOP_TLS_CERTIFICATE_KEY is'
        [ -n "$own_key" ] || fail 'ROUTE_DESKTOP_TLS_CERTIFICATE_KEY is not set, and ROUTE_DESKTOP_TLS_CERTIFICATE is'
        readable ROUTE_DESKTOP_TLS_CERTIFICATE "$own"
        readable ROUTE_DESKTOP_TLS_CERTIFICATE_KEY "$own_key"
        echo "proxy_ssl_certificate $own;"
        echo "proxy_ssl_certificate_key $own_key;"
    fi
}

# Lets scripts of the listed origins read answers, and answers their preflights, which have no token.
cors_conf() {
    [ -n "$cors_origins" ] || return 0
    echo 'add_header Vary Origin always;'
    echo 'add_header Access-Control-Allow-Origin $cors_origin always;'
    echo 'add_header Access-Control-Allow-Credentials $cors_credentials always;'
    echo 'add_header Access-Control-Expose-Headers $cors_exposed always;'
    echo 'add_header Access-Control-Allow-Methods $cors_methods always;'
    echo 'add_header Access-Control-Allow-Headers $cors_headers always;'
    echo 'add_header Access-Control-Max-Age $cors_max_age always;'
    echo 'if ($cors_preflight) { set $route_cache ""; return 204; }'
}

# Writes exceptions from desktop_isolation.conf: proxy_pass_header overrides proxy_hide_header.
desktop_conf() {
    desktop_tls_conf
    cookies=${ROUTE_DESKTOP_COOKIES:-}
    module='require("route_native.hooks")'
    # RFC 2965. No browser sends this header, but a desktop may read it as cookies.
    echo 'proxy_set_header Cookie2 "";'
    if [ -z "$cookies" ]; then
        echo 'proxy_set_header Cookie "";'
    else
        check ROUTE_DESKTOP_COOKIES "$cookies" '[A-Za-z0-9_.-]+(,[A-Za-z0-9_.-]+)*' \
            'names of cookies with commas between'
        [ -z "${ROUTE_TOKEN_COOKIE:-}" ] || ! echo "$cookies" | tr , '\n' | sed 's/^__[A-Za-z]*-//' \
            | grep -Fqx -e "$ROUTE_TOKEN_COOKIE" \
            || fail "ROUTE_DESKTOP_COOKIES names \"$ROUTE_TOKEN_COOKIE\", the cookie of the token, which no desktop may get"
        echo "set_by_lua_block \$desktop_cookies { return $module.cookies_for_desktop(\"$cookies\") }"
        echo 'proxy_set_header Cookie $desktop_cookies;'
        echo 'proxy_pass_header Set-Cookie;'
    fi
    # The check has passed, so the text contains only names.
    echo "header_filter_by_lua_block { $module.desktop_answer(\"$cookies\") }"
    cors_conf
    headers=${ROUTE_DESKTOP_HEADERS:-}
    [ -n "$headers" ] || return 0
    check ROUTE_DESKTOP_HEADERS "$headers" '[A-Za-z0-9-]+\*?(,[A-Za-z0-9-]+\*?)*' 'names of headers with commas between'
    for name in $(echo "$headers" | tr , ' '); do
        passing=$(dropped_headers | grep -Eix -e "$(echo "$name" | sed 's/\*/.*/')") \
            || fail "ROUTE_DESKTOP_HEADERS names \"$name\", and no setting lets that pass: docs/desktop.md lists what can"
        [ -z "$cors_origins" ] || ! echo "$passing" | grep -iq '^Access-Control-' \
            || fail "ROUTE_DESKTOP_HEADERS names \"$name\", which ROUTE_CORS_ORIGINS sets: an answer must not have it twice"
        echo "$passing" | sed 's/.*/proxy_pass_header &;/'
    done
}
