//! The boundary between LuaJIT and the library, without nginx: lua/route_native.lua with the built cdylib.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mlua::{Error, Function, Lua, Table, Value};
use rand::rngs::OsRng;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rsa::sha2::Sha256;
use rsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns the directory of the library that was built with this test: target/release/deps, or its parent.
fn library_directory() -> PathBuf {
    let executable = env::current_exe().expect("the test's own path");
    let found = executable.ancestors().skip(1).take(2).find(|place| place.join("libroute_native.so").exists());
    found.unwrap_or_else(|| panic!("no libroute_native.so next to or above {}", executable.display())).to_owned()
}

/// Returns a LuaJIT state with our modules, and with the library in `cpath`.
fn lua(cpath: &Path) -> Lua {
    // SAFETY: the modules need `ffi` and `debug`, which mlua regards as unsafe. Only our own code runs.
    let lua = unsafe { Lua::unsafe_new() };
    let package: Table = lua.globals().get("package").expect("package");
    package.set("path", format!("{ROOT}/lua/?.lua")).expect("a path");
    package.set("cpath", format!("{}/?.so", cpath.display())).expect("a path");
    // The environment's path comes last, for lua-cjson.
    let rest =
        "/usr/lib/x86_64-linux-gnu/lua/5.1/?.so;/usr/lib/aarch64-linux-gnu/lua/5.1/?.so;/usr/local/lib/lua/5.1/?.so";
    lua.load(format!("package.cpath = package.cpath .. ';{rest}'")).exec().expect("a path");
    lua
}

fn module(lua: &Lua) -> Table {
    lua.load("return require 'route_native'").eval().expect("the module loads")
}

/// Returns the first line of an error's message.
fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    let text = result.expect_err("an error").to_string();
    let line = text.lines().find(|line| line.contains("route_native:")).unwrap_or_else(|| panic!("{text}"));
    line.trim_start_matches("runtime error: ").to_owned()
}

/// Key files, and tokens of the `rsa` crate, which shares no code with the library.
struct Keys {
    directory: TempDir,
    signing: SigningKey<Sha256>,
    payload: RsaPrivateKey,
}

impl Keys {
    fn new() -> Keys {
        let directory = tempfile::tempdir().expect("a directory");
        let signing = RsaPrivateKey::new(&mut OsRng, 2048).expect("a key");
        let payload = RsaPrivateKey::new(&mut OsRng, 2048).expect("a key");
        let public = signing.to_public_key().to_public_key_pem(LineEnding::LF).expect("PEM");
        let private = payload.to_pkcs8_pem(LineEnding::LF).expect("PEM");
        fs::write(directory.path().join("signing.pem"), public).expect("written");
        fs::write(directory.path().join("payload.pem"), private.as_bytes()).expect("written");
        Keys { directory, signing: SigningKey::new(signing), payload }
    }

    fn options(&self, lua: &Lua) -> Table {
        let options = lua.create_table().expect("a table");
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        options.set("signing_key", path("signing.pem")).expect("set");
        options.set("payload_key", path("payload.pem")).expect("set");
        options
    }

    fn hash(&self, target: &str) -> String {
        let public = self.payload.to_public_key();
        STANDARD.encode(public.encrypt(&mut OsRng, Pkcs1v15Encrypt, target.as_bytes()).expect("encrypted"))
    }

