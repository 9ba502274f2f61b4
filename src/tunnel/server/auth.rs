//! The checks of a registration token, in addition to those of [`crate::jwt`].

use crate::{
    error::{ConfigError, Reason},
    jwt::{Claims, Policy, verify},
    keys::{Algorithm, Key, KeySet},
};
use serde_json::Value;

/// The longest time between `nbf` and `exp`, in seconds.
const MAX_LIFETIME: f64 = 31.0 * 86_400.0;

/// The reason for which a token is refused. It is logged and never sent to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// [`crate::jwt::verify`] refused the token.
    #[error("{0}")]
    Token(Reason),
    /// `nbf` is missing or 0, which the original treats as missing.
    #[error("nbf_missing")]
    NotBeforeMissing,
    /// `tid` is not the registered ID.
    #[error("tid_mismatch")]
    WrongTunnel,
    /// `nbf` and `exp` are more than 31 days apart.
    #[error("lifetime_too_long")]
    TooLong,
    /// The token is for another server, or it lacks the audience that this server requires.
    #[error("audience_mismatch")]
    WrongAudience,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::Token(reason)
    }
}

/// The secrets and the audience of a server.
pub struct Authority {
    secrets: KeySet,
    audience: Option<String>,
    policy: Policy,
}

impl Authority {
    /// Returns an authority that accepts tokens signed with either secret.
    pub fn new(secret_a: &[u8], secret_b: &[u8], audience: Option<String>) -> Result<Self, ConfigError> {
        Ok(Self {
            secrets: KeySet::new(vec![Key::from_secret(secret_a)?, Key::from_secret(secret_b)?])?,
            audience,
            // No leeway: the original requires issuers to set nbf in the past.
            policy: Policy { algorithms: Some(vec![Algorithm::HS256]), leeway: 0, ..Policy::default() },
        })
    }

    /// Checks a token for the registration of `id` at `now`. Returns its expiry. Both times are in seconds since the
    /// epoch.
    pub fn check(&self, token: &str, id: &str, now: i64) -> Result<i64, Refusal> {
        let claims = verify(token.as_bytes(), &self.secrets, &self.policy, now)?;
        let expires = claims.numeric_date("exp")?.ok_or(Reason::ClaimMissing)?;
        let not_before = match claims.numeric_date("nbf")? {
            Some(seconds) if seconds != 0.0 => seconds,
            _ => return Err(Refusal::NotBeforeMissing),
        };
        if claims.string("tid")? != Some(id) {
            return Err(Refusal::WrongTunnel);
        }
        if expires - not_before > MAX_LIFETIME {
            return Err(Refusal::TooLong);
        }
        self.check_audience(&claims)?;
        Ok(expires.floor() as i64)
    }

    /// Checks `aud`. A server without an audience refuses a token that has one, because it is for another server.
    fn check_audience(&self, claims: &Claims) -> Result<(), Refusal> {
        let named: Vec<&str> = match claims.members.get("aud") {
            None => Vec::new(),
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => {
                let texts: Option<Vec<&str>> = many.iter().map(Value::as_str).collect();
                texts.ok_or(Reason::ClaimMalformed)?
            }
            Some(_) => return Err(Refusal::Token(Reason::ClaimMalformed)),
        };
        let fits = match &self.audience {
            Some(audience) => named.contains(&audience.as_str()),
            None => named.iter().all(|name| name.is_empty()),
        };
        if fits { Ok(()) } else { Err(Refusal::WrongAudience) }
    }
}

/// Signs a registration token that is valid for `ttl` seconds. Sets `nbf` one minute in the past, because clocks may
/// differ. Returns `None` if servers would refuse the secret.
pub fn mint(secret: &[u8], id: &str, audience: Option<&str>, now: i64, ttl: u32) -> Option<String> {
    Key::from_secret(secret).ok()?;
    let mut claims = serde_json::json!({"tid": id, "iat": now, "nbf": now - 60, "exp": now + i64::from(ttl)});
    if let Some(audience) = audience {
        claims["aud"] = audience.into();
    }
    let key = jsonwebtoken::EncodingKey::from_secret(secret);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).ok()
}

