-- Writes the reference from what LDoc has parsed: Markdown for readers, and LuaCATS annotations for editors.
--
--     REFERENCE_DIR=docs/reference ldoc -c scripts/docs/config.ld --filter reference.write .
--
-- Types are written as LuaCATS has them, without blanks, such as `string|Keys` or `table<string,Service>`. A documented
-- table is a type under its own name in its module, and under `module.Name` everywhere. What lacks a type, a meaning or
-- a description ends the run with one line.

local concat, insert = table.concat, table.insert

local PRIMITIVES = {
    any = true, boolean = true, integer = true, number = true, string = true, table = true, ["function"] = true,
    ["nil"] = true,
}

local _M = {}

-- The full name of every type.
local types = {}

local function fail(module, item, what)
    io.stderr:write(("%s:%s: %s: %s\n"):format(module.file, tostring(item.lineno or 1), item.name, what))
    os.exit(1)
end

local function trim(text)
    return (text:gsub("^%s+", ""):gsub("%s+$", ""))
end

-- The text of a comment, without the blank that follows its dashes.
local function text_of(item)
    local lines = {}
    for line in ((item.summary or "") .. (item.description or "") .. "\n"):gmatch("([^\n]*)\n") do
        lines[#lines + 1] = (line:gsub("^ ", ""):gsub("%s+$", ""))
    end
    local text = trim(concat(lines, "\n"))
    return (text:gsub("\n\n\n+", "\n\n"))
end

-- A text on one line.
local function flat(text)
    return trim((text or ""):gsub("%s+", " "))
end

-- The full name of a type's name, or nil.
local function resolve(module, name)
    return types[module.name .. "." .. name] or types[name]
end

-- Replaces every name of a type by what `replace` returns for its full name; primitives stay.
local function map_names(module, item, kind, replace)
    return (kind:gsub("[%a_][%w_.]*", function(name)
        if PRIMITIVES[name] then
            return nil
        end
        return replace(resolve(module, name) or fail(module, item, "there is no type " .. name))
    end))
end

-- The parts of a union, without those of unions within brackets.
local function parts_of(kind)
    local parts, depth, start = {}, 0, 1
    for i = 1, #kind do
        local char = kind:sub(i, i)
        if char == "(" or char == "<" then
            depth = depth + 1
        elseif char == ")" or char == ">" then
            depth = depth - 1
        elseif char == "|" and depth == 0 then
            parts[#parts + 1] = kind:sub(start, i - 1)
            start = i + 1
        end
    end
    parts[#parts + 1] = kind:sub(start)
    return parts
end

local function anchor(text)
    return (text:lower():gsub("[^%w_ -]", ""):gsub(" ", "-"))
end

-- A type for readers: each part is code, and a link where it holds a documented type.
local function linked(module, item, kind)
    local parts = parts_of(kind)
    for i, part in ipairs(parts) do
        local link
        map_names(module, item, part, function(full)
            local owner, name = full:match("^(.*)%.([^.]+)$")
            if types[full] == full and owner and name:find("^%u") then
                link = (owner == module.name and "" or owner .. ".md") .. "#" .. anchor(name)
            else
                link = full .. ".md"
            end
        end)
        parts[i] = link and ("[`%s`](%s)"):format(part, link) or ("`%s`"):format(part)
    end
    return concat(parts, " or ")
end

-- Reads the parameters or fields of an item: { name, type, text, optional, default } each.
local function members_of(module, item)
    local members = {}
    local modifiers = item.modifiers[item.parameter] or {}
    for i, name in ipairs(item.params) do
        local modifier = rawget(modifiers, name) or {}
        local member = { name = name, type = modifier.type, text = flat(item.params.map[name]) }
        local optional = modifier.opt or modifier.optchain
        member.optional, member.default = optional and true, type(optional) == "string" and optional or nil
        if i == 1 and (name == "self" or name == "_") then
            members.is_method = true
        else
            if not member.type then
                fail(module, item, name .. " has no type")
            elseif member.text == "" and item.type ~= "field" then
                fail(module, item, name .. " has no meaning")
            end
            members[#members + 1] = member
        end
    end
    return members
end

-- Reads the groups of returned values: lists of { type, text }.
local function returns_of(item)
    local groups = {}
    for _, group in ipairs(item.retgroups or {}) do
        local values = {}
        for _, value in ipairs(group) do
            values[#values + 1] = { type = value.type, text = flat(value.text) }
        end
        groups[#groups + 1] = values
    end
    return groups
end

-- The name of an item, and its second names.
local function names_of(item)
    local names = { item.name }
    for _, name in ipairs(item.tags.also or {}) do
        names[#names + 1] = trim(name)
    end
    return names
end

local function read_item(module, item)
    local read = {
        source = item, kind = item.type, name = item.name, names = names_of(item), text = text_of(item),
        members = members_of(module, item), returns = returns_of(item), usage = {},
    }
    if read.text == "" then
        fail(module, item, "has no description")
    end
    for i, usage in ipairs(item.usage or {}) do
        read.usage[i] = trim(usage)
    end
    return read
end

local function read_module(module)
    local read = { name = module.name, file = module.file, names = names_of(module), text = text_of(module),
        ["function"] = {}, ["table"] = {}, field = {} }
    for _, item in ipairs(module.items) do
        insert(read[item.type] or fail(module, item, "is a " .. item.type), read_item(module, item))
    end
    return read
end

-- What stands before a function's name in a call.
local function call_of(module, item, name)
    local arguments, closing = {}, 0
    for i, member in ipairs(item.members) do
        local separator = i > 1 and ", " or ""
        if member.optional then
            closing = closing + 1
            arguments[i] = ("%s[%s%s"):format(i > 1 and " " or "", separator, member.name)
        else
            arguments[i] = separator .. member.name
        end
    end
    local short = module.name:match("[^.]+$")
    return ("%s%s%s(%s%s)"):format(short, item.members.is_method and ":" or ".", name, concat(arguments),
        ("]"):rep(closing))
end

local function heading(item)
    return concat(item.names, ", ")
end

local function first_sentence(text)
    return flat(text:match("^(.-%.)%s") or text)
end

local function cell(text)
    return (text:gsub("|", "\\|"))
end

local function markdown_function(module, item, out)
    insert(out, "### " .. heading(item) .. "\n")
    local calls = {}
    for i, name in ipairs(item.names) do
        calls[i] = call_of(module, item, name)
    end
    insert(out, "```lua\n" .. concat(calls, "\n") .. "\n```\n")
    insert(out, item.text .. "\n")
    local lines = {}
    for _, member in ipairs(item.members) do
        local detail = member.default and (", default `%s`"):format(member.default)
            or member.optional and ", optional" or ""
        lines[#lines + 1] = ("- `%s` (%s%s): %s"):format(member.name, linked(module, item.source, member.type), detail,
            member.text)
    end
    if #lines > 0 then
        insert(out, concat(lines, "\n") .. "\n")
    end
    for i, group in ipairs(item.returns) do
        lines = {}
        for j, value in ipairs(group) do
            local text = value.text ~= "" and ": " .. value.text or ""
            lines[j] = "- " .. linked(module, item.source, value.type) .. text
        end
        insert(out, (i == 1 and "Returns:" or "or:") .. "\n\n" .. concat(lines, "\n") .. "\n")
    end
    for _, usage in ipairs(item.usage) do
        local language = usage:find("_by_lua_block", 1, true) and "nginx" or "lua"
        insert(out, ("```%s\n%s\n```\n"):format(language, usage))
    end
end

local function markdown_table(module, item, out)
    insert(out, "### " .. item.name .. "\n")
    insert(out, item.text .. "\n")
    if #item.members == 0 then
        return
    end
    local lines = { "| field | type | default | meaning |", "|---|---|---|---|" }
    for _, member in ipairs(item.members) do
        local default = member.default and "`" .. member.default .. "`" or member.optional and "" or "required"
        lines[#lines + 1] = ("| `%s` | %s | %s | %s |"):format(member.name,
            cell(linked(module, item.source, member.type)), cell(default), cell(member.text))
    end
    insert(out, concat(lines, "\n") .. "\n")
end

local GENERATED = "`make docs` writes this file from the comments in `%s`."

-- Two headings that differ in case alone have one anchor, and links to the second would lead to the first.
local function check_anchors(module)
    local taken = { functions = true, types = true, fields = true }
    for _, kind in ipairs { "function", "table" } do
        for _, item in ipairs(module[kind]) do
            local name = anchor(heading(item))
            if taken[name] then
                fail(module, item.source, "has the anchor of another heading; rename one of them")
            end
            taken[name] = true
        end
    end
end

local function markdown(module)
    check_anchors(module)
    local out = { "# " .. module.name .. "\n", module.text .. "\n" }
    for i = 2, #module.names do
        insert(out, ("`require \"%s\"` returns this module too.\n"):format(module.names[i]))
    end
    local lines = { "| function | does |", "|---|---|" }
    for _, item in ipairs(module["function"]) do
        lines[#lines + 1] = ("| [`%s`](#%s) | %s |"):format(concat(item.names, "`, `"), anchor(heading(item)),
            cell(first_sentence(item.text)))
    end
    insert(out, concat(lines, "\n") .. "\n")
    insert(out, "## Functions\n")
    for _, item in ipairs(module["function"]) do
        markdown_function(module, item, out)
    end
    if #module["table"] > 0 then
        insert(out, "## Types\n")
        for _, item in ipairs(module["table"]) do
            markdown_table(module, item, out)
        end
    end
    if #module.field > 0 then
        insert(out, "## Fields\n")
        for _, item in ipairs(module.field) do
            insert(out, ("- `%s` (%s): %s\n"):format(item.name, linked(module, item.source, item.members[1].type),
                flat(item.text)))
        end
    end
    insert(out, "---\n\n" .. GENERATED:format(module.file) .. "\n")
    return concat(out, "\n")
end

-- A text as comment lines, each with a blank: four dashes, as of a list, would begin no annotation.
local function comment(text)
    return (("--- " .. text:gsub("\n", "\n--- ")):gsub(" +\n", "\n"))
end

-- A type for editors: every name in full.
local function full(module, item, kind)
    return map_names(module, item, kind, function(name) return name end)
end

local function describe(member)
    return member.text .. (member.default and " (default: " .. member.default .. ")" or "")
end

-- The values that a function returns at each place, of all its groups.
local function joined_returns(module, item)
    local places = {}
    for _, group in ipairs(item.returns) do
        for i, value in ipairs(group) do
            local place = places[i] or { kinds = {}, known = {}, texts = {} }
            places[i] = place
            local kind = full(module, item.source, value.type)
            if not place.known[kind] then
                place.known[kind] = true
                insert(place.kinds, kind)
            end
            if value.text ~= "" then
                insert(place.texts, value.text)
            end
        end
    end
    -- A group that has nothing at a place returns nil there.
    for i, place in ipairs(places) do
        for _, group in ipairs(item.returns) do
            if not group[i] and not place.known["nil"] then
                place.known["nil"] = true
                insert(place.kinds, "nil")
            end
        end
    end
    return places
end

local function annotate_function(module, item, name, out)
    local lines, names = { comment(item.text) }, {}
    for i, member in ipairs(item.members) do
        local mark = member.optional and member.name ~= "..." and "?" or ""
        lines[#lines + 1] = ("---@param %s%s %s %s"):format(member.name, mark, full(module, item.source, member.type),
            describe(member))
        names[i] = member.name
    end
    for _, place in ipairs(joined_returns(module, item)) do
        local text = concat(place.texts, "; or ")
        lines[#lines + 1] = "---@return " .. concat(place.kinds, "|") .. (text ~= "" and " # " .. text or "")
    end
    lines[#lines + 1] = ("function M%s%s(%s) end"):format(item.members.is_method and ":" or ".", name,
        concat(names, ", "))
    insert(out, concat(lines, "\n") .. "\n")
end

local function annotations(module)
    local lines = { "---@meta " .. module.name, "-- " .. GENERATED:format(module.file), "", comment(module.text),
        "---@class " .. module.name }
    for _, item in ipairs(module.field) do
        lines[#lines + 1] = ("---@field %s %s %s"):format(item.name,
            full(module, item.source, item.members[1].type), flat(item.text))
    end
    lines[#lines + 1] = "local M = {}\n"
    local out = { concat(lines, "\n") }
    for _, item in ipairs(module["table"]) do
        lines = { comment(item.text), ("---@class %s.%s"):format(module.name, item.name) }
        for _, member in ipairs(item.members) do
            lines[#lines + 1] = ("---@field %s%s %s %s"):format(member.name, member.optional and "?" or "",
                full(module, item.source, member.type), describe(member))
        end
        insert(out, concat(lines, "\n") .. "\n")
    end
    for _, item in ipairs(module["function"]) do
        for _, name in ipairs(item.names) do
            annotate_function(module, item, name, out)
        end
    end
    insert(out, "return M\n")
    return concat(out, "\n")
end

local INDEX = [[
# Reference

`make docs` writes this page, `lua` and `luacats` from the comments in the sources. `make lint` fails if they are stale.

| page | for |
|---|---|
| [endpoints](endpoints.md) | what the desktop gateway routes where, and its limits |
| [environment](environment.md) | every variable of the shipped configuration |
| [key files](keys.md) | which key and secret files each setting reads |
| [algorithms](conformance.md) | which algorithm works with which form of key, for each module and program |
| [failures](failures.md) | what a client sees when something fails, and what the log says |

| module | for |
|---|---|
%s

The header [include/route_native.h](../../include/route_native.h) documents the C ABI.

## Editors

[luacats](luacats) holds the same reference as LuaCATS annotations, as an addon of lua-language-server. Name its library
in the settings of your workspace:

```json
{ "workspace.library": ["/path/to/route_native/docs/reference/luacats/library"] }
```
]]

-- What lua-language-server reads of an addon: a file that names the module asks whether to use it.
local ADDON = [[
{
  "name": "route_native",
  "words": ["require[%s%(\"']+route_native"]
}
]]

local function write(path, text)
    local file = assert(io.open(os.getenv("REFERENCE_DIR") .. "/" .. path, "w"))
    file:write(text)
    file:close()
end

-- The file of a module's annotations, where `require` looks for it.
local function library_path(name)
    return "luacats/library/" .. name:gsub("%.", "/") .. ".lua"
end

-- LDoc calls it with its list of modules. The folders are there.
function _M.write(list)
    for _, module in ipairs(list) do
        module.file = module.file:gsub("^.*/lua/", "lua/")
        types[module.name] = module.name
        for _, item in ipairs(module.items) do
            if item.type == "table" then
                types[module.name .. "." .. item.name] = module.name .. "." .. item.name
            end
        end
    end
    local rows = {}
    for i, source in ipairs(list) do
        local module = read_module(source)
        write("lua/" .. module.name .. ".md", markdown(module))
        write(library_path(module.name), annotations(module))
        for j = 2, #module.names do
            write(library_path(module.names[j]), ("---@meta %s\n-- %s\n\nreturn require %q\n"):format(module.names[j],
                GENERATED:format(module.file), module.name))
        end
        rows[i] = ("| [`%s`](lua/%s.md) | %s |"):format(module.name, module.name, cell(first_sentence(module.text)))
    end
    write("README.md", INDEX:format(concat(rows, "\n")))
    write("luacats/config.json", ADDON)
end

return _M
