# To be sourced: finds the nginx that runs the gateway, OpenResty first, and says how its environment differs.
#
# Sets NGINX, and ROUTE_MODULES_DIR where Lua is a loadable module.

if [ -z "${NGINX:-}" ]; then
    for candidate in openresty /usr/local/openresty/nginx/sbin/nginx nginx /usr/sbin/nginx; do
        if command -v "$candidate" > /dev/null; then
            NGINX=$candidate
            break
        fi
    done
fi
if [ -z "${NGINX:-}" ]; then
    echo "route_native: neither openresty nor nginx is on the PATH" >&2
    exit 1
fi
if [ -z "${ROUTE_MODULES_DIR+set}" ]; then
    ROUTE_MODULES_DIR=$("$NGINX" -V 2>&1 | tr ' ' '\n' | sed -n 's/^--modules-path=//p')
    [ -e "$ROUTE_MODULES_DIR/ngx_http_lua_module.so" ] || ROUTE_MODULES_DIR=
fi
export NGINX ROUTE_MODULES_DIR
