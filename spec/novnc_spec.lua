-- Real clients and real desktops over HTTPS: noVNC in Chromium shows an X server's screen, plays its sound, and fetches
-- what it prints. Each desktop is once an address and once the name of a host. Its files are in filer_spec.lua.
--
-- NOVNC_SCREENSHOT=path writes a screenshot of the page, such as docs/desktop-novnc.png.

local browser = require "support.browser"
local gateway = require "support.gateway"
local process = require "support.process"
local real_desktop = require "support.real_desktop"
local tls = require "support.tls"

local HOST = "localhost"
-- Whether a corner of the screen has a colour.
local COLOUR = [[[...document.querySelector('#screen canvas').getContext('2d').getImageData(3, 3, 1, 1).data].join()
    == '%s']]

describe("a real desktop over HTTPS", function()
    local directory, desktop, running, chromium, origin, names

    local function run(command)
        local output, status = process.run(command)
        assert(status == 0, output)
        return output
    end

    setup(function()
        directory = process.temporary_directory()
        tls.certificate(directory, HOST, "127.0.0.1")
        desktop = real_desktop.start()
        local log = directory .. "/names.log"
        names = process.start(("/usr/bin/python3 %s/spec/support/dns_server.py"):format(gateway.ROOT), log)
        local resolver = process.wait_until("the name server was ready", function()
            return process.read(log):match("ready (%d+)")
        end)
        -- The website is noVNC, as npm has it.
        run(("mkdir %s/website && cp %s/spec/novnc/index.html %s/website/ && chmod a+rx %s && "
            .. "cp -r %s/spec/novnc/node_modules/@novnc/novnc %s/website/novnc && chmod -R a+rX %s/website")
            :format(directory, gateway.ROOT, directory, directory, gateway.ROOT, directory, directory))
        desktop.environment.NAMESERVER_RESOLVER = "127.0.0.1:" .. resolver
        desktop.environment.ROUTE_WEBSITE_ROOT = directory .. "/website"
        desktop.environment.ROUTE_TLS_REDIRECT = "on"
        local environment, port = tls.environment(directory, desktop.environment)
        running = assert(gateway.start { demo = false, env = environment })
        origin = ("https://%s:%d"):format(HOST, port)
        chromium = browser.start { accept_insecure = true }
    end)
    teardown(function()
        chromium:stop()
        running:stop()
        desktop:stop()
        process.stop(names)
        process.run("rm -rf " .. process.quoted(directory))
    end)

    -- Waits until a script of the page returns a true value, and returns it.
    local function page(what, script)
        return process.wait_until(what, function()
            local value = chromium:await("return " .. script)
            return value ~= require("cjson").null and value
        end)
    end

    -- Writes a text to a file of the desktop's user.
    local function write(name, text)
        process.write(desktop.directory .. "/" .. name, text)
        return desktop.directory .. "/" .. name
    end

    for target, how in pairs { ["127.0.0.1"] = "an address", ["desktop-7.desktops.test"] = "the name of a host" } do
        describe("by " .. how, function()
            local token

            setup(function()
                token = running:mint(target)
                chromium:resize(900, 700)
                -- A fragment alone would load nothing.
                chromium:go("about:blank")
                chromium:go(origin .. "/#" .. token)
                page("noVNC was connected", "desktop.rfb._rfbConnectionState == 'connected'")
            end)

            it("shows the screen", function()
                desktop:run("xsetroot -solid '#2f6f4f'")
                page("the screen had its colour", COLOUR:format("47,111,79,255"))
            end)

            it("gets the size of the window, and keeps it when that changes", function()
                local function size()
                    return desktop:run("xrandr"):match("current (%d+ x %d+)")
                end
                local shown = "(e => e.clientWidth + ' x ' + e.clientHeight)(document.querySelector('#screen'))"
                local before = size()
                chromium:resize(1100, 800)
                process.wait_until("the desktop had the window's size", function()
                    return size() ~= before and size() == chromium:await("return " .. shown)
                end)
                page("noVNC had it too", "desktop.rfb._fbWidth + ' x ' + desktop.rfb._fbHeight == " .. shown)
            end)

            it("gets what the user types into a terminal", function()
                local typed = desktop.directory .. "/typed"
                os.remove(typed)
                local terminal = desktop:open("xterm -geometry 100x30+40+40 -fa monospace -fs 11 -bg '#11191f' "
                    .. "-fg '#e8eef2' -e sh")
                process.wait_until("the terminal was open", function()
                    return select(2, desktop:run("xwininfo -root -tree | grep -q '\"sh\"'")) == 0
                end)
                -- The keys go to the window under the pointer.
                chromium:click("#screen canvas")
                process.wait_until("the terminal got the keys", function()
                    chromium:press "echo 'Hello, world: $5 & 7%' > typed\n"
                    return process.read(typed) == "Hello, world: $5 & 7%\n"
                end)
                local path = os.getenv("NOVNC_SCREENSHOT")
                if path then
                    chromium:press "cat typed; xrandr | head -n 2; touch shown\n"
                    process.wait_until("the commands ran", function()
                        return select(2, process.run("test -e " .. desktop.directory .. "/shown")) == 0
                    end)
                    -- The screen's next change comes after all before.
                    desktop:run("xsetroot -solid '#2f4f6f'")
                    page("the screen had changed", COLOUR:format("47,79,111,255"))
                    chromium:screenshot(path)
                end
                process.stop(terminal)
            end)

            it("exchanges clipboards in both directions, with letters of other languages", function()
                for _, text in ipairs { "from the browser", "Grüße, 5 €, 日本語", ("x"):rep(20000) } do
                    chromium:await(("desktop.rfb.clipboardPasteFrom('%s')"):format(text))
                    process.wait_until("the desktop had the browser's clipboard", function()
                        return desktop:run("timeout 10 xclip -o -selection clipboard") == text
                    end)
                end
                for _, text in ipairs { "from the desktop", "Привет, 7 °C, 한국어" } do
                    local file = write("copied", text)
                    desktop:run(("xclip -selection clipboard -i %s > /dev/null 2>&1"):format(file))
                    page("the browser had the desktop's clipboard", ("desktop.copied.at(-1) == '%s'"):format(text))
                end
            end)

            it("plays its sound without a gap", function()
                chromium:click("#sound")
                page("two seconds of sound came", "desktop.sound.samples.length >= 88200")
                -- In a sine, each sample is determined by the two before: a lost or repeated one shows.
                local measured = chromium:await([[
                    const s = desktop.sound.samples, w = 2 * Math.PI * 440 / 44100;
                    const start = s.findIndex((v, i) => i > 4410 && v != 0);
                    let crossings = 0, worst = 0;
                    for (let i = start; i < start + 44100; i++) {
                        if (s[i] < 0 && s[i + 1] >= 0) crossings++;
                        worst = Math.max(worst, Math.abs(s[i + 2] - 2 * Math.cos(w) * s[i + 1] + s[i]));
                    }
                    return { crossings, worst, loud: Math.max(...s.slice(start, start + 44100)) }]])
                assert.is_true(math.abs(measured.crossings - 440) <= 1, "crossings: " .. measured.crossings)
                assert.is_true(measured.worst < 0.001, "a jump of " .. measured.worst)
                assert.is_true(measured.loud > 0.1)
                -- The loudspeaker's side: the strongest frequency of what is played, in steps of 5 Hz.
                page("the browser played 440 Hz", [[(() => {
                    const bins = new Float32Array(4096);
                    desktop.sound.analyser.getFloatFrequencyData(bins);
                    return Math.abs(bins.indexOf(Math.max(...bins)) * 44100 / 8192 - 440) < 6 })()]])
            end)

            it("shows a file that it printed", function()
                local pdf = chromium:pdf()
                run("mkdir -p " .. desktop.files.files .. "/printerfiler")
                process.write(desktop.files.files .. "/printerfiler/page.pdf", pdf)
                local said = chromium:await(([[
                    const got = await fetch('/printerfiler/page.pdf', { headers: { AbcAuthorization: 'Bearer %s' } });
                    const blob = await got.blob();
                    return [got.status, blob.type, blob.size, (await blob.slice(0, 5).text())].join()
                ]]):format(token))
                assert.equal(("200,application/pdf,%d,%%PDF-"):format(#pdf), said)
            end)

            it("is closed to a token of nobody", function()
                local said = chromium:await([[
                    const socket = new WebSocket(`wss://${location.host}/websockify?a.b.c`);
                    return new Promise(r => { socket.onopen = () => r('open'); socket.onclose = () => r('closed'); })]])
                assert.equal("closed", said)
                assert.equal(401, tls.curl(directory, origin .. "/printerfiler/page.pdf?jwt_token=a.b.c").status)
                assert.is_nil((running:access_log() .. running:error_log()):find(token:sub(1, 40), 1, true))
            end)
        end)
    end
end)
