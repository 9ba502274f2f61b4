//! The claims of a token, with typed access to the registered ones (RFC 7519 §4.1).

use serde_json::{Map, Value};

use crate::error::Reason;

/// The latest time that is understood, in seconds since the epoch: the end of the year 9999.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// The claims of a token: the JSON text as it was signed, and its members.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// The payload as it was signed.
    pub json: Vec<u8>,
    /// The payload's members.
    pub members: Map<String, Value>,
}

impl Claims {
    /// A claim that must be a string. `Ok(None)` when it is absent.
    pub fn string(&self, name: &str) -> Result<Option<&str>, Reason> {
        match self.members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Reason::ClaimMalformed),
        }
    }

    /// A claim that must be a string or a list of strings, as `aud` is. `Ok(None)` when it is absent.
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

    /// The scopes, separated by blanks: those of `scope` (RFC 8693 §4.2, RFC 7662) and of `scp`, a string or a list each.
    /// lua/route_native/core/scopes.lua has the same rule.
    pub fn scopes(&self) -> Result<String, Reason> {
        let (scope, scp) = (self.strings("scope")?, self.strings("scp")?);
        Ok([scope, scp].into_iter().flatten().flatten().collect::<Vec<_>>().join(" "))
    }

    /// A NumericDate: seconds since the epoch, a fraction allowed, neither negative nor past the year 9999. `null`,
    /// strings and booleans are malformed, never taken as absent (CVE-2026-25537). `Ok(None)` when it is absent.
    pub fn numeric_date(&self, name: &str) -> Result<Option<f64>, Reason> {
        let Some(value) = self.members.get(name) else { return Ok(None) };
        match value.as_f64() {
            Some(seconds) if (0.0..=LAST_SECOND).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(Reason::ClaimMalformed),
        }
    }

    /// `exp` rounded down to a whole second, so that nothing lives a fraction longer than it may.
    pub fn expires_at(&self) -> Result<Option<i64>, Reason> {
        Ok(self.numeric_date("exp")?.map(|seconds| seconds.floor() as i64))
    }

    /// `nbf` rounded up to a whole second.
    pub fn not_before(&self) -> Result<Option<i64>, Reason> {
        Ok(self.numeric_date("nbf")?.map(|seconds| seconds.ceil() as i64))
    }
}
