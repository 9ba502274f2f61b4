-- For programs that load lua-resty-rsa by its own name. docs/migrate.md explains when.
return require "route_native.resty_rsa"
