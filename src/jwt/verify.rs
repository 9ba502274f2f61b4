//! Verification: signature first, then the claims that have to do with time.

use serde_json::Value;

use super::settings::Settings;
use super::{Claims, Compact};
use crate::error::{ConfigError, Reason};
use crate::keys::{Algorithm, KeySet};

/// What a token must satisfy besides its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Narrows the algorithms that the key allows. Default: `None`, all that the key allows.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Clock skew that is forgiven on `exp` and `nbf`, in seconds. Default: 5.
    pub leeway: u32,
    /// Whether a token without `exp` is refused. Default: true.
    pub require_exp: bool,
    /// When set, `iss` must be one of these. Default: `None`.
    pub issuers: Option<Vec<String>>,
    /// When set, `aud` must name one of these. Default: `None`, `aud` is not looked at.
    pub audiences: Option<Vec<String>>,
    /// Claims that must be there and not be null. Default: none.
    pub required: Vec<String>,
    /// When set, `exp` may lie at most so many seconds behind `iat`, and both must be there. Default: `None`.
    pub max_lifetime: Option<u32>,
    /// When set, `iat` must be there and lie at most so many seconds back, nor in the future. Default: `None`.
    pub max_age: Option<u32>,
    /// When set, the header's `typ` must be this one (RFC 8725 §3.11). Default: `None`.
    pub token_type: Option<String>,
}

impl Policy {
    /// The default of [`Policy::leeway`], in seconds.
    pub const DEFAULT_LEEWAY: u32 = 5;
    /// The largest leeway that is accepted as a setting, in seconds.
    pub const MAX_LEEWAY: u32 = 300;

    /// Reads a policy's JSON: `algorithms`, `leeway`, `require_exp`, `issuer`, `audience`, `required`, `max_lifetime`,
    /// `max_age`, `type`. A member that is none of them is an error.
    pub fn from_json(text: &[u8]) -> Result<Policy, ConfigError> {
        let mut given = Settings::parse(text, "policy field")?;
        let names = given.texts("algorithms")?;
        let algorithms = names.map(|names| names.iter().map(|name| given.algorithm(name)).collect()).transpose()?;
        let policy = Policy {
            algorithms,
            leeway: given.seconds("leeway", 0)?.unwrap_or(Self::DEFAULT_LEEWAY),
            require_exp: given.flag("require_exp")?.unwrap_or(true),
            issuers: given.texts("issuer")?,
            audiences: given.texts("audience")?,
            required: given.texts("required")?.unwrap_or_default(),
            max_lifetime: given.seconds("max_lifetime", 1)?,
            max_age: given.seconds("max_age", 1)?,
            token_type: given.text("type")?,
        };
        if policy.leeway > Self::MAX_LEEWAY {
            return Err(given.wrong("leeway", &format!("0 to {} seconds", Self::MAX_LEEWAY)));
        }
        given.finish()?;
        Ok(policy)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            algorithms: None,
            leeway: Self::DEFAULT_LEEWAY,
            require_exp: true,
            issuers: None,
            audiences: None,
            required: Vec::new(),
            max_lifetime: None,
            max_age: None,
            token_type: None,
        }
    }
}

/// Verifies `token` and returns its claims. `now` is in seconds since the epoch.
///
/// The claims are parsed only once the signature holds, so that an unauthenticated sender reaches no more of the
/// code than the header's parser and the signature check.
pub fn verify(token: &[u8], keys: &KeySet, policy: &Policy, now: i64) -> Result<Claims, Reason> {
    verify_compact(&Compact::parse(token)?, keys, policy, now)
}

/// [`verify`] for a token that has been taken apart already.
pub fn verify_compact(compact: &Compact, keys: &KeySet, policy: &Policy, now: i64) -> Result<Claims, Reason> {
    check_signature(compact, keys, policy)?;
    let claims = compact.unverified_claims()?;
    check_times(&claims, policy, now)?;
    check_type(compact, policy)?;
    check_demands(&claims, policy, now)?;
    Ok(claims)
}

/// Checks the signature: `AlgorithmNotAllowed`, `KeyNotFound` or `SignatureInvalid` when it does not hold.
pub fn check_signature(compact: &Compact, keys: &KeySet, policy: &Policy) -> Result<(), Reason> {
    let algorithm = compact.header.algorithm.ok_or(Reason::AlgorithmNotAllowed)?;
    if policy.algorithms.as_ref().is_some_and(|allowed| !allowed.iter().any(|name| name.same_as(algorithm))) {
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

/// Checks the header's `typ`, in any case and with or without `application/` (RFC 7515 §4.1.9).
fn check_type(compact: &Compact, policy: &Policy) -> Result<(), Reason> {
    let Some(wanted) = &policy.token_type else { return Ok(()) };
    let short = |name: &str| name.to_ascii_lowercase().trim_start_matches("application/").to_owned();
    match &compact.header.token_type {
        Some(found) if short(found) == short(wanted) => Ok(()),
        _ => Err(Reason::TypeNotAllowed),
    }
}

/// Checks what a policy may ask for beyond the times: issuer, audience, required claims, lifetime and age.
pub fn check_demands(claims: &Claims, policy: &Policy, now: i64) -> Result<(), Reason> {
    if let Some(issuers) = &policy.issuers {
        let issuer = claims.string("iss")?.ok_or(Reason::ClaimMissing)?;
        issuers.iter().any(|allowed| allowed == issuer).then_some(()).ok_or(Reason::IssuerNotAllowed)?;
    }
    if let Some(audiences) = &policy.audiences {
        let named = claims.strings("aud")?.ok_or(Reason::ClaimMissing)?;
        let ours = named.iter().any(|name| audiences.iter().any(|audience| audience == name));
        ours.then_some(()).ok_or(Reason::AudienceNotAllowed)?;
    }
    if policy.required.iter().any(|name| claims.members.get(name).is_none_or(Value::is_null)) {
        return Err(Reason::ClaimMissing);
    }
    if policy.max_lifetime.is_none() && policy.max_age.is_none() {
        return Ok(());
    }
    let issued_at = claims.numeric_date("iat")?.ok_or(Reason::ClaimMissing)?;
    let leeway = f64::from(policy.leeway);
    if let Some(most) = policy.max_lifetime {
        let expires_at = claims.numeric_date("exp")?.ok_or(Reason::ClaimMissing)?;
        if expires_at - issued_at > f64::from(most) {
            return Err(Reason::LifetimeTooLong);
        }
    }
    // A token from the future would be young forever.
    if issued_at > now as f64 + leeway {
        return Err(Reason::TokenNotYetValid);
    }
    match policy.max_age {
        Some(most) if now as f64 - issued_at > f64::from(most) + leeway => Err(Reason::TokenTooOld),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_object;

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
