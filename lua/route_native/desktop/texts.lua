-- The texts of the answers when the way to a desktop fails: English ones, or those of one file of JSON.

local cjson = require "cjson.safe"
local config = require "route_native.core.config"

local OWNER = "route_native: the texts of the file %s"
local MAX_BYTES = 64 * 1024

local _M = {}

-- Returns the row of a failure, which has a title and a sentence.
local function failure(code, title, text)
    return { code, config.nested {
        { "title", config.text(), default = title },
        { "text", config.text(), default = text },
    }, default = {} }
end

local ROWS = {
    { "language", config.text("^%a[%a%d-]*$", "a language, such as en or pt-BR"), default = "en" },
    { "again", config.text(), default = "Try again" },
    { "back", config.text(), default = "Back to the start page" },
    failure("desktop_starting", "Your desktop is starting", "It did not answer in time. Try again in a moment."),
    failure("desktop_refused", "Your desktop is not there",
        "It refuses connections: it is starting, or it has been stopped."),
    failure("desktop_unresolved", "Your desktop is not there",
        "Its name leads to no address: it is starting, or it has been removed."),
    failure("desktop_unreachable", "Your desktop cannot be reached", "No connection to it was possible in time."),
    failure("desktop_timeout", "Your desktop does not answer", "It was reached, and gave no answer in time."),
    failure("desktop_answer_invalid", "Your desktop gave no valid answer",
        "Its answer was cut short or cannot be read."),
    failure("desktop_tls_failed", "The connection to your desktop is not safe",
        "The desktop could not prove its identity, so nothing was sent. Tell your administrator."),
    failure("desktop_busy", "Your desktop is busy", "It has as many requests as it may have. Try again in a moment."),
    failure("too_many_requests", "Too many requests",
        "You have sent more requests than allowed. Try again in a moment."),
    failure("unavailable", "The service is not available", "Try again later."),
}

-- Returns the text of a file, or raises an error of one sentence.
local function read_file(path)
    local owner = OWNER:format(path)
    local file = io.open(path, "rb")
    local text = file and file:read(MAX_BYTES + 1)
    if file then
        file:close()
    end
    if not text then
        config.fail(owner, "the file cannot be read, or is empty")
    elseif #text > MAX_BYTES then
        config.fail(owner, "the file has more than %d bytes", MAX_BYTES)
    end
    return text
end

-- Returns the texts. `path` is the file that overrides some of them, or nil.
function _M.load(path)
    if not path then
        return config.read("route_native", ROWS, {})
    end
    local input = cjson.decode(read_file(path))
    if type(input) ~= "table" then
        config.fail(OWNER:format(path), "the file must be an object of JSON")
    end
    return (config.read(OWNER:format(path), ROWS, input))
end

return _M
