-- Takes the token out of the subprotocols of a WebSocket: a browser's page cannot set other headers of its handshake.
--
--     Sec-WebSocket-Protocol: binary, route_native.token.TOKEN     from the page
--     Sec-WebSocket-Protocol: binary                               to the desktop
--
-- A page must offer a real subprotocol beside the token, because a browser closes a WebSocket for which none is chosen.
-- For a desktop that speaks none, the page offers `route_native`, which the gateway chooses if the desktop chooses
-- nothing. An answer never repeats the token: the desktop does not get it.

local kept = require "route_native.core.kept"
local request = require "route_native.core.request"
local response = require "route_native.core.response"
local scan = require "route_native.core.scan"

local find, sub, concat = string.find, string.sub, table.concat
local ngx = ngx

local HEADER = "Sec-WebSocket-Protocol"
local MARKER, FALLBACK = "route_native.token.", "route_native"
local PLACE = "protocol:token"

local _M = {}

-- Splits a list of subprotocols. Returns the tokens, the real subprotocols, and whether the fallback is among them.
local function split(text)
    local tokens, rest, has_fallback, from = {}, {}, false, 1
    while from <= #text do
        local to = find(text, ",", from, true) or #text + 1
        local name = scan.trim(sub(text, from, to - 1))
        if sub(name, 1, #MARKER) == MARKER then
            tokens[#tokens + 1] = sub(name, #MARKER + 1)
        elseif name == FALLBACK then
            has_fallback = true
        elseif name ~= "" then
            rest[#rest + 1] = name
        end
        from = to + 1
    end
    return tokens, rest, has_fallback
end

-- Returns the token of a list, or nil for an empty one. Several tokens, and one with other characters than a token has,
-- become a text with a comma, which no token may contain, so they are refused.
local function only(tokens)
    if #tokens == 1 and not find(tokens[1], "^[%w._-]+$") then
        return ","
    end
    return #tokens > 0 and concat(tokens, ",") or nil
end

-- Removes the token and the fallback from the request's subprotocols, if the site looks for a token there. Returns the
-- token, or nil. After an internal redirect, returns what the request has kept.
function _M.take(r)
    if not request.has_value(r, "token_protocol") then
        return nil
    end
    local lines = ngx.req.get_headers(0)[HEADER]
    if type(lines) == "table" and request.has_too_many_headers(r) then
        return response.too_many_headers()
    end
    local tokens, rest, has_fallback = split(type(lines) == "table" and concat(lines, ",") or lines or "")
    if #tokens == 0 and not has_fallback then
        local before = kept.find()
        return before and before.places[PLACE]
    end
    if #rest > 0 then
        ngx.req.set_header(HEADER, concat(rest, ", "))
    else
        ngx.req.clear_header(HEADER)
    end
    if has_fallback then
        kept.open().has_fallback = true
    end
    local token = only(tokens)
    kept.place(PLACE, token)
    return token
end

-- Chooses the fallback for a desktop that has opened a WebSocket without a subprotocol. Runs in header_filter_by_lua.
function _M.answer()
    local before = kept.find()
    if before and before.has_fallback and not ngx.header[HEADER] then
        ngx.header[HEADER] = FALLBACK
    end
end

return _M
