//! placeholder

#[cfg(feature = "tunnel")]
pub mod mux;
#[cfg(feature = "tunnel")]
pub mod tunnel;