/// Returns the token of an `Authorization` header: `Bearer`, one space, and only the characters of a JWT.
pub fn bearer_token(header: &str) -> Option<&str> {
    let token = header.strip_prefix("Bearer ")?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (!token.is_empty() && token.bytes().all(legal)).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    const A: &[u8] = b"secret A, at least 32 bytes long";
    const B: &[u8] = b"secret B, at least 32 bytes long";
    const NOW: i64 = 1_700_000_000;

    fn sign(secret: &[u8], claims: &Value) -> String {
        encode(&Header::default(), claims, &EncodingKey::from_secret(secret)).unwrap()
    }

    fn claims(change: Value) -> Value {
        let mut claims = json!({"tid": "c1", "exp": NOW + 60, "nbf": NOW - 60, "iat": NOW});
        for (name, value) in change.as_object().unwrap() {
            if value == "absent" {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    fn check(audience: Option<&str>, change: Value) -> Result<i64, Refusal> {
        let authority = Authority::new(A, B, audience.map(Into::into)).unwrap();
        authority.check(&sign(A, &claims(change)), "c1", NOW)
    }

    #[test]
    fn tokens_of_either_secret_and_of_no_other_are_accepted() {
        let authority = Authority::new(A, B, None).unwrap();
        for secret in [A, B] {
            assert_eq!(authority.check(&sign(secret, &claims(json!({}))), "c1", NOW), Ok(NOW + 60));
        }
        let stranger = sign(b"some other secret of 32 bytes...", &claims(json!({})));
        assert_eq!(authority.check(&stranger, "c1", NOW), Err(Reason::SignatureInvalid.into()));
    }

    #[test]
    fn a_minted_token_is_accepted() {
        let authority = Authority::new(A, B, Some("srv".into())).unwrap();
        assert_eq!(authority.check(&mint(A, "c1", Some("srv"), NOW, 60).unwrap(), "c1", NOW), Ok(NOW + 60));
    }

    #[test]
    fn a_missing_or_wrong_claim_is_refused() {
        let refused = |change| check(None, change).unwrap_err();
        assert_eq!(refused(json!({"exp": "absent"})), Reason::ClaimMissing.into());
        assert_eq!(refused(json!({"exp": "never"})), Reason::ClaimMalformed.into());
        assert_eq!(refused(json!({"exp": NOW})), Reason::TokenExpired.into());
        assert_eq!(refused(json!({"nbf": "absent"})), Refusal::NotBeforeMissing);
        assert_eq!(refused(json!({"nbf": 0})), Refusal::NotBeforeMissing);
        assert_eq!(refused(json!({"nbf": NOW + 1})), Reason::TokenNotYetValid.into());
        assert_eq!(refused(json!({"tid": "c2"})), Refusal::WrongTunnel);
        assert_eq!(refused(json!({"tid": "absent"})), Refusal::WrongTunnel);
        assert_eq!(refused(json!({"tid": 5})), Reason::ClaimMalformed.into());
    }

    #[test]
    fn a_token_may_live_for_thirty_one_days() {
        let days = 31 * 86_400;
        assert!(check(None, json!({"nbf": NOW - 1, "exp": NOW - 1 + days})).is_ok());
        assert_eq!(check(None, json!({"nbf": NOW - 1, "exp": NOW + days})), Err(Refusal::TooLong));
    }

    #[test]
    fn the_audience_of_a_token_must_be_the_servers() {
        let fine = [json!({"aud": "srv"}), json!({"aud": ["x", "srv"]})];
        let wrong = [json!({}), json!({"aud": ""}), json!({"aud": []}), json!({"aud": "x"}), json!({"aud": ["x"]})];
        for change in fine {
            assert!(check(Some("srv"), change.clone()).is_ok(), "{change}");
            assert_eq!(check(None, change), Err(Refusal::WrongAudience));
        }
        for change in wrong {
            assert_eq!(check(Some("srv"), change.clone()), Err(Refusal::WrongAudience), "{change}");
        }
        for change in [json!({"aud": 5}), json!({"aud": ["srv", 5]})] {
            assert_eq!(check(Some("srv"), change.clone()), Err(Reason::ClaimMalformed.into()), "{change}");
            assert_eq!(check(None, change), Err(Reason::ClaimMalformed.into()));
        }
        for change in [json!({}), json!({"aud": ""}), json!({"aud": []})] {
            assert!(check(None, change).is_ok());
        }
    }

    #[test]
    fn only_hs256_is_accepted() {
        let authority = Authority::new(&[7; 64], B, None).unwrap();
        for algorithm in [jsonwebtoken::Algorithm::HS384, jsonwebtoken::Algorithm::HS512] {
            let token =
                encode(&Header::new(algorithm), &claims(json!({})), &EncodingKey::from_secret(&[7; 64])).unwrap();
            assert_eq!(authority.check(&token, "c1", NOW), Err(Reason::AlgorithmNotAllowed.into()));
        }
    }

    #[test]
    fn a_key_id_in_the_header_is_ignored() {
        let header = Header { kid: Some("whatever".into()), ..Header::default() };
        let token = encode(&header, &claims(json!({})), &EncodingKey::from_secret(A)).unwrap();
        let authority = Authority::new(A, B, None).unwrap();
        assert_eq!(authority.check(&token, "c1", NOW), Ok(NOW + 60));
    }

    #[test]
    fn only_bearer_one_space_and_a_token_is_accepted() {
        assert_eq!(bearer_token("Bearer a.b-c_d"), Some("a.b-c_d"));
        for header in
            ["", "Bearer", "Bearer ", "bearer a.b.c", "Bearer  a", "Bearer a=", "Bearer a+b", "Bearer a b", "Basic a"]
        {
            assert_eq!(bearer_token(header), None, "{header}");
        }
    }
}
