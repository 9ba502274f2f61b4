-- wrk: sends the tokens of a file in turn, so that no two requests at once share a token. wrk … -- FILE

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

local tokens, at = {}, 0

function init(arguments)
    for token in io.lines(arguments[1]) do
        tokens[#tokens + 1] = token
    end
end

function request()
    at = at % #tokens + 1
    return wrk.format("GET", nil, { Authorization = "Bearer " .. tokens[at] })
end
