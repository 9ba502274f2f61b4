//! Verification of signed tokens: the signature, then the times, then the policy's further requirements.

use serde_json::Value;

use super::compact::media_type;
use super::{Claims, Compact};
use crate::error::{ConfigError, Reason};
use crate::keys::{Algorithm, Key, KeySet};
use crate::metrics::key_use;
use crate::settings::Settings;

/// The requirements of a token besides its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Narrows the key's algorithms. Default: `None`, which allows all of them.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Tolerated clock skew for `exp`, `nbf` and `iat`, in seconds. Default: 5.
    pub leeway: u32,
    /// Whether a token without `exp` is refused. Default: true.
    pub require_exp: bool,
    /// The allowed values of `iss`, which is then required. Default: `None`, which ignores `iss`.
    pub issuers: Option<Vec<String>>,
    /// The audiences of which `aud` must name one. Default: `None`, which ignores `aud`.
    pub audiences: Option<Vec<String>>,
    /// Claims that must be present and not be null. Default: empty.
    pub required: Vec<String>,
    /// The longest time from `iat` to `exp`, in seconds. Both are then required. Default: `None`.
    pub max_lifetime: Option<u32>,
    /// The longest time since `iat`, in seconds. `iat` is then required. Default: `None`.
    pub max_age: Option<u32>,
    /// The required `typ` of the header (RFC 8725 §3.11). Default: `None`, which ignores `typ`.
    pub token_type: Option<String>,
}

impl Policy {
    /// The default of [`Policy::leeway`], in seconds.
    pub const DEFAULT_LEEWAY: u32 = 5;
    /// The largest [`Policy::leeway`] of a setting, in seconds.
    pub const MAX_LEEWAY: u32 = 300;

    /// Parses a policy's JSON: `algorithms`, `leeway`, `require_exp`, `issuer`, `audience`, `required`, `max_lifetime`,
    /// `max_age`, `type`. An unknown member is an error.
    pub fn from_json(text: &[u8]) -> Result<Policy, ConfigError> {
        let mut settings = Settings::parse(text, "policy field")?;
        let names = settings.texts("algorithms")?;
        let algorithms = names.map(|names| names.iter().map(|name| settings.algorithm(name)).collect()).transpose()?;
        let policy = Policy {
            algorithms,
            leeway: settings.seconds("leeway", 0)?.unwrap_or(Self::DEFAULT_LEEWAY),
            require_exp: settings.flag("require_exp")?.unwrap_or(true),
            issuers: settings.texts("issuer")?,
            audiences: settings.texts("audience")?,
            required: settings.texts("required")?.unwrap_or_default(),
            max_lifetime: settings.seconds("max_lifetime", 1)?,
            max_age: settings.seconds("max_age", 1)?,
            token_type: settings.text("type")?,
        };
        if policy.leeway > Self::MAX_LEEWAY {
            return Err(settings.wrong("leeway", &format!("0 to {} seconds", Self::MAX_LEEWAY)));
        }
        settings.finish()?;
        Ok(policy)
    }
}

impl Policy {
    /// Checks that some key verifies an algorithm that the policy allows. Otherwise no token could ever pass.
    ///
    /// Errors: `SettingInvalid`.
    pub fn check_keys(&self, keys: &KeySet) -> Result<(), ConfigError> {
        let Some(allowed) = &self.algorithms else { return Ok(()) };
        let mut offered: Vec<Algorithm> = Vec::new();
        for algorithm in keys.keys().iter().flat_map(Key::algorithms) {
            if allowed.iter().any(|name| name.same_as(algorithm)) {
                return Ok(());
            } else if !offered.contains(&algorithm) {
                offered.push(algorithm);
            }
        }
        let list = |names: &[Algorithm]| names.iter().map(|name| name.name()).collect::<Vec<_>>().join(", ");
        let message = format!(
            "the policy field \"algorithms\" allows {}, and the keys verify only {}",
            list(allowed),
            list(&offered)
        );
        Err(ConfigError::new(Reason::SettingInvalid, message))
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

/// Verifies `token` and returns its claims (RFC 7519 §7.2). `now` is in seconds since the epoch.
///
/// The claims are parsed only after the signature is verified: an unauthenticated sender reaches the header's parser
/// and the signature check, and no other code.
///
/// Errors: the reasons 100 to 134.
pub fn verify(token: &[u8], keys: &KeySet, policy: &Policy, now: i64) -> Result<Claims, Reason> {
    verify_compact(&Compact::parse(token)?, keys, policy, now)
}

/// Verifies a parsed token, as [`verify`] does.
pub fn verify_compact(compact: &Compact, keys: &KeySet, policy: &Policy, now: i64) -> Result<Claims, Reason> {
    let key = check_signature(compact, keys, policy)?;
    let claims = Claims { key_id: key.id().map(str::to_owned), ..compact.unverified_claims()? };
    check_times(&claims, policy, now)?;
    check_type(compact, policy)?;
    check_requirements(&claims, policy, now)?;
    key_use::note(key.id(), now);
    Ok(claims)
}

/// Checks the signature alone. Returns the key that verified it.
///
/// Errors: `AlgorithmNotAllowed`, `KeyNotFound`, `SignatureInvalid`; `KeyUnsupported` when no key verifies an algorithm
/// that the policy allows, which is no token's fault.
pub fn check_signature<'a>(compact: &Compact, keys: &'a KeySet, policy: &Policy) -> Result<&'a Key, Reason> {
    let algorithm = compact.header.algorithm.ok_or(Reason::AlgorithmNotAllowed)?;
    if policy.algorithms.as_ref().is_some_and(|allowed| !allowed.iter().any(|name| name.same_as(algorithm))) {
        return Err(policy.check_keys(keys).map_or(Reason::KeyUnsupported, |()| Reason::AlgorithmNotAllowed));
    }
    let result = keys.verify(algorithm, compact.header.key_id.as_deref(), compact.signing_input, &compact.signature);
    match result {
        Err(Reason::AlgorithmNotAllowed) if policy.check_keys(keys).is_err() => Err(Reason::KeyUnsupported),
        result => result,
    }
}

