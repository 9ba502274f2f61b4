std = "ngx_lua+luajit"
max_line_length = 120
files["spec"] = { std = "+busted" }
exclude_files = { "target", ".run", "lua/route_native/cdef.lua" }
