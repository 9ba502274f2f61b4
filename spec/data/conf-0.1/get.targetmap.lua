require("route_native").resolve()
