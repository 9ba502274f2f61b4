//! placeholder

#[cfg(feature = "tunnel")]
pub mod mux;
