-- The name under which programs know the phantom token pattern: `require("resty.phantom-token").run(config)`.
return require "route_native.phantom_token"
