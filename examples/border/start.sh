# EXAMPLE=border: border sessions in front of two services, /b/ and /c/, with an account service and an auth service.
#
#   STORE (memory): memory, memcached or redis; the latter two at STORE_ADDR (127.0.0.1:11211, 127.0.0.1:6379)

export SITE=examples/border/site.conf
STORE=${STORE:-memory}

store_settings() {
    case $STORE in
        memory) STORE_ADDR= ;;
        memcached) STORE_ADDR=${STORE_ADDR:-127.0.0.1:11211} ;;
        redis) STORE_ADDR=${STORE_ADDR:-127.0.0.1:6379} ;;
        *) fail "STORE must be memory, memcached or redis, and is \"$STORE\"" ;;
    esac
    [[ -z $STORE_ADDR || $STORE_ADDR =~ ^(unix:/[A-Za-z0-9/._-]+|[][A-Za-z0-9:._-]+:[0-9]+)$ ]] \
        || fail "STORE_ADDR must be host:port or unix:/path, and is \"$STORE_ADDR\""
    if [ -n "$STORE_ADDR" ]; then
        echo "{ kind = \"$STORE\", address = \"$STORE_ADDR\" }"
    else
        echo '{ kind = "memory" }'
    fi
}

# Writes the settings beside nginx.conf, where site.conf reads them.
write_settings() {
    local store=$1 account=$2 auth=$3 b=$4 c=$5
    mkdir -p "$RUN_DIR/etc"
    cat > "$RUN_DIR/etc/border.lua" << LUA
return {
    account_url = "http://127.0.0.1:$account",
    auth_url = "http://127.0.0.1:$auth",
    default_path = "/b/",
    store = $store,
    services = {
        b = { path = "/b", url = "http://127.0.0.1:$b" },
        c = { path = "/c", url = "http://127.0.0.1:$c" },
    },
}
LUA
}

border_services() {
    local store log=$RUN_DIR/logs/services.log
    store=$(store_settings)
    rm -f "$log"
    # With port 0 the system chooses the ports, and the services print them.
    background "$log" python3 examples/border/services.py --account 0 --auth 0 --service b=0 --service c=0
    wait_for $! 'the demo services' grep -qs '^ready' "$log"
    # shellcheck disable=SC2046
    write_settings "$store" $(sed -n 's/^ready //p' "$log")
}

example_start() {
    border_services
}

example_show() {
    echo "store: $STORE${STORE_ADDR:+ at $STORE_ADDR}"
    echo "open $URL/b/page and log in as user@example.com with the password: password"
    echo "$CURL -i -d username=user@example.com -d password=password $URL/account/login"
}
