-- Finds and loads the shared library: next to this module's parent, then along lua_package_cpath, then by the system's
-- loader. A missing or incompatible library raises an error of one sentence.

local ffi = require "ffi"
require "route_native.core.cdef"

local NAME = "libroute_native.so"

local function path_beside_module()
    local source = debug.getinfo(1, "S").source
    local root = source:match("^@(.*)route_native/core/ffi%.lua$")
    return root and (root == "" and "./" or root) .. NAME
end

local function candidates()
    local found = { path_beside_module() }
    -- A template is such as /usr/lib/lua/5.1/?.so.
    for template in package.cpath:gmatch("[^;]+") do
        found[#found + 1] = (template:gsub("%?", "libroute_native"))
    end
    return found
end

local function exists(path)
    local file = io.open(path, "rb")
    return file and file:close()
end

-- The machines of ELF headers (e_machine) that the library is built for.
local MACHINES = { [62] = "x64", [183] = "arm64" }

-- Returns what is wrong with a file that the system's loader refuses. For another machine's file, some loaders say that
-- there is none.
local function load_error(path, err)
    local file = io.open(path, "rb")
    local head = file and file:read(20) or ""
    if file then
        file:close()
    end
    local machine = head:sub(1, 4) == "\127ELF" and MACHINES[(head:byte(19) or 0) + 256 * (head:byte(20) or 0)]
    if machine and machine ~= ffi.arch then
        return ("it is built for %s, and this is %s"):format(machine, ffi.arch)
    end
    return tostring(err)
end

local function load()
    for _, path in ipairs(candidates()) do
        if exists(path) then
            local loaded, library = pcall(ffi.load, path)
            if not loaded then
                error("route_native: " .. path .. " cannot be loaded: " .. load_error(path, library), 0)
            end
            return library, path
        end
    end
    local ok, library = pcall(ffi.load, "route_native")
    if not ok then
        error("route_native: " .. NAME .. " is neither next to route_native.lua, nor on lua_package_cpath, nor "
            .. "known to the system's loader; build it with `cargo build --release` or install the rock", 0)
    end
    return library, NAME
end

local library, path = load()

-- cdef.lua holds the ABI version of these modules. The library must have the same.
local needed = library.RN_ABI_VERSION
local has_version, version = pcall(function() return library.rn_abi_version() end)
if not has_version or version ~= needed then
    error(("route_native: %s has ABI version %s, and these Lua modules need %d; install both from one release")
        :format(path, has_version and tostring(version) or "unknown", needed), 0)
end

return library
