//! Border sessions: ids, names and redirects. Sessions themselves are in a store, which Lua reads and writes.

pub mod login_body;
pub mod login_name;
pub mod redirect;
pub mod session_id;
