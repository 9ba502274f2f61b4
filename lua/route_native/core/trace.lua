-- The trace of a request (conf/trace_http.conf), for the requests that it makes itself. A subrequest has variables of
-- its own, and would begin another one.

local ngx = ngx
local get_phase = ngx.get_phase

local _M = {}

-- Returns the traceparent and the tracestate of the current request. A configuration without trace_http.conf has
-- neither, and a timer belongs to no request: both are "".
function _M.current()
    if get_phase() == "timer" then
        return "", ""
    end
    return ngx.var.trace_parent or "", ngx.var.trace_state or ""
end

-- Adds the trace of the current request to the variables of a subrequest whose location includes forwarded.conf.
-- Returns them.
function _M.share(variables)
    local parent, state = _M.current()
    if parent ~= "" then
        variables.trace_parent, variables.trace_state = parent, state
    end
    return variables
end

return _M