fn check_times(claims: &Claims, policy: &Policy, now: i64) -> Result<(), Reason> {
    check_expiry(claims, policy, now)?;
    check_not_before(claims, policy, now)?;
    check_issued_at(claims)
}

/// Checks `exp`.
///
/// Errors: `ClaimMissing`, `ClaimMalformed`, `TokenExpired`.
pub fn check_expiry(claims: &Claims, policy: &Policy, now: i64) -> Result<(), Reason> {
    match claims.expires_at()? {
        None if policy.require_exp => Err(Reason::ClaimMissing),
        Some(at) if now >= at.saturating_add(policy.leeway.into()) => Err(Reason::TokenExpired),
        _ => Ok(()),
    }
}

/// Checks `nbf`, which may be absent.
///
/// Errors: `ClaimMalformed`, `TokenNotYetValid`.
pub fn check_not_before(claims: &Claims, policy: &Policy, now: i64) -> Result<(), Reason> {
    match claims.not_before()? {
        Some(at) if now.saturating_add(policy.leeway.into()) < at => Err(Reason::TokenNotYetValid),
        _ => Ok(()),
    }
}

/// Checks that `iat` is absent or a time. [`check_requirements`] limits its value.
///
/// Errors: `ClaimMalformed`.
pub fn check_issued_at(claims: &Claims) -> Result<(), Reason> {
    claims.numeric_date("iat").map(|_| ())
}

/// Checks the header's `typ`, in any case and with or without `application/` (RFC 7515 §4.1.9).
fn check_type(compact: &Compact, policy: &Policy) -> Result<(), Reason> {
    match &policy.token_type {
        Some(required) if compact.header.media_type() != Some(media_type(required)) => Err(Reason::TypeNotAllowed),
        _ => Ok(()),
    }
}

/// Checks the policy's requirements besides the times: issuer, audience, required claims, lifetime and age.
///
/// Errors: `ClaimMissing`, `ClaimMalformed`, `IssuerNotAllowed`, `AudienceNotAllowed`, `LifetimeTooLong`,
/// `TokenNotYetValid` for an `iat` in the future, `TokenTooOld`.
pub fn check_requirements(claims: &Claims, policy: &Policy, now: i64) -> Result<(), Reason> {
    if let Some(issuers) = &policy.issuers {
        let issuer = claims.string("iss")?.ok_or(Reason::ClaimMissing)?;
        issuers.iter().any(|allowed| allowed == issuer).then_some(()).ok_or(Reason::IssuerNotAllowed)?;
    }
    if let Some(audiences) = &policy.audiences {
        let names = claims.strings("aud")?.ok_or(Reason::ClaimMissing)?;
        let is_allowed = names.iter().any(|name| audiences.iter().any(|audience| audience == name));
        is_allowed.then_some(()).ok_or(Reason::AudienceNotAllowed)?;
    }
    if policy.required.iter().any(|name| claims.members.get(name).is_none_or(Value::is_null)) {
        return Err(Reason::ClaimMissing);
    }
    if policy.max_lifetime.is_none() && policy.max_age.is_none() {
        return Ok(());
    }
    let issued_at = claims.numeric_date("iat")?.ok_or(Reason::ClaimMissing)?;
    let leeway = f64::from(policy.leeway);
    if let Some(limit) = policy.max_lifetime {
        let expires_at = claims.numeric_date("exp")?.ok_or(Reason::ClaimMissing)?;
        if expires_at - issued_at > f64::from(limit) {
            return Err(Reason::LifetimeTooLong);
        }
    }
    // A token with an `iat` in the future would never exceed its age.
    if issued_at > now as f64 + leeway {
        return Err(Reason::TokenNotYetValid);
    }
    match policy.max_age {
        Some(limit) if now as f64 - issued_at > f64::from(limit) + leeway => Err(Reason::TokenTooOld),
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
        check_times(&Claims::of(json.as_bytes().to_vec(), members), &Policy::default(), NOW)
    }

    #[test]
    fn leeway_applies_to_the_second() {
        assert_eq!(times(&format!(r#"{{"exp":{}}}"#, NOW - 4)), Ok(()));
        assert_eq!(times(&format!(r#"{{"exp":{}}}"#, NOW - 5)), Err(Reason::TokenExpired));
        assert_eq!(times(&format!(r#"{{"exp":{}.9}}"#, NOW - 5)), Err(Reason::TokenExpired));
        assert_eq!(times(&format!(r#"{{"exp":{},"nbf":{}}}"#, NOW + 9, NOW + 5)), Ok(()));
        assert_eq!(times(&format!(r#"{{"exp":{},"nbf":{}}}"#, NOW + 9, NOW + 6)), Err(Reason::TokenNotYetValid));
        assert_eq!(times(&format!(r#"{{"exp":{},"nbf":{}.1}}"#, NOW + 9, NOW + 5)), Err(Reason::TokenNotYetValid));
    }

    #[test]
    fn a_claim_of_the_wrong_type_is_malformed_and_not_absent() {
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
