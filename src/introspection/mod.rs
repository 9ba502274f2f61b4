//! Phantom tokens: what an authorization server says of an opaque token, and what the API receives in its place.
//!
//! ```text
//! answer (type, body) ── read ──► Verdict: the scope, when it ends, and what to pass on
//! ```
//!
//! Three kinds of answers are understood: `application/jwt`, a JWT for the API (the phantom token pattern);
//! `application/token-introspection+jwt` (RFC 9701); `application/json` (RFC 7662). Which is which follows from the
//! media type alone. Whatever else comes back is the server's fault and never a verdict on the token.

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

/// The longest JWT that is taken from an authorization server, in bytes.
pub const MAX_JWT_BYTES: usize = 32 * 1024;

/// The longest answer that is read, in bytes: a JWT of [`MAX_JWT_BYTES`] and some.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// `typ` of an introspection answer that is a JWT (RFC 9701 §5).
const INTROSPECTION_TYP: &str = "token-introspection+jwt";

/// What an introspector is made of.
pub struct Options<'a> {
    /// Everything that an answer depends on and that is not a key: names the configuration in caches.
    pub identity: &'a [u8],
    /// File with the key or keys that the server's JWTs are signed with; `None`: the connection is trusted.
    pub verify_key: Option<&'a Path>,
    /// When set, `iss` of what the server sends must be one of these.
    pub issuers: Option<Vec<String>>,
    /// When set, `aud` of what the server sends must name one of these.
    pub audiences: Option<Vec<String>>,
    /// File with a private key in PEM that signs what the API receives; `None`: the server's JWT goes on as it is.
    pub signing_key: Option<&'a Path>,
    /// The `kid` of what is signed.
    pub signing_key_id: Option<&'a str>,
    /// Claims that the API receives in place of a JWT.
    pub claims: ClaimNames,
    /// How long a signed JWT lives when the server says no `exp`, in seconds.
    pub lifetime: u32,
}

/// How the answers of one authorization server are read. Made once for each configuration.
pub struct Introspector {
    identity: [u8; 32],
    verify_keys: Option<KeySet>,
    /// The end is the server's to set; issuer and audience are the configuration's.
    policy: Policy,
    signer: Option<Signer>,
    claims: ClaimNames,
    lifetime: u32,
}

/// What signs the JWT that the API receives.
struct Signer {
    key: SigningKey,
    issue: SignOptions,
    identity: [u8; 32],
}

/// An active token.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The scopes, separated by blanks; empty when the server names none.
    pub scope: String,
    /// When the token, or the JWT, ends: seconds since the epoch.
    pub expires_at: Option<i64>,
    /// What the API receives: `Bearer …`, or the named claims as a JSON object of texts.
    pub forward: String,
}

