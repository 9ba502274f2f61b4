//! The library stays loaded once it is loaded: LuaJIT may close it before it has run the finalizers of the handles
//! that came from it, when nginx drops a Lua state at a reload.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
