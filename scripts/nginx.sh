# shellcheck shell=sh
# Source this file. It finds the nginx for the gateway, OpenResty first.
#
# It sets NGINX_BINARY (nginx itself reads a variable NGINX), and ROUTE_MODULES_DIR if Lua is a loadable module.

if [ -z "${NGINX_BINARY:-}" ]; then
    for candidate in openresty /usr/local/openresty/nginx/sbin/nginx nginx /usr/sbin/nginx; do
        if command -v "$candidate" > /dev/null; then
            NGINX_BINARY=$candidate
            break
        fi
    done
fi
if [ -z "${NGINX_BINARY:-}" ]; then
    echo "route_native: neither openresty nor nginx is on the PATH" >&2
    exit 1
fi
if [ -z "${ROUTE_MODULES_DIR+set}" ]; then
    ROUTE_MODULES_DIR=$("$NGINX_BINARY" -V 2>&1 | tr ' ' '\n' | sed -n 's/^--modules-path=//p')
    [ -e "$ROUTE_MODULES_DIR/ngx_http_lua_module.so" ] || ROUTE_MODULES_DIR=
fi
export NGINX_BINARY ROUTE_MODULES_DIR
