//! Phantom tokens: an authorization server's introspection responses, and what the API receives for an opaque token.
//!
//! ```text
//! response (media type, body) ── read ──► Verdict: scope, expiry, and what to forward
//! ```
//!
//! The media type alone decides how a response is read: `application/jwt` is a JWT for the API (the phantom token
//! pattern), `application/token-introspection+jwt` is RFC 9701, `application/json` is RFC 7662. Any other response is
//! the server's fault, and says nothing about the token.

mod forward;

use std::path::Path;

use serde_json::{Map, Value};

pub use forward::ClaimNames;

use crate::digest::sha256;
use crate::error::{ConfigError, Reason};
use crate::json::parse_object;
use crate::jwt::{
    self, Claims, Compact, Policy, SignOptions, check_expiry, check_not_before, check_requirements, check_signature,
};
use crate::keys::{KeySet, SigningKey, load};
use crate::metrics::key_use;
use crate::revocation::{Identity, Names};

/// The longest accepted JWT of an authorization server, in bytes.
pub const MAX_JWT_BYTES: usize = 32 * 1024;

/// The longest accepted response, in bytes: more than a JWT of [`MAX_JWT_BYTES`].
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The longest JSON of a `cnf`, in bytes. One with two thumbprints has 120.
const MAX_CONFIRMATION_BYTES: usize = 1024;

/// The `typ` of a signed introspection response (RFC 9701 §5).
const INTROSPECTION_TYP: &str = "token-introspection+jwt";

/// The settings of an introspector.
pub struct Options<'a> {
    /// A text that identifies the configuration in caches, apart from its keys.
    pub identity: &'a [u8],
    /// The file with the keys that verify the server's JWTs. `None` trusts the connection.
    pub verify_key: Option<&'a Path>,
    /// The allowed values of `iss` in the server's responses. `None` ignores `iss`.
    pub issuers: Option<Vec<String>>,
    /// The audiences of which `aud` in the server's responses must name one. `None` ignores `aud`.
    pub audiences: Option<Vec<String>>,
    /// The file with the private key in PEM that signs a JWT for the API. `None` forwards the server's JWT unchanged.
    pub signing_key: Option<&'a Path>,
    /// The `kid` of the signed JWT.
    pub signing_key_id: Option<&'a str>,
    /// The claims that the API receives in place of a JWT.
    pub claims: ClaimNames,
    /// The lifetime of a signed JWT in seconds, for a response without `exp`.
    pub lifetime: u32,
}

/// A reader of one authorization server's responses. One for each configuration.
pub struct Introspector {
    identity: [u8; 32],
    verify_keys: Option<KeySet>,
    policy: Policy,
    signer: Option<Signer>,
    claims: ClaimNames,
    lifetime: u32,
}

/// The key that signs JWTs for the API.
struct Signer {
    key: SigningKey,
    options: SignOptions,
    identity: [u8; 32],
}

/// The result for an active token.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The scopes, separated by spaces. Empty when the server names none.
    pub scope: String,
    /// The expiry of the token or of the JWT for the API, in seconds since the epoch.
    pub expires_at: Option<i64>,
    /// What the API receives: `Bearer …`, or the named claims as a JSON object.
    pub forward: String,
    /// What the token can be revoked by, apart from itself.
    pub identity: Identity,
    /// The JSON of `cnf`, which names what the token's holder has (RFC 9449 §6.2, RFC 8705 §3.2). Empty when there is
    /// none.
    pub confirmation: String,
}

impl Introspector {
    /// Reads and parses the keys.
    ///
    /// Errors: `KeyUnreadable`, `KeyUnsupported`, `KeyTooWeak`.
    pub fn new(options: Options) -> Result<Introspector, ConfigError> {
        let verify_keys = options.verify_key.map(|path| load(path, KeySet::parse)).transpose()?;
        let signer = match options.signing_key {
            Some(path) => Some(load(path, |text| Signer::parse(text, options.signing_key_id))?),
            None => None,
        };
        // The cache key covers the keys, so that a cached verdict ends with them.
        let verify_identity = verify_keys.as_ref().map_or([0; 32], KeySet::identity);
        let signer_identity = signer.as_ref().map_or([0; 32], |signer| signer.identity);
        let parts = [b"route_native introspection 3", &verify_identity[..], &signer_identity, options.identity];
        Ok(Introspector {
            identity: sha256(&parts),
            verify_keys,
            policy: Policy {
                require_exp: false,
                issuers: options.issuers,
                audiences: options.audiences,
                ..Policy::default()
            },
            signer,
            claims: options.claims,
            lifetime: options.lifetime,
        })
    }

    /// Returns a sentence for each key of the server that was skipped, and for each whose certificate is not valid at
    /// `now`.
    pub fn notes(&self, now: i64) -> Vec<String> {
        self.verify_keys.as_ref().map_or_else(Vec::new, |keys| keys.notes(now))
    }

