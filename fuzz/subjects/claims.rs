//! Claims as Lua reads, writes and forwards them: lua/route_native/core/digits.lua and claim_headers.lua.

use std::path::Path;

use mlua::{Function, Lua, Table};
use route_native::json::parse_object;

use super::json::{Json, keeps_digits};
use super::{Input, decoded, json};

/// Runs the modules without nginx: what claim_headers.lua needs of it serves set() and clear() alone.
const MODULES: &str = r#"
    ngx = {}
    package.preload["route_native.core.kept"] = function() return {} end
    local digits = require "route_native.core.digits"
    local headers = require "route_native.core.claim_headers"
    return {
        again = function(json)
            local value = digits.decode(json)
            return value ~= nil and digits.encode_decoded(value) or nil
        end,
        header = function(json)
            local value = digits.decode(json)
            return headers.encode(value.claim)
        end,
        number = function(number) return (digits.encode { n = number }) end,
    }
"#;

thread_local! {
    static LUA: (Lua, Table) = load();
}

fn load() -> (Lua, Table) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|place| place.join("lua/route_native").is_dir())
        .expect("the folder lua/ of the checkout");
    // SAFETY: the modules need no more than the standard libraries and cjson. Only our own code runs.
    let lua = unsafe { Lua::unsafe_new() };
    let cpath = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/lib"];
    let cpath: String = cpath.iter().map(|place| format!(";{place}/lua/5.1/?.so")).collect();
    let paths = format!(
        "package.path = '{}/lua/?.lua;' .. package.path; package.cpath = package.cpath .. '{cpath}'",
        root.display()
    );
    lua.load(paths).exec().expect("the paths are set");
    let modules = lua.load(MODULES).eval().expect("the modules load");
    (lua, modules)
}

/// Calls a function of MODULES. An error in Lua is a fault.
pub fn call<T: mlua::FromLuaMulti>(name: &str, argument: impl mlua::IntoLuaMulti) -> T {
    LUA.with(|(_, modules)| {
        let function: Function = modules.get(name).expect(name);
        function.call(argument).unwrap_or_else(|error| panic!("{name}: {error}"))
    })
}

/// Checks that a claim has the digits that were signed wherever it appears, and that its header can be read again and
/// holds nothing but visible characters.
pub fn claims(input: &[u8]) {
    let mut input = Input(input);
    if input.byte() & 1 == 1 {
        return program(f64::from_le_bytes(input.bytes(8).try_into().unwrap_or_default()));
    }
    let (escapes, claim) = (input.byte() & 1 == 1, json::value(&mut input, 4));
    let all = Json::Object(vec![("claim".into(), claim.clone())]);
    let text = all.write(escapes);
    // The library checks a text before Lua reads it.
    if parse_object(text.as_bytes()).is_none() {
        return;
    }
    let again: String = call::<Option<String>>("again", text.as_str()).expect("JSON");
    assert!(all.is_kept_in(&Json::parse(&again), true), "{text} became {again}");
    let header: Option<mlua::LuaString> = call("header", text.as_str());
    let header = header.map(|header| header.as_bytes().to_vec());
    if let Some(header) = &header {
        let shown = String::from_utf8_lossy(header);
        assert!(header.iter().all(|byte| (b'!'..=b'~').contains(byte)), "{text} became {shown}");
    }
    match (&claim, header) {
        (Json::List(items), Some(header)) if !items.is_empty() => {
            let items: Vec<_> = items.iter().filter(|item| !is_empty(item)).collect();
            let texts: Vec<_> = header.split(|byte| *byte == b',').collect();
            if items.is_empty() {
                assert_eq!(header, b"");
            } else {
                assert_eq!(items.len(), texts.len(), "{text}");
                items.iter().zip(texts).for_each(|(item, text)| assert_one(item, text));
            }
        }
        (claim, None) => assert!(is_empty(claim), "{text} has no header"),
        (claim, Some(header)) => assert_one(claim, &header),
    }
}

/// Returns whether a claim has no text.
fn is_empty(claim: &Json) -> bool {
    match claim {
        Json::Null => true,
        Json::List(items) => items.is_empty(),
        Json::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Checks the text of one value in a header.
fn assert_one(claim: &Json, header: &[u8]) {
    let plain = String::from_utf8(decoded(header)).expect("UTF-8");
    let is_kept = match claim {
        Json::Number(signed) => keeps_digits(signed, &plain),
        Json::Text(text) => *text == plain,
        Json::Bool(value) => value.to_string() == plain,
        claim => claim.is_kept_in(&Json::parse(&plain), true),
    };
    assert!(is_kept, "{} became {plain}", claim.write(false));
}

/// Checks that a program's number is written as itself or not at all.
fn program(number: f64) {
    let written: Option<String> = call("number", number);
    let is_exact = number.abs() <= 9_007_199_254_740_991.0;
    assert_eq!(written.is_some(), is_exact, "{number:?} became {written:?}");
    if let Some(written) = written {
        let text = written.trim_start_matches("{\"n\":").trim_end_matches('}');
        assert_eq!(text.parse::<f64>().ok(), Some(number), "{written}");
    }
}
