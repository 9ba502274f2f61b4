-- wrk: leaves some milliseconds between two requests of a connection, as people do; what is measured is then the time
-- that an answer takes, and not how many fit.

dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

function delay()
    return math.random(0, 10)
end
