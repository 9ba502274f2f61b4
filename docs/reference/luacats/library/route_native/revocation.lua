---@meta route_native.revocation
-- `make docs` writes this file from the comments in `lua/route_native/revocation.lua`.

--- Revokes tokens, users, sessions, desktops and keys before their tokens expire.
---
---     include revocation_http.conf;                                -- the dictionary, and start()
---     init_by_lua_block { require("route_native.revocation").setup() }   -- or route_native.hooks.start()
---
---     require("route_native.revocation").revoke { sub = "ada" }
---
--- The desktop gateway, `auth.check()`, `jwt.verify()`, phantom tokens, border sessions and registrations of tunnels
--- refuse what is revoked, on every worker within a second, and in their caches too.
---@class route_native.revocation
local M = {}

--- Configures `setup()`.
---@class route_native.revocation.SetupConfig
---@field dict? string name of the `lua_shared_dict`; 1m holds some 4,000 revocations (default: "revocations")
---@field seconds? integer how long a revocation without an end lasts, 60 to 31622400; the longest life of a token is right; 2592000 by default (default: ROUTE_REVOCATION_SECONDS)
---@field redis? string|string[] Redis that other nodes share: `host:port` or `unix:/path`, or servers of a cluster (default: ROUTE_REVOCATION_REDIS)
---@field sentinels? string|string[] in place of `redis`: `host:port` of the sentinels (default: ROUTE_REVOCATION_SENTINELS)
---@field master? string name of the master that they watch (default: ROUTE_REVOCATION_MASTER)
---@field redis_user? string user of Redis (default: ROUTE_REVOCATION_REDIS_USER)
---@field redis_password_file? string path of a file with the password (default: ROUTE_REVOCATION_REDIS_PASSWORD_FILE)
---@field sentinel_password_file? string the same for the sentinels (default: ROUTE_REVOCATION_SENTINEL_PASSWORD_FILE)
---@field redis_tls? string `on`, or the name in the certificate; `off` by default (default: ROUTE_REVOCATION_REDIS_TLS)
---@field fail? string `open` accepts tokens while Redis is away, `closed` refuses them `fail_seconds` after; `open` by default (default: ROUTE_REVOCATION_FAIL)
---@field fail_seconds? integer 2 to 86400; with `open`, how long tokens are refused after a start without Redis; 60 by default (default: ROUTE_REVOCATION_FAIL_SECONDS)

--- Describes a revocation. It has exactly one of the names.
---@class route_native.revocation.Revocation
---@field token? string a whole token
---@field token_sha256? string its SHA-256, 64 hexadecimal digits; the 12 of the log are too few
---@field jti? string the id of a token
---@field sub? string a user: all tokens that were issued until `before`
---@field sid? string a session
---@field target? string a desktop
---@field kid? string the id of a signing key
---@field iss? string limits `jti`, `sub` and `sid` to tokens of one issuer
---@field before? integer revokes what was issued in this second or before; for `sub` now by default
---@field ends? integer when the revocation ends, in seconds since 1970; with `token` its `exp` by default
---@field by? string who revokes, for the list

--- Prepares the revocations. Call it in `init_by_lua`. A mistake raises an error, which keeps nginx from starting.
---@param input? route_native.revocation.SetupConfig the configuration
function M.setup(input) end

--- Prepares the revocations if the dictionary is there and `setup()` was not called. Nothing is revocable without.
---@return boolean # whether revocations are prepared
function M.prepare() end

--- Brings the revocations to this worker, and keeps them current. Call it in `init_worker_by_lua`.
function M.start() end

--- Revokes, on this node at once and on the others within a second.
---@param revocation route_native.revocation.Revocation|string a table, or its JSON
---@param by? string who revokes, in place of the revocation's own `by`; at most 256 bytes
---@return integer|nil # the id of the revocation, for `withdraw()`: random, at most 14 digits
---@return route_native.revocation.Revocation|string # what is revoked; or what is wrong with the revocation, or `no memory` if the dictionary is full
function M.revoke(revocation, by) end

--- Ends the open connections of a session that its store has forgotten, as a logout does. Beyond 10,000 in a minute,
--- the connections of further sessions run to their end.
---@param id string the session's id
---@param name? string the name by which the sessions are known: `sid` or `jti` (default: "sid")
function M.end_session(id, name) end

--- Withdraws a revocation, also one of another node.
---@param id integer the result of `revoke()`
---@return boolean|nil # whether there was one; `nil` if the dictionary is full
function M.withdraw(id) end

--- Lists revocations, the newest first.
---@param below? integer continues a list: the second result of the call before
---@param limit? integer the most to list, 1 to 1000 (default: 100)
---@return table[] # each a `Revocation` with its `id`; `token` is `token_sha256`
---@return integer|nil # where the list continues, if there may be more
function M.list(below, limit) end

--- Counts the revocations of this worker.
---@return integer # how many have not ended
function M.count() end

--- Returns how old the knowledge of other nodes' revocations is.
---@return number|nil # seconds since this node knew all of them, or since its start if it never did; `nil` without Redis
function M.age() end

--- Counts the revocations of other nodes that did not fit into the dictionary.
---@return integer # how many, since they were read last
function M.misfits() end

return M
