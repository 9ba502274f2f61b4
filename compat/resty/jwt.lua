-- For programs that load lua-resty-jwt by its own name. docs/migrate.md explains when.
return require "route_native.resty_jwt"