    fn token(&self, claims: &str) -> String {
        let input =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signing.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Calls a function of the module with one argument. Returns its first two results.
fn call(module: &Table, name: &str, argument: &str) -> (Value, Option<String>) {
    module.get::<Function>(name).expect(name).call(argument).expect("bad input is an answer and no error")
}

fn reason(module: &Table, name: &str, argument: &str) -> String {
    let (value, reason) = call(module, name, argument);
    assert!(value.is_nil(), "{name} accepted {argument}");
    reason.expect("a reason")
}

#[test]
fn lua_verifies_and_decrypts_with_the_library() {
    let (keys, lua) = (Keys::new(), lua(&library_directory()));
    let module = module(&lua);
    assert_eq!(module.get::<String>("_VERSION").expect("a version"), env!("CARGO_PKG_VERSION"));
    let (loaded, error): (bool, Option<String>) =
        module.get::<Function>("setup").expect("setup").call(keys.options(&lua)).expect("keys load");
    assert_eq!((loaded, error), (true, None));

    let exp = now() + 300;
    let (claims, none) = call(&module, "verify", &keys.token(&format!(r#"{{"exp":{exp},"sub":"me","n":[1,2]}}"#)));
    let claims = claims.as_table().expect("a table of claims").clone();
    assert_eq!(none, None);
    assert_eq!(claims.get::<String>("sub").expect("sub"), "me");
    assert_eq!(claims.get::<u64>("exp").expect("exp"), exp);
    assert_eq!(claims.get::<Vec<u32>>("n").expect("n"), [1, 2]);

    for (claims, expected) in [
        (format!(r#"{{"exp":{}}}"#, now() - 60), "token_expired"),
        (format!(r#"{{"exp":{exp},"nbf":{}}}"#, now() + 60), "token_not_yet_valid"),
        (r#"{"exp":"never"}"#.to_owned(), "claim_malformed"),
        (r#"{"sub":"me"}"#.to_owned(), "claim_missing"),
        (r#"{"exp":1,"exp":9999999999}"#.to_owned(), "token_malformed"),
    ] {
        assert_eq!(reason(&module, "verify", &keys.token(&claims)), expected, "{claims}");
    }
    let stranger = Keys::new().token(&format!(r#"{{"exp":{exp}}}"#));
    for (text, expected) in [
        (stranger.as_str(), "signature_invalid"),
        ("", "token_missing"),
        ("a.b", "token_malformed"),
        ("\0.\0.\0", "token_malformed"),
        (&"a".repeat(20_000), "token_too_large"),
    ] {
        assert_eq!(reason(&module, "verify", text), expected);
    }

    let (target, none) = call(&module, "decrypt", &keys.hash("Pod-7.desktop.test"));
    assert_eq!(target.to_string().ok().as_deref(), Some("pod-7.desktop.test"));
    assert_eq!(none, None);
    for hash in [keys.hash("127.0.0.1:22"), keys.hash("a/../b"), keys.hash(""), "not base64".into(), String::new()] {
        assert_eq!(reason(&module, "decrypt", &hash), "payload_invalid");
    }
}

#[test]
fn misuse_raises_an_error_and_a_missing_key_returns_one() {
    let (keys, lua) = (Keys::new(), lua(&library_directory()));
    let module = module(&lua);
    let setup: Function = module.get("setup").expect("setup");
    let changed = |name: &str, value: &str| {
        let options = keys.options(&lua);
        options.set(name, value).expect("set");
        setup.call::<(bool, Option<String>)>(options)
    };
    let before = module.get::<Function>("verify").expect("verify").call::<Value>("x");
    assert!(message(before).ends_with("route_native: setup() has not loaded any keys"));

    let (loaded, error) = changed("signing_key", "/nonexistent/key.pem").expect("no error");
    assert!(!loaded && error.expect("a message").contains("the key file /nonexistent/key.pem cannot be read"));

    for (name, value, expected) in [
        ("leeway", "abc", r#"route_native: the field "leeway" must be a whole number of seconds from 0 to 300"#),
        ("leeway", "301", r#"route_native: the field "leeway" must be a whole number of seconds from 0 to 300"#),
        (
            "payload_padding",
            "none",
            r#"route_native: the field "payload_padding" must be "pkcs1v15", "oaep-sha1" or "oaep-sha256""#,
        ),
        ("target_suffix", "a b", r#"route_native: the field "target_suffix" must be a host name"#),
        ("no_such_option", "x", r#"route_native: there is no field "no_such_option""#),
    ] {
        assert_eq!(message(changed(name, value)), expected);
    }
    let private = keys.directory.path().join("payload.pem").display().to_string();
    let error = message(changed("signing_key", &private));
    assert!(error.contains(&private) && error.contains("holds a private key"), "{error}");

    for name in ["verify", "decrypt"] {
        let result = module.get::<Function>(name).expect(name).call::<Value>(7);
        assert!(message(result).ends_with(&format!("route_native: {name}() takes a string")));
    }
}

#[test]
fn the_settings_of_setup_are_used() {
    let (keys, lua) = (Keys::new(), lua(&library_directory()));
    let module = module(&lua);
    let options = keys.options(&lua);
    options.set("target_suffix", "desktop.test").expect("set");
    options.set("leeway", 0).expect("set");
    module.get::<Function>("setup").expect("setup").call::<bool>(options).expect("keys load");
    assert!(call(&module, "decrypt", &keys.hash("a.desktop.test")).1.is_none());
    assert_eq!(reason(&module, "decrypt", &keys.hash("127.0.0.1")), "payload_invalid");
    let just_expired = keys.token(&format!(r#"{{"exp":{}}}"#, now() - 1));
    assert_eq!(reason(&module, "verify", &just_expired), "token_expired");
}

#[test]
fn a_handle_survives_garbage_collection_and_a_second_setup() {
    let (keys, lua) = (Keys::new(), lua(&library_directory()));
    let module = module(&lua);
    let token = keys.token(&format!(r#"{{"exp":{}}}"#, now() + 300));
    for _ in 0..20 {
        module.get::<Function>("setup").expect("setup").call::<bool>(keys.options(&lua)).expect("keys load");
        lua.gc_collect().expect("a full collection");
        assert!(call(&module, "verify", &token).1.is_none());
    }
}

#[test]
fn a_missing_or_broken_library_is_one_message() {
    // cargo adds the built library to the loader's path, which is read when a process starts.
    if env::var_os("LD_LIBRARY_PATH").is_some() {
        let mut child = Command::new(env::current_exe().expect("the test's own path"));
        child.args(["--exact", "a_missing_or_broken_library_is_one_message"]).env_remove("LD_LIBRARY_PATH");
        let output = child.output().expect("the test runs once more");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let empty = tempfile::tempdir().expect("a directory");
    let load = || lua(empty.path()).load("require 'route_native'").exec();
    assert!(message(load()).starts_with(
        "route_native: libroute_native.so is neither next to route_native.lua, nor on lua_package_cpath, nor known"
    ));
    let broken = empty.path().join("libroute_native.so");
    fs::write(&broken, "this is text").expect("written");
    assert!(message(load()).starts_with(&format!("route_native: {} cannot be loaded", broken.display())));
}
