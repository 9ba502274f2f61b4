//! Signing: claims or any payload as compact JWS (RFC 7515 §7.1).

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{MAX_TOKEN_BYTES, Parts};
use crate::error::{ConfigError, Reason};
use crate::json::{has_lost_digits, parse_object};
use crate::keys::{Algorithm, SigningKey};
use crate::settings::Settings;

/// The settings of a token to sign.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SignOptions {
    /// The header's `alg`. Default: the key's first algorithm.
    pub algorithm: Option<Algorithm>,
    /// The header's `kid`. Default: the key's.
    pub key_id: Option<String>,
    /// The header's `typ`. Default: `JWT`.
    pub token_type: Option<String>,
    /// Further parameters of the header.
    pub header: Map<String, Value>,
    /// The claim `iss`. Default: that of the claims.
    pub issuer: Option<String>,
    /// The lifetime in seconds: sets `iat` to now and `exp` to its end. Default: those of the claims.
    pub lifetime: Option<u32>,
    /// Whether to set `jti` to 128 random bits in base64url.
    pub token_id: bool,
}

impl SignOptions {
    /// Parses the options' JSON: `algorithm`, `kid`, `typ`, `header`, `issuer`, `lifetime`, `jti`. An unknown member is
    /// an error.
    pub fn from_json(text: &[u8]) -> Result<SignOptions, ConfigError> {
        let mut settings = Settings::parse(text, "sign option")?;
        let options = SignOptions {
            algorithm: settings.text("algorithm")?.map(|name| settings.algorithm(&name)).transpose()?,
            key_id: settings.text("kid")?,
            token_type: settings.text("typ")?,
            header: settings.object("header")?.unwrap_or_default(),
            issuer: settings.text("issuer")?,
            lifetime: settings.seconds("lifetime", 1)?,
            token_id: settings.flag("jti")?.unwrap_or(false),
        };
        if let Some(name) = ["alg", "kid", "typ"].iter().find(|name| options.header.contains_key(**name)) {
            return Err(settings.invalid(&format!("the header's {name} is set by an option of its own")));
        }
        settings.finish()?;
        Ok(options)
    }
}

/// Signs claims, the JSON text of one object, and returns the token of at most [`MAX_TOKEN_BYTES`]. `now` is in seconds
/// since the epoch. The options replace claims of the same name.
///
/// Errors: `ClaimMalformed` when the text is not a JSON object or has a number whose digits would be lost, `KeyCannotSign`, `TokenTooLarge`, `HeaderUnsupported`.
pub fn sign(claims: &[u8], key: &SigningKey, options: &SignOptions, now: i64) -> Result<String, Reason> {
    sign_within(claims, key, options, now, MAX_TOKEN_BYTES)
}

/// Signs a token of at most `max_bytes`, as [`sign`] does.
pub fn sign_within(
    claims: &[u8],
    key: &SigningKey,
    options: &SignOptions,
    now: i64,
    max_bytes: usize,
) -> Result<String, Reason> {
    let mut claims = parse_object(claims).ok_or(Reason::ClaimMalformed)?;
    if claims.values().any(has_lost_digits) {
        return Err(Reason::ClaimMalformed);
    }
    if let Some(lifetime) = options.lifetime {
        claims.insert("iat".into(), now.into());
        claims.insert("exp".into(), now.saturating_add(lifetime.into()).into());
    }
    if let Some(issuer) = &options.issuer {
        claims.insert("iss".into(), issuer.as_str().into());
    }
    if options.token_id {
        claims.insert("jti".into(), random_id()?.into());
    }
    let algorithm = options.algorithm.or(key.algorithms().first().copied()).ok_or(Reason::KeyCannotSign)?;
    let mut header = options.header.clone();
    header.insert("alg".into(), algorithm.name().into());
    header.insert("typ".into(), options.token_type.as_deref().unwrap_or("JWT").into());
    if let Some(id) = options.key_id.as_deref().or(key.id()) {
        header.insert("kid".into(), id.into());
    }
    let text = |object: &Map<String, Value>| serde_json::to_vec(object).map_err(|_| Reason::Internal);
    sign_parts_within(&text(&header)?, &text(&claims)?, key, max_bytes)
}

/// Signs an unchanged header and payload and returns the token. The header is a JSON object with an `alg` that the key
/// allows; the payload is any bytes.
///
/// Errors: `TokenMalformed`, `HeaderUnsupported`, `KeyCannotSign`, `TokenTooLarge`.
pub fn sign_parts(header: &[u8], payload: &[u8], key: &SigningKey) -> Result<String, Reason> {
    sign_parts_within(header, payload, key, MAX_TOKEN_BYTES)
}

fn sign_parts_within(header: &[u8], payload: &[u8], key: &SigningKey, max_bytes: usize) -> Result<String, Reason> {
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    // Parses the header as a verifier would, so that every signed token can be verified.
    let algorithm = Parts::split_within(format!("{token}.").as_bytes(), max_bytes)?.header()?.algorithm;
    let signature = key.sign(algorithm.ok_or(Reason::KeyCannotSign)?, token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    if token.len() > max_bytes { Err(Reason::TokenTooLarge) } else { Ok(token) }
}

/// Returns 128 random bits in base64url.
fn random_id() -> Result<String, Reason> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Reason::Internal)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
