//! DPoP proofs (RFC 9449 §4): what a proof must be, and what it must say about its request.

use serde_json::{Value, json};

use super::nonce::NonceSecret;
use super::uri::Origin;
use crate::digest::sha256;
use crate::error::{ConfigError, Reason};
use crate::json::{has_lost_digits, parse_object};
use crate::jwt::{Claims, Compact, Policy, check_expiry, check_not_before};
use crate::keys::{Algorithm, Key, Thumbprint, encoded, public_key};
use crate::settings::Settings;

/// The longest proof, in bytes. One with an RSA key of 4096 bits and its signature has 2,000.
pub const MAX_PROOF_BYTES: usize = 8 * 1024;

/// The longest `jti`, in bytes.
const MAX_ID_BYTES: usize = 256;

/// The `typ` of a proof.
const PROOF_TYP: &str = "dpop+jwt";

/// The default of [`ProofPolicy::algorithms`]: all that are asymmetric and registered for JOSE in general. secp256k1 is
/// left out: its check is the slowest, and no profile of OAuth names it.
const ALGORITHMS: [Algorithm; 10] = [
    Algorithm::ES256,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
];

/// The requirements of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofPolicy {
    /// The origins under which clients reach this server.
    pub origins: Vec<Origin>,
    /// The allowed algorithms, none of them with a shared secret. Default: all but ES256K.
    pub algorithms: Vec<Algorithm>,
    /// The longest time since `iat`, in seconds. Default: 60.
    pub max_age: u32,
    /// Tolerated clock skew, in seconds. Default: that of [`Policy`].
    pub leeway: u32,
    /// The seconds of a nonce's period. Default: `None`, which needs no nonce.
    pub nonce_seconds: Option<u32>,
}

impl ProofPolicy {
    /// The default of [`ProofPolicy::max_age`], in seconds.
    pub const DEFAULT_MAX_AGE: u32 = 60;

    /// Parses a policy's JSON: `origins`, `algorithms`, `max_age`, `leeway`, `nonce_seconds`. An unknown member is an
    /// error.
    pub fn from_json(text: &[u8]) -> Result<ProofPolicy, ConfigError> {
        let mut settings = Settings::parse(text, "proof field")?;
        let origins = settings.texts("origins")?.unwrap_or_default();
        let parsed: Option<Vec<_>> = origins.iter().map(|text| Origin::parse(text)).collect();
        let origins = parsed.filter(|origins| !origins.is_empty()).ok_or_else(|| {
            settings.wrong("origins", "a list of origins without a path, such as https://api.example.com")
        })?;
        let names = settings.texts("algorithms")?;
        let algorithms = names.map(|names| names.iter().map(|name| settings.algorithm(name)).collect()).transpose()?;
        let algorithms: Vec<Algorithm> = algorithms.unwrap_or_else(|| ALGORITHMS.to_vec());
        if let Some(name) = algorithms.iter().find(|algorithm| algorithm.name().starts_with("HS")) {
            return Err(settings.invalid(&format!("a proof cannot use {name}: it has its key in itself")));
        }
        let policy = ProofPolicy {
            origins,
            algorithms,
            max_age: settings.seconds("max_age", 1)?.unwrap_or(Self::DEFAULT_MAX_AGE),
            leeway: settings.seconds("leeway", 0)?.unwrap_or(Policy::DEFAULT_LEEWAY),
            nonce_seconds: settings.seconds("nonce_seconds", 1)?,
        };
        settings.finish()?;
        Ok(policy)
    }

    /// Returns the names of the algorithms, separated by blanks, for a challenge.
    pub fn algorithm_names(&self) -> String {
        self.algorithms.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(" ")
    }
}

/// The request of a proof.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The path with its query, as received.
    pub target: &'a [u8],
    /// The access token. `None` at a token endpoint.
    pub token: Option<&'a [u8]>,
    /// The thumbprint of the key that the token is bound to. `None` at a token endpoint.
    pub key: Option<&'a [u8]>,
}

/// A valid proof.
#[derive(Debug, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of the key that signed it.
    pub thumbprint: Thumbprint,
    /// What tells this proof from every other: the digest of the key and its `jti`.
    pub id: [u8; 32],
    /// The first second in which the proof is too old, since the epoch.
    pub ends_at: i64,
    /// Whether the client needs a new nonce.
    pub needs_nonce: bool,
}

