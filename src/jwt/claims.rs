//! A token's claims, with typed access to the registered ones (RFC 7519 §4.1).

use serde_json::{Map, Value};

use crate::error::Reason;

/// The latest accepted time, in seconds since the epoch: the end of the year 9999.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// A token's claims, as JSON text and parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// The JSON text that was signed.
    pub json: Vec<u8>,
    /// The members of the JSON object.
    pub members: Map<String, Value>,
    /// The `kid` of the key that verified the token, and not the one that the token's header names. `None` if the token
    /// is not verified or the key has no id.
    pub key_id: Option<String>,
}

impl Claims {
    /// Returns claims that nobody has verified.
    pub fn of(json: Vec<u8>, members: Map<String, Value>) -> Claims {
        Claims { json, members, key_id: None }
    }

    /// Returns a claim that must be a string, or `Ok(None)` when it is absent.
    ///
    /// Errors: `ClaimMalformed`.
    pub fn string(&self, name: &str) -> Result<Option<&str>, Reason> {
        match self.members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Reason::ClaimMalformed),
        }
    }

    /// Returns a claim that must be a string or a list of strings, as `aud` is, or `Ok(None)` when it is absent.
    ///
    /// Errors: `ClaimMalformed`.
    pub fn strings(&self, name: &str) -> Result<Option<Vec<&str>>, Reason> {
        match self.members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(vec![text])),
            Some(Value::Array(items)) => {
                let texts: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
                texts.map(Some).ok_or(Reason::ClaimMalformed)
            }
            Some(_) => Err(Reason::ClaimMalformed),
        }
    }

    /// Returns the scopes, separated by spaces: those of `scope` (RFC 8693 §4.2, RFC 7662 §2.2) and of `scp`, each a
    /// string or a list. lua/route_native/core/scopes.lua implements the same rule.
    ///
    /// Errors: `ClaimMalformed`.
    pub fn scopes(&self) -> Result<String, Reason> {
        let (scope, scp) = (self.strings("scope")?, self.strings("scp")?);
        Ok([scope, scp].into_iter().flatten().flatten().collect::<Vec<_>>().join(" "))
    }

    /// Returns a NumericDate (RFC 7519 §2) in seconds since the epoch, from 0 to the year 9999 and with an optional
    /// fraction, or `Ok(None)` when it is absent.
    ///
    /// Errors: `ClaimMalformed`, also for `null`, a string or a boolean, which must not pass as absent
    /// (CVE-2026-25537).
    pub fn numeric_date(&self, name: &str) -> Result<Option<f64>, Reason> {
        let Some(value) = self.members.get(name) else { return Ok(None) };
        match value.as_f64() {
            Some(seconds) if (0.0..=LAST_SECOND).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(Reason::ClaimMalformed),
        }
    }

    /// Returns `exp` in seconds since the epoch, rounded down: a token never outlives its `exp`.
    pub fn expires_at(&self) -> Result<Option<i64>, Reason> {
        Ok(self.numeric_date("exp")?.map(|seconds| seconds.floor() as i64))
    }

    /// Returns `nbf` in seconds since the epoch, rounded up.
    pub fn not_before(&self) -> Result<Option<i64>, Reason> {
        Ok(self.numeric_date("nbf")?.map(|seconds| seconds.ceil() as i64))
    }
}