    /// Returns the token's cache key: a digest of the configuration, its keys and the token.
    pub fn cache_key(&self, token: &[u8]) -> [u8; 32] {
        sha256(&[&self.identity, token])
    }

    /// Reads a response of status 200. `content_type` is the header as received. `keys` are the server's published
    /// keys; `None` uses those of the options.
    ///
    /// Errors:
    ///
    /// - `TokenInactive`, `TokenExpired`, `TokenNotYetValid`, `IssuerNotAllowed`, `AudienceNotAllowed`: the token is
    ///   refused.
    /// - `ServerAnswerInvalid`: the response is invalid and says nothing about the token.
    /// - `KeyNotFound`: no key of `keys` matches the response's `kid`. Refresh the keys and retry.
    /// - `KeyUnsupported`: the response is JSON, and neither a signing key nor claims are configured.
    pub fn read(&self, content_type: &str, body: &[u8], keys: Option<&KeySet>, now: i64) -> Result<Verdict, Reason> {
        if body.len() > MAX_ANSWER_BYTES {
            return Err(Reason::ServerAnswerInvalid);
        }
        match media_type(content_type).as_str() {
            "application/jwt" => self.read_jwt(body, keys, now),
            "application/token-introspection+jwt" => self.read_signed_response(body, keys, now),
            "application/json" => {
                let claims = active(parse_object(body).ok_or(Reason::ServerAnswerInvalid)?)?;
                self.check_claims(&claims, now)?;
                self.verdict(claims.members, None, now)
            }
            _ => Err(Reason::ServerAnswerInvalid),
        }
    }

    /// Reads a JWT for the API.
    fn read_jwt(&self, body: &[u8], keys: Option<&KeySet>, now: i64) -> Result<Verdict, Reason> {
        let (token, claims, _) = self.open(body, keys, now)?;
        self.check_claims(&claims, now)?;
        self.verdict(claims.members, Some(token), now)
    }

    /// Reads a signed response, whose claim `token_introspection` describes the token (RFC 9701 §5).
    fn read_signed_response(&self, body: &[u8], keys: Option<&KeySet>, now: i64) -> Result<Verdict, Reason> {
        let (token, mut claims, typ) = self.open(body, keys, now)?;
        // Another JWT of the same server must not pass as a response (RFC 9701 §8.1).
        if typ.as_deref() != Some(INTROSPECTION_TYP) {
            return Err(Reason::ServerAnswerInvalid);
        }
        // `iss` and `aud` are those of the response, not of the token: a mismatch is the server's fault.
        check_requirements(&claims, &self.policy, now).map_err(|_| Reason::ServerAnswerInvalid)?;
        match claims.members.remove("token_introspection") {
            Some(Value::Object(members)) => {
                let claims = active(members)?;
                self.check_times(&claims, now)?;
                self.verdict(claims.members, Some(token), now)
            }
            _ => Err(Reason::ServerAnswerInvalid),
        }
    }

    fn check_times(&self, claims: &Claims, now: i64) -> Result<(), Reason> {
        check_expiry(claims, &self.policy, now).map_err(server_fault)?;
        check_not_before(claims, &self.policy, now).map_err(server_fault)
    }

    /// Checks claims that describe the token.
    fn check_claims(&self, claims: &Claims, now: i64) -> Result<(), Reason> {
        self.check_times(claims, now)?;
        check_requirements(claims, &self.policy, now).map_err(server_fault)
    }

    /// Parses a JWT of the server, verifies its signature if there are keys, and returns it with its claims and its
    /// `typ`.
    fn open<'a>(
        &self,
        body: &'a [u8],
        keys: Option<&KeySet>,
        now: i64,
    ) -> Result<(&'a str, Claims, Option<String>), Reason> {
        let token = std::str::from_utf8(body.trim_ascii()).map_err(|_| Reason::ServerAnswerInvalid)?;
        let compact = Compact::parse_within(token.as_bytes(), MAX_JWT_BYTES).map_err(server_fault)?;
        let key = match (keys, &self.verify_keys) {
            (Some(keys), _) => {
                Some(check_signature(&compact, keys, &Policy::default()).map_err(|reason| match reason {
                    Reason::KeyNotFound => reason,
                    _ => Reason::ServerAnswerInvalid,
                })?)
            }
            (None, Some(keys)) => Some(check_signature(&compact, keys, &Policy::default()).map_err(server_fault)?),
            (None, None) => None,
        };
        if let Some(key) = key {
            key_use::note(key.id(), now);
        }
        let claims = compact.unverified_claims().map_err(server_fault)?;
        Ok((token, claims, compact.header.media_type()))
    }

    /// Builds the verdict on an active token. `token` is the server's JWT, if it sent one.
    fn verdict(&self, members: Map<String, Value>, token: Option<&str>, now: i64) -> Result<Verdict, Reason> {
        let claims = Claims::of(Vec::new(), members);
        let identity = Names::of(b"", &claims).identity();
        let confirmation = claims.members.get("cnf").map(confirmation).unwrap_or_default();
        let scope = claims.scopes().map_err(server_fault)?;
        let mut expires_at = claims.expires_at().map_err(server_fault)?;
        let forward = if !self.claims.is_empty() {
            if self.claims.lose_digits(&claims.members) {
                return Err(Reason::ServerAnswerInvalid);
            }
            self.claims.select(&claims.members)
        } else if let Some(signer) = &self.signer {
            let end = *expires_at.get_or_insert(now.saturating_add(self.lifetime.into()));
            format!("Bearer {}", signer.sign(claims.members, now, end)?)
        } else {
            format!("Bearer {}", token.ok_or(Reason::KeyUnsupported)?)
        };
        Ok(Verdict { scope, expires_at, forward, identity, confirmation })
    }
}

