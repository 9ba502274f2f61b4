//! The declarations for C and LuaJIT: they match src/ffi/, and both compilers accept them.

use route_native::ffi::rn_answer;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use mlua::Lua;

const HEADER: &str = "include/route_native.h";
const CDEF: &str = "lua/route_native/core/cdef.lua";

/// The text before the declarations in the Lua file. A Lua state accepts LuaJIT's declarations only once, but may load
/// the file again after `package.loaded` was cleared (lua_code_cache off, busted). The file therefore checks for them
/// first.
const LUA_HEAD: &str = "\
-- route_native's C ABI. Written by `make abi` from src/ffi/: change that, not this file.
local ffi = require \"ffi\"

-- Declared before, by an earlier load of this file: LuaJIT refuses a second time.
if pcall(ffi.typeof, \"rn_gateway\") then
    return true
end

ffi.cdef [[
";
const LUA_TAIL: &str = "]]

return true
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the header that cbindgen writes with a changed configuration.
fn bindings(change: impl FnOnce(&mut cbindgen::Config)) -> String {
    let mut config = cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    change(&mut config);
    // cbindgen follows the `mod` lines of src/ffi/mod.rs. src/error.rs has the statuses.
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(root().join("src/error.rs"))
        .with_src(root().join("src/ffi/mod.rs"))
        .generate()
        .expect("cbindgen reads the ABI");
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).expect("cbindgen writes UTF-8")
}

fn header() -> String {
    bindings(|_| {})
}

/// Returns the Lua file with the header's declarations.
fn cdef() -> String {
    let declarations = bindings(|config| {
        config.documentation = false;
        config.cpp_compat = false;
        config.include_guard = None;
        config.sys_includes.clear();
        config.header = None;
    });
    format!("{LUA_HEAD}{}{LUA_TAIL}", preprocessed(declarations.trim()))
}

/// Replaces preprocessor directives, which LuaJIT does not support. Constants become `static const`, and the branches
/// for C23 are removed.
fn preprocessed(declarations: &str) -> String {
    let (mut text, mut wanted) = (String::new(), true);
    for line in declarations.lines() {
        if let Some(rest) = line.strip_prefix("#define ") {
            let (name, value) = rest.split_once(' ').expect("a constant has a value");
            text.push_str(&format!("static const int {name} = {value};\n"));
        } else if let Some(directive) = line.strip_prefix('#') {
            assert!(
                ["else", "endif // __STDC_V", "if __STDC_V"].iter().any(|known| directive.starts_with(known)),
                "{line}"
            );
            wanted = !directive.starts_with("if");
        } else if wanted {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Compares a committed file with its expected text, or writes it if `UPDATE_ABI` is set.
fn up_to_date(file: &str, expected: &str) {
    let path = root().join(file);
    if env::var_os("UPDATE_ABI").is_some() {
        fs::create_dir_all(path.parent().expect("a file in a directory")).expect("the directory can be made");
        fs::write(&path, expected).expect("the file can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{file} does not match src/ffi/: run `make abi` and commit what it changes");
}

/// Returns the path of the library that was built with this test, in the directory of the test's program.
fn library() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    program.with_file_name(format!("{}route_native{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX))
}

fn luajit() -> Lua {
    // SAFETY: the unsafe part is the ffi library, which this file tests.
    unsafe { Lua::unsafe_new() }
}

#[test]
fn the_committed_header_matches_the_source() {
    up_to_date(HEADER, &header());
}

#[test]
fn the_committed_lua_declarations_match_the_source() {
    up_to_date(CDEF, &cdef());
}

#[test]
fn a_c_compiler_accepts_the_header() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("route_native.h");
    fs::write(&path, header()).expect("the header can be written");
    for arguments in [["-x", "c", "-std=c99"], ["-x", "c", "-std=c17"]] {
        let output = Command::new("cc")
            .args(arguments)
            .args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror"])
            .arg(&path)
            .output()
            .expect("cc is there: aws-lc is built with it");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_header_declares_every_export_and_opaque_handles() {
    let header = header();
    let files = fs::read_dir(root().join("src/ffi")).expect("the ABI's folder");
    let source: String =
        files.map(|file| fs::read_to_string(file.expect("a file").path()).expect("the source")).collect();
    let exports: Vec<_> = source.split("extern \"C\" fn ").skip(1).filter_map(|rest| rest.split('(').next()).collect();
    assert!(exports.len() >= 38, "{exports:?}");
    for export in exports {
        assert!(header.contains(&format!(" {export}(")), "{export}");
    }
    assert!(header.contains("typedef struct rn_gateway rn_gateway;"));
}

#[test]
fn luajit_loads_the_declarations_twice_and_calls_the_library() {
    let lua = luajit();
    for _ in 0..2 {
        assert!(lua.load(cdef()).eval::<bool>().expect("LuaJIT reads the declarations"));
    }
    lua.load(
        r#"
        local ffi = require "ffi"
        local path, size_of_answer = ...
        local C = ffi.load(path)
        assert(C.rn_abi_version() == C.RN_ABI_VERSION)
        assert(ffi.sizeof("rn_answer") == size_of_answer)
        assert(C.RN_REASON_TOKEN_EXPIRED == 109)

        local buffer, length = ffi.new("uint8_t[32]"), ffi.new("size_t[1]")
        assert(C.rn_reason_name(C.RN_REASON_TOKEN_EXPIRED, buffer, 32, length) == 0)
        assert(ffi.string(buffer, length[0]) == "token_expired")
        assert(C.rn_token_fingerprint("abc", 3, buffer) == 0)
        assert(ffi.string(buffer, 12) == "ba7816bf8f01")
        "#,
    )
    .call::<()>((library(), size_of::<rn_answer>()))
    .expect("LuaJIT calls the library through the declarations");
}

/// Returns the names that `declarations` define in LuaJIT: types, members of enums, constants and functions.
fn global_names(declarations: &str) -> Vec<String> {
    fn last_word(text: &str) -> String {
        text.trim().rsplit([' ', '*']).next().unwrap_or_default().to_owned()
    }
    let mut names = Vec::new();
    let (mut statement, mut depth) = (String::new(), 0);
    for letter in declarations.replace('\n', " ").chars() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        if letter != ';' || depth > 0 {
            statement.push(letter);
            continue;
        }
        let whole = std::mem::take(&mut statement);
        if let Some((head, rest)) = whole.split_once('{') {
            let (body, name) = rest.rsplit_once('}').expect("braces come in pairs");
            names.push(if name.trim().is_empty() { last_word(head) } else { last_word(name) });
            if head.contains("enum") {
                let members = body.split(',').filter_map(|member| member.split('=').next());
                names.extend(members.map(last_word).filter(|name| !name.is_empty()));
            }
        } else {
            names.push(last_word(whole.split(['(', '=']).next().unwrap_or_default()));
        }
    }
    names
}

#[test]
fn every_global_name_begins_with_rn() {
    let names = global_names(&cdef().replace(LUA_HEAD, "").replace(LUA_TAIL, ""));
    for known in ["rn_gateway", "rn_answer", "rn_gateway_new", "RN_ABI_VERSION", "RN_REASON_TOKEN_EXPIRED"] {
        assert!(names.iter().any(|name| name == known), "{known} is missing: {names:?}");
    }
    let others: Vec<_> = names.iter().filter(|name| !name.starts_with("rn_") && !name.starts_with("RN_")).collect();
    assert!(others.is_empty(), "{others:?}");
}
