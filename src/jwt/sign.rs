//! Signing: JWS in compact form (RFC 7515 §7.1) around claims.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::settings::Settings;
use super::{MAX_TOKEN_BYTES, Parts};
use crate::error::{ConfigError, Reason};
use crate::json::parse_object;
use crate::keys::{Algorithm, SigningKey};

/// What is put into a token besides its claims.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SignOptions {
    /// Default: the first that the key does.
    pub algorithm: Option<Algorithm>,
    /// The header's `kid`. Default: the key's.
    pub key_id: Option<String>,
    /// The header's `typ`. Default: `JWT`.
    pub token_type: Option<String>,
    /// Further members of the header.
    pub header: Map<String, Value>,
    /// `iss`. Default: whatever the claims say.
    pub issuer: Option<String>,
    /// Seconds from `iat`, which is now, to `exp`. Default: neither is set.
    pub lifetime: Option<u32>,
    /// Whether `jti` becomes 128 random bits in base64url.
    pub token_id: bool,
}

impl SignOptions {
    /// Reads the options' JSON: `algorithm`, `kid`, `typ`, `header`, `issuer`, `lifetime`, `jti`.
    pub fn from_json(text: &[u8]) -> Result<SignOptions, ConfigError> {
        let mut given = Settings::parse(text, "sign option")?;
        let issue = SignOptions {
            algorithm: given.text("algorithm")?.map(|name| given.algorithm(&name)).transpose()?,
            key_id: given.text("kid")?,
            token_type: given.text("typ")?,
            header: given.object("header")?.unwrap_or_default(),
            issuer: given.text("issuer")?,
            lifetime: given.seconds("lifetime", 1)?,
            token_id: given.flag("jti")?.unwrap_or(false),
        };
        if let Some(name) = ["alg", "kid", "typ"].iter().find(|name| issue.header.contains_key(**name)) {
            return Err(given.invalid(&format!("the header's {name} is set by an option of its own")));
        }
        given.finish()?;
        Ok(issue)
    }
}

/// Signs claims, given as the JSON text of one object, at the time `now`. What [`SignOptions`] sets replaces what the claims
/// say under the same name.
///
/// Errors: `ClaimMalformed` when the text is no JSON object, `KeyCannotSign`, `TokenTooLarge`, `HeaderUnsupported`.
pub fn sign(claims: &[u8], key: &SigningKey, issue: &SignOptions, now: i64) -> Result<String, Reason> {
    sign_within(claims, key, issue, now, MAX_TOKEN_BYTES)
}

/// As [`sign`], with another bound on the token's length.
pub fn sign_within(
    claims: &[u8],
    key: &SigningKey,
    issue: &SignOptions,
    now: i64,
    max_bytes: usize,
) -> Result<String, Reason> {
    let mut claims = parse_object(claims).ok_or(Reason::ClaimMalformed)?;
    if let Some(lifetime) = issue.lifetime {
        claims.insert("iat".into(), now.into());
        claims.insert("exp".into(), now.saturating_add(lifetime.into()).into());
    }
    if let Some(issuer) = &issue.issuer {
        claims.insert("iss".into(), issuer.as_str().into());
    }
    if issue.token_id {
        claims.insert("jti".into(), random_id()?.into());
    }
    let algorithm = issue.algorithm.or(key.algorithms().first().copied()).ok_or(Reason::KeyCannotSign)?;
    let mut header = issue.header.clone();
    header.insert("alg".into(), algorithm.name().into());
    header.insert("typ".into(), issue.token_type.as_deref().unwrap_or("JWT").into());
    if let Some(id) = issue.key_id.as_deref().or(key.id()) {
        header.insert("kid".into(), id.into());
    }
    let text = |object: &Map<String, Value>| serde_json::to_vec(object).map_err(|_| Reason::Internal);
    sign_parts_within(&text(&header)?, &text(&claims)?, key, max_bytes)
}

/// Signs a header and a payload as they are: the header is a JSON object whose `alg` the key does, the payload is any
/// bytes.
pub fn sign_parts(header: &[u8], payload: &[u8], key: &SigningKey) -> Result<String, Reason> {
    sign_parts_within(header, payload, key, MAX_TOKEN_BYTES)
}

fn sign_parts_within(header: &[u8], payload: &[u8], key: &SigningKey, max_bytes: usize) -> Result<String, Reason> {
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    // What is signed here must be something that would be read here.
    let algorithm = Parts::split_within(format!("{token}.").as_bytes(), max_bytes)?.header()?.algorithm;
    let signature = key.sign(algorithm.ok_or(Reason::KeyCannotSign)?, token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    if token.len() > max_bytes { Err(Reason::TokenTooLarge) } else { Ok(token) }
}

/// 128 random bits in base64url.
fn random_id() -> Result<String, Reason> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Reason::Internal)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