impl Signer {
    /// Parses a private key in PEM.
    fn parse(text: &[u8], key_id: Option<&str>) -> Result<Signer, ConfigError> {
        let key = SigningKey::from_pem(text)?
            .ok_or_else(|| ConfigError::unsupported_key("is a public key or a certificate, and cannot sign"))?;
        let options = SignOptions { key_id: key_id.map(str::to_owned), ..SignOptions::default() };
        Ok(Signer { key, options, identity: sha256(&[text]) })
    }

    /// Signs `claims`. Adds `iat` and `exp` where they are absent, so that every signed token expires.
    fn sign(&self, mut claims: Map<String, Value>, now: i64, end: i64) -> Result<String, Reason> {
        claims.entry("iat").or_insert_with(|| now.into());
        claims.entry("exp").or_insert_with(|| end.into());
        let json = serde_json::to_vec(&claims).map_err(|_| Reason::Internal)?;
        jwt::sign_within(&json, &self.key, &self.options, now, MAX_JWT_BYTES).map_err(server_fault)
    }
}

/// Returns the JSON of a `cnf`. One that is too long names nothing that can be checked: `false` stands for it.
fn confirmation(cnf: &Value) -> String {
    let text = cnf.to_string();
    if text.len() > MAX_CONFIRMATION_BYTES { "false".to_owned() } else { text }
}

/// Returns the name of the first member of a response that makes it malformed, for a message, or `None` when its form is
/// not the fault. It takes what [`Introspector::read`] took and verifies nothing.
pub fn malformed_member(content_type: &str, body: &[u8]) -> Option<&'static str> {
    let (token_members, is_response) = match media_type(content_type).as_str() {
        "application/jwt" => (unverified_members(body)?, false),
        "application/token-introspection+jwt" => match unverified_members(body)?.remove("token_introspection") {
            Some(Value::Object(members)) => (members, true),
            _ => return Some("token_introspection"),
        },
        _ => (parse_object(body)?, true),
    };
    let claims = match active(token_members.clone()) {
        Ok(claims) => claims,
        Err(_) if is_response => return Some("active"),
        Err(_) => Claims::of(Vec::new(), token_members),
    };
    ["exp", "nbf", "scope", "scp", "iss", "aud"].into_iter().find(|name| match *name {
        "exp" | "nbf" => claims.numeric_date(name).is_err(),
        "iss" => claims.string(name).is_err(),
        _ => claims.strings(name).is_err(),
    })
}

/// Returns the members of a JWT of the server. **The signature is not verified.**
fn unverified_members(body: &[u8]) -> Option<Map<String, Value>> {
    let compact = Compact::parse_within(body.trim_ascii(), MAX_JWT_BYTES).ok()?;
    Some(compact.unverified_claims().ok()?.members)
}

/// Returns the media type of a Content-Type header, in lower case and without parameters.
fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase()
}

/// Returns the members of RFC 7662 §2.2 without `active`. Servers send `null` for what a token has not; it is absent.
///
/// Errors: `TokenInactive`, `ServerAnswerInvalid`.
fn active(mut members: Map<String, Value>) -> Result<Claims, Reason> {
    match members.remove("active") {
        Some(Value::Bool(true)) => {
            members.retain(|_, value| !value.is_null());
            Ok(Claims::of(Vec::new(), members))
        }
        Some(Value::Bool(false)) => Err(Reason::TokenInactive),
        _ => Err(Reason::ServerAnswerInvalid),
    }
}

/// Maps the fault of a response: an expired token, or one for another audience, is refused; all else is the server's
/// fault.
fn server_fault(reason: Reason) -> Reason {
    match reason {
        Reason::TokenExpired | Reason::TokenNotYetValid | Reason::IssuerNotAllowed | Reason::AudienceNotAllowed => {
            reason
        }
        _ => Reason::ServerAnswerInvalid,
    }
}
