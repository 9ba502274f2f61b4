//! The C ABI of phantom tokens: the conventions are those of [`super`].

use super::keys::rn_keys;
use super::{Caller, given, guard, release, rn_header};
use crate::credential;
use crate::error::{ConfigError, Reason};
use crate::introspection::{ClaimNames, Introspector, Options};

/// The size of [`rn_bearer::key`].
pub const RN_CACHE_KEY_BYTES: usize = 32;

/// What [`rn_introspector_new`] reads. Texts are pointer and length; an absent text has length 0.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_introspector_options {
    /// What names the configuration in caches, besides its keys.
    pub identity: *const u8,
    /// Its length.
    pub identity_length: usize,
    /// Path of the file with the key or keys that the server's JWTs are signed with; absent: they are not verified.
    pub verify_key: *const u8,
    /// Its length.
    pub verify_key_length: usize,
    /// What `iss` of the server's answers must be: one a line; absent: it is not looked at.
    pub issuer: *const u8,
    /// Its length.
    pub issuer_length: usize,
    /// What `aud` of the server's answers must name: one a line; absent: it is not looked at.
    pub audience: *const u8,
    /// Its length.
    pub audience_length: usize,
    /// Path of the file with the private key that signs what the API receives; absent: nothing is signed.
    pub signing_key: *const u8,
    /// Its length.
    pub signing_key_length: usize,
    /// The `kid` of what is signed.
    pub signing_key_id: *const u8,
    /// Its length.
    pub signing_key_id_length: usize,
    /// Names of the claims that the API receives in place of a JWT: one a line; absent: it receives a JWT.
    pub claims: *const u8,
    /// Its length.
    pub claims_length: usize,
    /// How long a signed JWT lives when the server says no `exp`, in seconds.
    pub lifetime: u32,
}

/// The token of a request, written into memory of the caller.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_bearer {
    /// Where the token lies within the request's headers; as long-lived as they are.
    pub token: *const u8,
    /// The token's length.
    pub token_length: u32,
    /// The token's name in a cache: a digest of the configuration and the token.
    pub key: [u8; RN_CACHE_KEY_BYTES],
}

/// What a server says of an active token. Its two texts lie one after the other in the caller's buffer.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_verdict {
    /// Seconds since the epoch; 0 when the server names no end.
    pub expires_at: i64,
    /// Length of the first text: the scopes, separated by blanks.
    pub scope_length: u32,
    /// Length of the second text: what the API receives.
    pub forward_length: u32,
}

/// How the answers of one authorization server are read.
#[allow(non_camel_case_types)]
pub struct rn_introspector(Introspector);

/// Makes an introspector: reads and parses its keys.
///
/// Errors: the 200s, with one sentence in `error`, cut to its capacity.
///
/// Release with [`rn_introspector_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_introspector_new(
    options: Option<&rn_introspector_options>,
    introspector: Option<&mut *mut rn_introspector>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (options, introspector) = (given(options)?, given(introspector)?);
        let made = new_introspector(caller, options).map(rn_introspector);
        caller.hand_out(made, introspector, error, error_capacity, error_length)
    })
}

/// Releases an introspector; null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_introspector_free(introspector: Option<Box<rn_introspector>>) {
    release(introspector)
}

/// Finds the bearer token among a request's headers and names it for the cache: the hot path, one call.
///
/// Errors: `TokenMissing`, `TokenAmbiguous`, `TokenTooLarge`, `TokenMalformed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_introspector_find(
    introspector: Option<&rn_introspector>,
    headers: *const rn_header,
    count: usize,
    bearer: Option<&mut rn_bearer>,
) -> i32 {
    guard(|caller| {
        let (introspector, headers, bearer) = (&given(introspector)?.0, caller.array(headers, count)?, given(bearer)?);
        let pairs = headers.iter().map(|header| (caller.string(&header.name), caller.string(&header.value)));
        let token = credential::bearer(pairs)?;
        bearer.token = token.as_ptr();
        bearer.token_length = token.len() as u32; // at most MAX_TOKEN_BYTES
        bearer.key = introspector.cache_key(token);
        Ok(())
    })
}

/// Reads a server's answer of status 200. `keys` are those that the server signs with; null: those of the options.
///
/// 0: the token is active; `text` holds its scopes and, right behind, what the API receives. `TokenInactive`,
/// `TokenExpired`, `TokenNotYetValid`, `IssuerNotAllowed`, `AudienceNotAllowed`: it is not to be accepted.
/// `ServerAnswerInvalid`: nothing is known about it. `KeyNotFound`: nor is anything, because none of `keys` bears the
/// answer's `kid`; newer ones may. `KeyUnsupported`: the answer is JSON, and nothing says what the API is to receive. `BufferTooSmall`: the
/// lengths in `verdict` say what is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_introspector_read(
    introspector: Option<&rn_introspector>,
    keys: Option<&rn_keys>,
    content_type: *const u8,
    content_type_length: usize,
    body: *const u8,
    body_length: usize,
    now: i64,
    verdict: Option<&mut rn_verdict>,
    text: *mut u8,
    capacity: usize,
) -> i32 {
    guard(|caller| {
        let (introspector, content_type, body, verdict) = (
            &given(introspector)?.0,
            caller.bytes(content_type, content_type_length)?,
            caller.bytes(body, body_length)?,
            given(verdict)?,
        );
        let content_type = std::str::from_utf8(content_type).map_err(|_| Reason::ServerAnswerInvalid)?;
        let current = keys.map(rn_keys::current);
        let keys = match &current {
            Some(current) => Some(current.verifying.as_ref().ok_or(Reason::InvalidArgument)?),
            None => None,
        };
        let read = introspector.read(content_type, body, keys, now)?;
        verdict.expires_at = read.expires_at.unwrap_or(0);
        verdict.scope_length = read.scope.len() as u32; // no longer than the answer
        verdict.forward_length = read.forward.len() as u32;
        caller.fill((read.scope + &read.forward).as_bytes(), text, capacity)
    })
}

fn new_introspector(caller: &Caller, options: &rn_introspector_options) -> Result<Introspector, ConfigError> {
    let read = |data, length| caller.option_bytes(data, length);
    let text = |data, length| caller.option_text(data, length);
    let path =
        |data, length| caller.option_path(data, length).map(|path| (!path.as_os_str().is_empty()).then_some(path));
    let key_id = text(options.signing_key_id, options.signing_key_id_length)?;
    Introspector::new(Options {
        identity: read(options.identity, options.identity_length)?,
        verify_key: path(options.verify_key, options.verify_key_length)?,
        issuers: lines(text(options.issuer, options.issuer_length)?),
        audiences: lines(text(options.audience, options.audience_length)?),
        signing_key: path(options.signing_key, options.signing_key_length)?,
        signing_key_id: (!key_id.is_empty()).then_some(key_id),
        claims: ClaimNames::parse(text(options.claims, options.claims_length)?),
        lifetime: options.lifetime,
    })
}

fn lines(text: &str) -> Option<Vec<String>> {
    (!text.is_empty()).then(|| text.lines().map(str::to_owned).collect())
}
