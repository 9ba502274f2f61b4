//! Verification: signature first, then the claims that have to do with time.

use super::{Algorithm, Claims, Compact, KeySet};
use crate::error::Reason;

/// What a token must satisfy besides its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Narrows the algorithms that the key allows. Default: `None`, all that the key allows.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Clock skew that is forgiven on `exp` and `nbf`, in seconds. Default: 5.
    pub leeway: u32,
    /// Whether a token without `exp` is refused. Default: true.
    pub require_exp: bool,
}

impl Policy {
    /// The default of [`Policy::leeway`], in seconds.
    pub const DEFAULT_LEEWAY: u32 = 5;
    /// The largest leeway that is accepted as a setting, in seconds.
    pub const MAX_LEEWAY: u32 = 300;
}

impl Default for Policy {
    fn default() -> Self {
        Policy { algorithms: None, leeway: Self::DEFAULT_LEEWAY, require_exp: true }
    }
}

/// Verifies `token` and returns its claims. `now` is in seconds since the epoch.
///
/// The claims are parsed only once the signature holds, so that an unauthenticated sender reaches no more of the
/// code than the header's parser and the signature check.
pub fn verify(token: &[u8], keys: &KeySet, policy: &Policy, now: i64) -> Result<Claims, Reason> {
    let compact = Compact::parse(token)?;
    check_signature(&compact, keys, policy)?;
    let claims = compact.unverified_claims()?;
    check_times(&claims, policy, now)?;
    Ok(claims)
}

/// Checks the signature: `AlgorithmNotAllowed`, `KeyNotFound` or `SignatureInvalid` when it does not hold.
pub fn check_signature(compact: &Compact, keys: &KeySet, policy: &Policy) -> Result<(), Reason> {
    let algorithm = compact.header.algorithm.ok_or(Reason::AlgorithmNotAllowed)?;
    if policy.algorithms.as_ref().is_some_and(|allowed| !allowed.contains(&algorithm)) {
        return Err(Reason::AlgorithmNotAllowed);
    }
    keys.verify(algorithm, compact.header.key_id.as_deref(), compact.signing_input, &compact.signature)
}

fn check_times(claims: &Claims, policy: &Policy, now: i64) -> Result<(), Reason> {
    check_expiry(claims, policy, now)?;
    check_not_before(claims, policy, now)?;
    check_issued_at(claims)
}

/// Checks `exp`: `ClaimMissing`, `ClaimMalformed` or `TokenExpired` when it does not hold.
pub fn check_expiry(claims: &Claims, policy: &Policy, now: i64) -> Result<(), Reason> {
    match claims.expires_at()? {
        None if policy.require_exp => Err(Reason::ClaimMissing),
        Some(at) if now >= at.saturating_add(policy.leeway.into()) => Err(Reason::TokenExpired),
        _ => Ok(()),
    }
}

/// Checks `nbf`: `ClaimMalformed` or `TokenNotYetValid` when it does not hold.
pub fn check_not_before(claims: &Claims, policy: &Policy, now: i64) -> Result<(), Reason> {
    match claims.not_before()? {
        Some(at) if now.saturating_add(policy.leeway.into()) < at => Err(Reason::TokenNotYetValid),
        _ => Ok(()),
    }
}

/// Checks that `iat` is a time, when it is there: `ClaimMalformed` otherwise. When it was is nobody's business.
pub fn check_issued_at(claims: &Claims) -> Result<(), Reason> {
    claims.numeric_date("iat").map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::json::parse_object;
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn times(json: &str) -> Result<(), Reason> {
        let members = parse_object(json.as_bytes()).ok_or(Reason::TokenMalformed)?;
        check_times(&Claims { json: json.as_bytes().to_vec(), members }, &Policy::default(), NOW)
    }

    #[test]
    fn leeway_is_forgiven_to_the_second() {
        assert_eq!(times(&format!(r#"{{"exp":{}}}"#, NOW - 4)), Ok(()));
        assert_eq!(times(&format!(r#"{{"exp":{}}}"#, NOW - 5)), Err(Reason::TokenExpired));
        assert_eq!(times(&format!(r#"{{"exp":{}.9}}"#, NOW - 5)), Err(Reason::TokenExpired));
        assert_eq!(times(&format!(r#"{{"exp":{},"nbf":{}}}"#, NOW + 9, NOW + 5)), Ok(()));
        assert_eq!(times(&format!(r#"{{"exp":{},"nbf":{}}}"#, NOW + 9, NOW + 6)), Err(Reason::TokenNotYetValid));
        assert_eq!(times(&format!(r#"{{"exp":{},"nbf":{}.1}}"#, NOW + 9, NOW + 5)), Err(Reason::TokenNotYetValid));
    }

    #[test]
    fn a_claim_of_the_wrong_type_is_never_taken_as_absent() {
        assert_eq!(times("{}"), Err(Reason::ClaimMissing));
        for bad in ["\"never\"", "null", "true", "-1", "[]", "{}", "1e300", "\"1900000000\"", "18446744073709551615"] {
            for claim in ["exp", "nbf", "iat"] {
                let json = match claim {
                    "exp" => format!(r#"{{"exp":{bad}}}"#),
                    other => format!(r#"{{"exp":{},"{other}":{bad}}}"#, NOW + 9),
                };
                assert_eq!(times(&json), Err(Reason::ClaimMalformed), "{json}");
            }
        }
        assert_eq!(times(r#"{"exp":1e400}"#), Err(Reason::TokenMalformed));
    }
}
