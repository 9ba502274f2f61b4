-- Headless Chromium, driven over WebDriver (W3C) by chromedriver. Each function is one step of a user. It waits for an
-- element that does not exist yet.

local cjson = require "cjson.safe"
local http = require "support.http"
local mime = require "mime"
local process = require "support.process"

local _M = {}
local browser = {}
browser.__index = browser

-- The key of an element's id in WebDriver.
local ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

-- Options for Chromium as root, without a screen and without its own network requests.
local ARGUMENTS = {
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=800,600",
}

local function call(self, method, path, body)
    local response = http.request(self.port, {
        method = method, path = path, body = body and cjson.encode(body),
        headers = { { "Host", "127.0.0.1:" .. self.port }, { "Content-Type", "application/json" } },
    })
    local value = cjson.decode(response.body).value
    if response.status ~= 200 then
        error(("chromedriver: %s %s: %s"):format(method, path, response.body:sub(1, 300)), 2)
    end
    return value
end

local function command(self, method, path, body)
    return call(self, method, "/session/" .. self.session .. path, body)
end

-- Starts a browser with an empty profile. options: accept_insecure (takes any certificate).
function _M.start(options)
    local self = setmetatable({ port = process.free_port(), directory = process.temporary_directory() }, browser)
    local log = self.directory .. "/chromedriver.log"
    self.pid = process.start("chromedriver --port=" .. self.port, log)
    process.wait_until("chromedriver listened", function()
        return process.accepts(self.port) or not process.alive(self.pid)
    end)
    assert(process.alive(self.pid), process.read(log))
    local arguments = { "--user-data-dir=" .. self.directory .. "/profile" }
    for _, argument in ipairs(ARGUMENTS) do
        arguments[#arguments + 1] = argument
    end
    self.downloads = self.directory .. "/downloads"
    self.session = call(self, "POST", "/session", { capabilities = { alwaysMatch = {
        browserName = "chrome", acceptInsecureCerts = options and options.accept_insecure or false,
        timeouts = { implicit = 30000 }, ["goog:chromeOptions"] = {
            args = arguments, prefs = { ["download.default_directory"] = self.downloads },
        },
    } } }).sessionId
    return self
end

function browser:stop()
    command(self, "DELETE", "")
    process.stop(self.pid)
    process.run("rm -rf " .. process.quoted(self.directory))
end

-- Opens a URL, as if a user had typed it.
function browser:go(url)
    command(self, "POST", "/url", { url = url })
end

function browser:url()
    return command(self, "GET", "/url")
end

-- Returns the page's path and query.
function browser:path()
    return self:url():match("^%a+://[^/]+(.*)$")
end

-- Waits for the page of a path and query.
function browser:wait_for(path)
    process.wait_until("the browser was at " .. path, function() return self:path() == path end)
end

-- Opens a tab and goes to it. Returns its handle.
function browser:new_tab()
    local handle = command(self, "POST", "/window/new", { type = "tab" }).handle
    self:switch_to(handle)
    return handle
end

-- Returns the handle of the tab that shows.
function browser:tab()
    return command(self, "GET", "/window")
end

function browser:switch_to(handle)
    command(self, "POST", "/window", { handle = handle })
end

function browser:back()
    command(self, "POST", "/back", cjson.decode("{}"))
end

function browser:reload()
    command(self, "POST", "/refresh", cjson.decode("{}"))
end

function browser:element(selector)
    return command(self, "POST", "/element", { using = "css selector", value = selector })[ELEMENT]
end

function browser:text(selector)
    return command(self, "GET", "/element/" .. self:element(selector) .. "/text")
end

function browser:type(selector, text)
    command(self, "POST", "/element/" .. self:element(selector) .. "/value", { text = text })
end

function browser:click(selector)
    command(self, "POST", "/element/" .. self:element(selector) .. "/click", cjson.decode("{}"))
end

-- Presses and releases keys, one per character; "\n" is the Enter key.
function browser:press(text)
    local steps = {}
    for character in text:gmatch(".") do
        local key = character == "\n" and "\238\128\135" or character
        steps[#steps + 1] = { type = "keyDown", value = key }
        steps[#steps + 1] = { type = "keyUp", value = key }
    end
    command(self, "POST", "/actions", { actions = { { type = "key", id = "keyboard", actions = steps } } })
end

-- Sets the size of the window.
function browser:resize(width, height)
    command(self, "POST", "/window/rect", { width = width, height = height })
end

-- Returns the page as a PDF.
function browser:pdf()
    return (mime.unb64(command(self, "POST", "/print", cjson.decode("{}"))))
end

-- Runs JavaScript that returns a promise, and returns what it resolves to.
function browser:await(script)
    return command(self, "POST", "/execute/async", {
        script = "const done = arguments[1]; (async () => {" .. script .. "})().then(done, e => done('error: ' + e))",
        -- An empty table would be an object in JSON.
        args = { 0 },
    })
end

-- Runs JavaScript in a frame, of whatever origin, and returns its result.
function browser:in_frame(selector, script)
    command(self, "POST", "/frame", { id = { [ELEMENT] = self:element(selector) } })
    local result = command(self, "POST", "/execute/sync", { script = script, args = { 0 } })
    command(self, "POST", "/frame", { id = cjson.null })
    return result
end

-- Sends a command of the DevTools protocol.
function browser:devtools(name, parameters)
    return command(self, "POST", "/goog/cdp/execute", { cmd = name, params = parameters })
end

-- Gives the page a size in CSS pixels, and the user's preference, "light" or "dark".
function browser:show(width, height, scheme)
    self:devtools("Emulation.setDeviceMetricsOverride",
        { width = width, height = height, deviceScaleFactor = 1, mobile = false })
    self:devtools("Emulation.setScrollbarsHidden", { hidden = true })
    self:devtools("Emulation.setEmulatedMedia", { features = { { name = "prefers-color-scheme", value = scheme } } })
end

-- Presses keys, which go to the element with the focus. Names are those of WebDriver, such as "\238\128\132" for Tab.
function browser:press(keys)
    local element = command(self, "GET", "/element/active")[ELEMENT]
    command(self, "POST", "/element/" .. element .. "/value", { text = keys })
end

-- Returns the browser's cookies for this page, by name.
function browser:cookies()
    local cookies = {}
    for _, cookie in ipairs(command(self, "GET", "/cookie")) do
        cookies[cookie.name] = cookie
    end
    return cookies
end

-- Writes a screenshot of the page to a file.
function browser:screenshot(path)
    process.write(path, (mime.unb64(command(self, "GET", "/screenshot"))))
end

-- Writes a screenshot of the whole page to a file, with what has to be scrolled to.
function browser:screenshot_all(path)
    local image = self:devtools("Page.captureScreenshot", { format = "png", captureBeyondViewport = true })
    process.write(path, (mime.unb64(image.data)))
end

return _M
