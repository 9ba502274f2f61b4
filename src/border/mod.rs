//! Border sessions: ids, login names, login bodies and redirects. Lua reads and writes the store with the sessions.

pub mod login_body;
pub mod login_name;
pub mod redirect;
pub mod session_id;