/// Checks a proof. `secret` is that of the nonces, for a policy that needs them.
///
/// Whether the proof was used before is the caller's to check: [`Proof::id`] must not be seen again until
/// [`Proof::ends_at`].
///
/// Errors: `ProofMissing`, `ProofMalformed`, `ProofKeyRefused`, `ProofSignatureInvalid`, `ProofRequestMismatch`,
/// `ProofExpired`, `ProofTokenMismatch`, `HolderKeyMismatch`, `ProofNonceInvalid`, in this order;
/// `InvalidArgument` without the secret.
pub fn check(
    proof: &[u8],
    request: &Request,
    policy: &ProofPolicy,
    secret: Option<&NonceSecret>,
    now: i64,
) -> Result<Proof, Reason> {
    let compact = Compact::parse_within(proof, MAX_PROOF_BYTES).map_err(|reason| match reason {
        Reason::TokenMissing => Reason::ProofMissing,
        _ => Reason::ProofMalformed,
    })?;
    if compact.header.media_type().as_deref() != Some(PROOF_TYP) {
        return Err(Reason::ProofMalformed);
    }
    let (key, algorithm, thumbprint) = key_of(&compact, policy)?;
    match key.verify(algorithm, compact.signing_input, &compact.signature) {
        Some(true) => {}
        Some(false) => return Err(Reason::ProofSignatureInvalid),
        None => return Err(Reason::ProofKeyRefused),
    }
    let claims = compact.unverified_claims().map_err(|_| Reason::ProofMalformed)?;
    let id = text(&claims, "jti", MAX_ID_BYTES)?;
    let (method, uri) = (text(&claims, "htm", MAX_PROOF_BYTES)?, text(&claims, "htu", MAX_PROOF_BYTES)?);
    if method.as_bytes() != request.method
        || !policy.origins.iter().any(|origin| origin.is_uri(uri.as_bytes(), request.target))
    {
        return Err(Reason::ProofRequestMismatch);
    }
    let ends_at = check_times(&claims, policy, now)?;
    if let Some(token) = request.token {
        let hash = text(&claims, "ath", MAX_ID_BYTES)?;
        (hash.as_bytes() == encoded(&sha256(&[token]))).then_some(()).ok_or(Reason::ProofTokenMismatch)?;
    }
    if request.key.is_some_and(|bound| bound != thumbprint) {
        return Err(Reason::HolderKeyMismatch);
    }
    let needs_nonce = check_nonce(&claims, policy, secret, now)?;
    Ok(Proof { thumbprint, id: sha256(&[&thumbprint, id.as_bytes()]), ends_at, needs_nonce })
}

/// Returns the JSON of claims with a `cnf` that binds their token to the key of a proof (RFC 9449 §6.1).
///
/// Errors: `ClaimMalformed` when the claims are not a JSON object, have a `cnf`, or have a number whose digits would be
/// lost.
pub fn bind(claims: &[u8], thumbprint: &str) -> Result<Vec<u8>, Reason> {
    let mut claims = parse_object(claims).ok_or(Reason::ClaimMalformed)?;
    if claims.contains_key("cnf") || claims.values().any(has_lost_digits) {
        return Err(Reason::ClaimMalformed);
    }
    claims.insert("cnf".into(), json!({ "jkt": thumbprint }));
    serde_json::to_vec(&claims).map_err(|_| Reason::Internal)
}

/// Returns the key in the proof's header, with its thumbprint and the header's algorithm.
fn key_of(compact: &Compact, policy: &ProofPolicy) -> Result<(Key, Algorithm, Thumbprint), Reason> {
    let algorithm = compact.header.algorithm.ok_or(Reason::ProofKeyRefused)?;
    if !policy.algorithms.iter().any(|allowed| allowed.same_as(algorithm)) {
        return Err(Reason::ProofKeyRefused);
    }
    match compact.header.members.get("jwk") {
        Some(Value::Object(jwk)) => {
            let (key, thumbprint) = public_key(jwk).map_err(|_| Reason::ProofKeyRefused)?;
            Ok((key, algorithm, thumbprint))
        }
        _ => Err(Reason::ProofKeyRefused),
    }
}

/// Returns a claim that must be a text, neither empty nor too long.
fn text<'a>(claims: &'a Claims, name: &str, most: usize) -> Result<&'a str, Reason> {
    let text = claims.string(name).map_err(|_| Reason::ProofMalformed)?;
    text.filter(|text| !text.is_empty() && text.len() <= most).ok_or(Reason::ProofMalformed)
}

/// Checks `iat`, and `exp` and `nbf`, which a proof need not have. Returns when the proof is too old.
fn check_times(claims: &Claims, policy: &ProofPolicy, now: i64) -> Result<i64, Reason> {
    let issued_at = claims.numeric_date("iat").ok().flatten().ok_or(Reason::ProofMalformed)?;
    // A time from 0 to the year 9999.
    let ends_at = issued_at.ceil() as i64 + i64::from(policy.max_age) + i64::from(policy.leeway) + 1;
    let is_early = issued_at > now as f64 + f64::from(policy.leeway);
    let times = Policy { leeway: policy.leeway, require_exp: false, ..Policy::default() };
    let result = check_expiry(claims, &times, now).and_then(|()| check_not_before(claims, &times, now));
    match result {
        Err(Reason::ClaimMalformed) => Err(Reason::ProofMalformed),
        Err(_) => Err(Reason::ProofExpired),
        Ok(()) if is_early || now >= ends_at => Err(Reason::ProofExpired),
        Ok(()) => Ok(ends_at),
    }
}

/// Checks the nonce, if the policy needs one. Returns whether the client needs a new one.
fn check_nonce(claims: &Claims, policy: &ProofPolicy, secret: Option<&NonceSecret>, now: i64) -> Result<bool, Reason> {
    let Some(seconds) = policy.nonce_seconds else { return Ok(false) };
    let secret = secret.ok_or(Reason::InvalidArgument)?;
    let nonce = claims.string("nonce").map_err(|_| Reason::ProofMalformed)?.unwrap_or_default();
    secret.find(nonce.as_bytes(), now, seconds).map(|is_current| !is_current).ok_or(Reason::ProofNonceInvalid)
}
