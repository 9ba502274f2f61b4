-- Newer than luacheck's own list.
stds.ngx_threads = { read_globals = { ngx = { fields = { run_worker_thread = {} } } } }
std = "ngx_lua+luajit+ngx_threads"
max_line_length = 120
files["spec"] = { std = "+busted" }
exclude_files = { "target", ".run", "**/node_modules", "lua/route_native/core/cdef.lua" }
-- Scripts of wrk, which calls what they define.
files["bench/gateway"] = { globals = { "wrk", "init", "request", "delay", "done" } }
