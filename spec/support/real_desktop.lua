-- A real desktop: an X server with VNC (TigerVNC), a sound server (PulseAudio) that plays 440 Hz, both by websockify,
-- and a file server for the files and the printer.

local file_server = require "support.file_server"
local process = require "support.process"

local _M = {}
local desktop = {}
desktop.__index = desktop

local function ready(pid, log, what, condition)
    process.wait_until(what, function() return condition() or not process.alive(pid) end)
    assert(process.alive(pid), process.read(log))
end

-- Starts a program, and waits until it accepts connections on a port.
local function serve(self, name, port, command)
    local log = ("%s/%s.log"):format(self.directory, name)
    local pid = process.start(command, log)
    self.pids[#self.pids + 1] = pid
    ready(pid, log, name .. " listened", function() return process.accepts(port) end)
end

-- Starts websockify in front of a port. Returns its own.
local function websockify(self, name, port)
    local own = process.free_port()
    serve(self, "websockify_" .. name, own, ("websockify 127.0.0.1:%d 127.0.0.1:%d"):format(own, port))
    return own
end

function _M.start()
    local self = setmetatable({ directory = process.temporary_directory(), pids = {} }, desktop)
    local rfb, pcm = process.free_port(), process.free_port()
    -- A display's number may be as large as a port, and nobody else has this one.
    self.display = ":" .. rfb
    serve(self, "xvnc", rfb, ("Xtigervnc %s -rfbport %d -interface 127.0.0.1 -SecurityTypes None -geometry 800x600 "
        .. "-nolisten tcp -desktop desktop"):format(self.display, rfb))
    serve(self, "pulseaudio", pcm, ("env -u DISPLAY HOME=%s XDG_RUNTIME_DIR=%s pulseaudio -n --daemonize=no "
        .. "--use-pid-file=no --exit-idle-time=-1 --disable-shm "
        .. "-L 'module-null-sink sink_name=desktop rate=44100 channels=1' "
        .. "-L 'module-sine sink=desktop frequency=440' "
        .. "-L 'module-simple-protocol-tcp record=true source=desktop.monitor rate=44100 format=s16le channels=1 "
        .. "listen=127.0.0.1 port=%d'"):format(self.directory, self.directory, pcm))
    local file_port, printer_port = process.free_port(), process.free_port()
    self.files = file_server.start(file_port, printer_port)
    self.environment = {
        WS_TCP_BRIDGE_TCP_PORT = websockify(self, "vnc", rfb), SOUND_SERVICE_TCP_PORT = websockify(self, "sound", pcm),
        FILE_SERVICE_TCP_PORT = file_port, PRINTERFILE_SERVICE_TCP_PORT = printer_port,
    }
    return self
end

-- Runs a program of the desktop until it ends. Returns its output and status.
function desktop:run(command)
    return process.run(("export DISPLAY=%s; %s"):format(self.display, command))
end

-- Starts a program that stays.
function desktop:open(command)
    local pid = process.start(("env --chdir=%s DISPLAY=%s %s"):format(self.directory, self.display, command),
        self.directory .. "/client.log")
    self.pids[#self.pids + 1] = pid
    return pid
end

function desktop:stop()
    for i = #self.pids, 1, -1 do
        if process.alive(self.pids[i]) then
            process.stop(self.pids[i])
        end
    end
    self.files:stop()
    process.run("rm -rf " .. process.quoted(self.directory))
end

return _M
