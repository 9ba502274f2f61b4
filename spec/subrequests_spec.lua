-- The forms in which a check guards a subrequest, and a location that answers by itself: nginx runs no access phase
-- there.

local auth = require "support.auth"
local cjson = require "cjson"
local process = require "support.process"

local SITE = [[
lua_shared_dict route_native_login 1m;
lua_shared_dict mirrored 1m;
init_by_lua_block {
    local auth = require "route_native.auth"
    local file = ngx.config.prefix() .. "../keys/jwt_secret"
    guard = auth.prepare_check { secret_file = file, token = { "header", "cookie:session" } }
    strict = auth.prepare_check { secret_file = file, token = { "header", "cookie:session" }, scope = "write",
        strip_token = true, headers = { ["X-User"] = "sub" } }
    writer = auth.prepare_check { secret_file = file, token = { "header", "cookie:session" }, scope = "write" }
    stripped = auth.prepare_check { secret_file = file, token = { "header", "cookie:session" }, strip_token = true,
        headers = { ["X-User"] = "sub" } }
}
server {
    include runtime/listen.conf;
    set $endpoint ""; set $route_uri ""; set $route_cache ""; set $route_token ""; set $route_reason "";

    # auth_request
    location = /auth {
        internal;
        content_by_lua_block {
            local claims = require("route_native.auth").check(guard)
            ngx.header["X-User"] = claims.sub
            return ngx.exit(ngx.HTTP_NO_CONTENT)
        }
    }
    location = /auth_strict {
        internal;
        content_by_lua_block {
            require("route_native.auth").check(writer)
            return ngx.exit(ngx.HTTP_NO_CONTENT)
        }
    }
    location = /by_auth_request {
        auth_request /auth;
        auth_request_set $user $sent_http_x_user;
        proxy_set_header X-User $user;
        proxy_set_header Authorization "";
        proxy_pass http://$auth_upstream;
    }
    # A mistake: no upstream would get the headers, or it would get the client's beside them.
    location = /auth_stripped {
        internal;
        content_by_lua_block {
            require("route_native.auth").check(stripped)
            return ngx.exit(ngx.HTTP_NO_CONTENT)
        }
    }
    location = /by_auth_request_stripped { auth_request /auth_stripped; proxy_pass http://$auth_upstream; }
    location = /auth_rewritten {
        internal;
        rewrite_by_lua_block { require("route_native.auth").check(stripped) }
        content_by_lua_block { return ngx.exit(ngx.HTTP_NO_CONTENT) }
    }
    location = /by_auth_request_rewritten { auth_request /auth_rewritten; proxy_pass http://$auth_upstream; }
    location = /by_auth_request_strict { auth_request /auth_strict; proxy_pass http://$auth_upstream; }

    # ngx.location.capture
    location = /inner {
        internal;
        rewrite_by_lua_block { require("route_native.auth").check(stripped) }
        proxy_pass http://$auth_upstream;
    }
    location = /inner_strict {
        internal;
        rewrite_by_lua_block { require("route_native.auth").check(strict) }
        proxy_pass http://$auth_upstream;
    }
    location ~ ^/by_capture(?<kind>_strict|)$ {
        content_by_lua_block {
            local answer = ngx.location.capture("/inner" .. ngx.var.kind)
            ngx.status = answer.status
            ngx.print(answer.body)
        }
    }
    # The outer location's own check has stripped the token: the inner one sees a request without it.
    location = /by_capture_stripped {
        access_by_lua_block { require("route_native.auth").check(stripped) }
        content_by_lua_block {
            local answer = ngx.location.capture("/inner")
            ngx.status = answer.status
            ngx.print(answer.body)
        }
    }

    # SSI, mirror and slice
    location = /guarded {
        internal;
        rewrite_by_lua_block { require("route_native.auth").check(guard) }
        content_by_lua_block { ngx.print("guarded") }
    }
    location = /by_ssi {
        ssi on;
        default_type text/html;
        content_by_lua_block { ngx.print('<!--#include virtual="/guarded" -->') }
    }
    location = /mirror {
        internal;
        rewrite_by_lua_block { require("route_native.auth").check(guard) }
        content_by_lua_block { ngx.shared.mirrored:incr("requests", 1, 0) }
    }
    location = /by_mirror {
        mirror /mirror;
        content_by_lua_block { ngx.print(ngx.shared.mirrored:get("requests") or 0) }
    }
    location = /by_slice {
        slice 1m;
        proxy_set_header Range $slice_range;
        rewrite_by_lua_block { require("route_native.auth").check(stripped) }
        proxy_pass http://$auth_upstream;
    }

    # In the place of `return`
    location = /by_content {
        content_by_lua_block {
            require("route_native.auth").check(guard)
            ngx.print("{}")
        }
    }
}
]]

describe("a check in a subrequest", function()
    local running, token

    setup(function()
        local directory = auth.directory()
        token = auth.token(directory, { exp = os.time() + 300, sub = "ada", scope = "read" })
        running = assert(auth.start(directory, SITE))
    end)
    teardown(function() running:stop() end)

    local function get(path, bearer, cookie)
        local header = cookie and { "Cookie", "session=" .. cookie }
            or bearer and { "Authorization", "Bearer " .. bearer }
        return running:request { path = path, headers = { header } }
    end

    -- Path, and what a valid token, a bad one and none get.
    for path, statuses in pairs {
        ["/by_auth_request"] = { 200, 401, 401 }, ["/by_auth_request_strict"] = { 403, 401, 401 },
        ["/by_capture"] = { 200, 401, 401 }, ["/by_capture_strict"] = { 403, 401, 401 },
        ["/by_content"] = { 200, 401, 401 }, ["/by_capture_stripped"] = { 401, 401, 401 },
        ["/by_slice"] = { 200, 401, 401 },
    } do
        it("decides about " .. path, function()
            assert.same(statuses, { get(path, token).status, get(path, token .. "x").status, get(path).status })
            assert.same(statuses[1], get(path, nil, token).status)
        end)
    end

    it("lets no page include and no mirror receive what its token does not allow", function()
        assert.equal("guarded", get("/by_ssi", token).body)
        assert.falsy(get("/by_ssi", token .. "x").body:find("guarded", 1, true))
        assert.falsy(get("/by_ssi").body:find("guarded", 1, true))
        get("/by_mirror", token .. "x")
        get("/by_mirror")
        assert.equal("0", get("/by_mirror").body)
        get("/by_mirror", token)
        process.wait_until("the mirror had a request", function() return get("/by_mirror").body == "1" end)
    end)

    it("tells the client and the upstream what a check of the request itself does", function()
        local refused = get("/by_auth_request", token .. "x")
        assert.equal('Bearer error="invalid_token"', refused.headers["www-authenticate"])
        local headers = cjson.decode(get("/by_auth_request", token).body).headers
        assert.same({ "ada" }, { headers["x-user"], headers.authorization })
        headers = cjson.decode(running:request { path = "/by_auth_request", headers = { { "X-User", "root" },
            { "Authorization", "Bearer " .. token } } }.body).headers
        assert.equal("ada", headers["x-user"])
        headers = cjson.decode(get("/by_capture", token).body).headers
        assert.same({ "ada" }, { headers["x-user"], headers.authorization })
    end)

    it("refuses to set and remove headers where no upstream of its own gets them", function()
        assert.equal(500, get("/by_auth_request_stripped", token).status)
        assert.is_truthy(running:error_log():find("route_native.auth: check(): cannot set or remove headers in "
            .. "the content phase of a subrequest: leave out headers and strip_token, and use auth_request_set",
            1, true))
    end)

    it("passes no header of the client on beside that of a claim, if rewrite_by_lua guards an auth_request", function()
        local answer = running:request { path = "/by_auth_request_rewritten", headers = { { "X-User", "root" },
            { "Authorization", "Bearer " .. token } } }
        assert.equal(500, answer.status, answer.body)
        assert.is_truthy(running:error_log():find("route_native.auth: check(): cannot set headers in this subrequest",
            1, true))
        assert.equal(401, get("/by_auth_request_rewritten").status)
    end)
end)