impl Introspector {
    /// Reads the keys.
    pub fn new(options: Options) -> Result<Introspector, ConfigError> {
        let verify_keys = options.verify_key.map(|path| load(path, KeySet::parse)).transpose()?;
        let signer = match options.signing_key {
            Some(path) => Some(load(path, |text| Signer::parse(text, options.signing_key_id))?),
            None => None,
        };
        // A verdict must never outlive the keys that it was made under.
        let verify_identity = verify_keys.as_ref().map_or([0; 32], KeySet::identity);
        let signer_identity = signer.as_ref().map_or([0; 32], |signer| signer.identity);
        let parts = [b"route_native introspection 2", &verify_identity[..], &signer_identity, options.identity];
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

    /// The token's name in a cache: a digest of the configuration and the token.
    pub fn key(&self, token: &[u8]) -> [u8; 32] {
        sha256(&[&self.identity, token])
    }

    /// Reads an answer of status 200. `content_type` is the header as received; `keys` are those that the server
    /// signs with, where they are not a file's.
    ///
    /// `TokenInactive`, `TokenExpired`, `TokenNotYetValid`, `IssuerNotAllowed`, `AudienceNotAllowed`: the token is not
    /// to be accepted. `ServerAnswerInvalid`: nothing is known about it. `KeyNotFound`: nor is anything, because none
    /// of `keys` bears the answer's `kid`; newer ones may. `KeyUnsupported`: the answer is JSON, and nothing says what
    /// the API is to receive.
    pub fn read(&self, content_type: &str, body: &[u8], keys: Option<&KeySet>, now: i64) -> Result<Verdict, Reason> {
        if body.len() > MAX_ANSWER_BYTES {
            return Err(Reason::ServerAnswerInvalid);
        }
        let media_type = content_type.split(';').next().unwrap_or_default().trim_ascii();
        match media_type.to_ascii_lowercase().as_str() {
            "application/jwt" => self.read_jwt(body, keys, now),
            "application/token-introspection+jwt" => self.read_signed_answer(body, keys, now),
            "application/json" => {
                let claims = active(parse_object(body).ok_or(Reason::ServerAnswerInvalid)?)?;
                self.check_claims(&claims, now)?;
                self.verdict(claims.members, None, now)
            }
            _ => Err(Reason::ServerAnswerInvalid),
        }
    }

    /// A JWT for the API.
    fn read_jwt(&self, body: &[u8], keys: Option<&KeySet>, now: i64) -> Result<Verdict, Reason> {
        let (token, claims, _) = self.open(body, keys)?;
        self.check_claims(&claims, now)?;
        self.verdict(claims.members, Some(token), now)
    }

    /// An answer that is signed (RFC 9701): what it says of the token is in one claim.
    fn read_signed_answer(&self, body: &[u8], keys: Option<&KeySet>, now: i64) -> Result<Verdict, Reason> {
        let (token, mut claims, typ) = self.open(body, keys)?;
        // Any other JWT of the same server could be passed off as an answer (RFC 9701 §8.1).
        if typ.as_deref() != Some(INTROSPECTION_TYP) {
            return Err(Reason::ServerAnswerInvalid);
        }
        // Who says it, and to whom: of the answer, not of the token, so that another one is the server's fault.
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
        check_expiry(claims, &self.policy, now).map_err(of_server)?;
        check_not_before(claims, &self.policy, now).map_err(of_server)
    }

    /// Checks claims that speak of the token.
    fn check_claims(&self, claims: &Claims, now: i64) -> Result<(), Reason> {
        self.check_times(claims, now)?;
        check_requirements(claims, &self.policy, now).map_err(of_server)
    }

    /// Takes a JWT of the server apart, verifies it when keys are configured, and returns it with its claims and type.
    fn open<'a>(&self, body: &'a [u8], keys: Option<&KeySet>) -> Result<(&'a str, Claims, Option<String>), Reason> {
        let token = std::str::from_utf8(body.trim_ascii()).map_err(|_| Reason::ServerAnswerInvalid)?;
        let compact = Compact::parse_within(token.as_bytes(), MAX_JWT_BYTES).map_err(of_server)?;
        match (keys, &self.verify_keys) {
            (Some(keys), _) => check_signature(&compact, keys, &Policy::default()).map_err(|reason| match reason {
                Reason::KeyNotFound => reason,
                _ => Reason::ServerAnswerInvalid,
            })?,
            (None, Some(keys)) => check_signature(&compact, keys, &Policy::default()).map_err(of_server)?,
            (None, None) => {}
        }
        let claims = compact.unverified_claims().map_err(of_server)?;
        Ok((token, claims, compact.header.media_type()))
    }

    fn verdict(&self, members: Map<String, Value>, token: Option<&str>, now: i64) -> Result<Verdict, Reason> {
        let claims = Claims { json: Vec::new(), members };
        let scope = claims.scopes().map_err(of_server)?;
        let mut expires_at = claims.expires_at().map_err(of_server)?;
        let forward = if !self.claims.is_empty() {
            self.claims.select(&claims.members)
        } else if let Some(signer) = &self.signer {
            let end = *expires_at.get_or_insert(now.saturating_add(self.lifetime.into()));
            format!("Bearer {}", signer.sign(claims.members, now, end)?)
        } else {
            format!("Bearer {}", token.ok_or(Reason::KeyUnsupported)?)
        };
        Ok(Verdict { scope, expires_at, forward })
    }
}

impl Signer {
    /// Reads a private key in PEM.
    fn parse(text: &[u8], key_id: Option<&str>) -> Result<Signer, ConfigError> {
        let key = SigningKey::from_pem(text)?.ok_or_else(|| {
            ConfigError::new(Reason::KeyUnsupported, "is a public key or a certificate, and cannot sign")
        })?;
        let issue = SignOptions { key_id: key_id.map(str::to_owned), ..SignOptions::default() };
        Ok(Signer { key, issue, identity: sha256(&[text]) })
    }

    /// Signs `claims`. `iat` and `exp` are added where they are missing: no token of ours lives forever.
    fn sign(&self, mut claims: Map<String, Value>, now: i64, end: i64) -> Result<String, Reason> {
        claims.entry("iat").or_insert_with(|| now.into());
        claims.entry("exp").or_insert_with(|| end.into());
        let json = serde_json::to_vec(&claims).map_err(|_| Reason::Internal)?;
        jwt::sign_within(&json, &self.key, &self.issue, now, MAX_JWT_BYTES).map_err(of_server)
    }
}

/// The members of RFC 7662 §2.2, without `active`: `TokenInactive` when it says so.
fn active(mut members: Map<String, Value>) -> Result<Claims, Reason> {
    match members.remove("active") {
        Some(Value::Bool(true)) => Ok(Claims { json: Vec::new(), members }),
        Some(Value::Bool(false)) => Err(Reason::TokenInactive),
        _ => Err(Reason::ServerAnswerInvalid),
    }
}

/// What is wrong with a server's answer says nothing about the client's token, except that its time is over, or that it
/// is not for us.
fn of_server(reason: Reason) -> Reason {
    match reason {
        Reason::TokenExpired | Reason::TokenNotYetValid | Reason::IssuerNotAllowed | Reason::AudienceNotAllowed => {
            reason
        }
        _ => Reason::ServerAnswerInvalid,
    }
}
