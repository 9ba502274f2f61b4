//! The C ABI of phantom tokens. The conventions are those of [`super`].

use super::keys::rn_keys;
use super::{Caller, clock, guard, release, required, rn_header};
use crate::credential;
use crate::error::{ConfigError, Reason};
use crate::introspection::{self, ClaimNames, Introspector, Options};

/// The size of [`rn_bearer::key`], in bytes.
pub const RN_CACHE_KEY_BYTES: usize = 32;

/// The settings of [`rn_introspector_new`]. A text is a pointer and a length, which is 0 for an absent text.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_introspector_options {
    /// A text that identifies the configuration in caches, apart from its keys.
    pub identity: *const u8,
    /// Its length.
    pub identity_length: usize,
    /// The path of the file with the keys that verify the server's JWTs. Absent: they are not verified.
    pub verify_key: *const u8,
    /// Its length.
    pub verify_key_length: usize,
    /// The allowed values of `iss` in the server's responses, one per line. Absent: `iss` is ignored.
    pub issuer: *const u8,
    /// Its length.
    pub issuer_length: usize,
    /// The audiences of which `aud` in the server's responses must name one, one per line. Absent: `aud` is ignored.
    pub audience: *const u8,
    /// Its length.
    pub audience_length: usize,
    /// The path of the file with the private key that signs JWTs for the API. Absent: none are signed.
    pub signing_key: *const u8,
    /// Its length.
    pub signing_key_length: usize,
    /// The `kid` of signed JWTs.
    pub signing_key_id: *const u8,
    /// Its length.
    pub signing_key_id_length: usize,
    /// The names of the claims that the API receives in place of a JWT, one per line. Absent: it receives a JWT.
    pub claims: *const u8,
    /// Its length.
    pub claims_length: usize,
    /// The lifetime of a signed JWT in seconds, for a response without `exp`.
    pub lifetime: u32,
}

/// The token of a request, in the caller's memory.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_bearer {
    /// The token within the request's headers, and valid as long as they are.
    pub token: *const u8,
    /// The token's length, in bytes.
    pub token_length: u32,
    /// 1 if the token's scheme is DPoP, 0 if it is Bearer.
    pub is_dpop: u32,
    /// The token's cache key: a digest of the configuration, its keys and the token.
    pub key: [u8; RN_CACHE_KEY_BYTES],
}

/// The result for an active token. Its four texts follow each other in the caller's buffer.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_verdict {
    /// The expiry in seconds since the epoch, 0 for none.
    pub expires_at: i64,
    /// The length of the first text: the scopes, separated by spaces.
    pub scope_length: u32,
    /// The length of the second text: what the API receives.
    pub forward_length: u32,
    /// The length of the third text: the identity of the token, for [`super::rn_identity_check`].
    pub identity_length: u32,
    /// The length of the fourth text: the JSON of `cnf`, 0 for none.
    pub confirmation_length: u32,
}

/// A reader of one authorization server's responses.
#[allow(non_camel_case_types)]
pub struct rn_introspector(Introspector);

/// Creates an introspector: reads and parses its keys.
///
/// Errors: the 200s, with one sentence in `error`.
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
        let (options, introspector) = (required(options)?, required(introspector)?);
        let result = new_introspector(caller, options).map(rn_introspector);
        let notes = |new: &rn_introspector| new.0.notes(clock());
        caller.new_handle_with_notes(result, notes, introspector, error, error_capacity, error_length)
    })
}

/// Releases an introspector. Null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_introspector_free(introspector: Option<Box<rn_introspector>>) {
    release(introspector)
}

/// Finds the bearer token in a request's headers and computes its cache key: the hot path in one call. If `takes_dpop` is
/// not 0, the token's scheme may be DPoP too.
///
/// Errors: `TokenMissing`, `TokenAmbiguous`, `TokenTooLarge`, `TokenMalformed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_introspector_find(
    introspector: Option<&rn_introspector>,
    headers: *const rn_header,
    count: usize,
    takes_dpop: u32,
    bearer: Option<&mut rn_bearer>,
) -> i32 {
    guard(|caller| {
        let (introspector, headers, bearer) =
            (&required(introspector)?.0, caller.array(headers, count)?, required(bearer)?);
        let pairs = headers.iter().map(|header| (caller.string(&header.name), caller.string(&header.value)));
        let sent = credential::authorization(pairs, takes_dpop != 0)?;
        let token = sent.token;
        bearer.is_dpop = u32::from(sent.is_dpop);
        bearer.token = token.as_ptr();
        bearer.token_length = token.len() as u32; // at most MAX_TOKEN_BYTES
        bearer.key = introspector.cache_key(token);
        Ok(())
    })
}

/// Reads a server's response of status 200. `keys` are the server's published keys; null uses those of the options. For
/// an active token, writes to `text` its scopes, followed by what the API receives, by the identity of `token`, and by the JSON of `cnf`.
///
/// Errors:
///
/// - `TokenInactive`, `TokenExpired`, `TokenNotYetValid`, `IssuerNotAllowed`, `AudienceNotAllowed`: the token is
///   refused.
/// - `ServerAnswerInvalid`: the response is invalid and says nothing about the token.
/// - `KeyNotFound`: no key of `keys` matches the response's `kid`. Refresh the keys and retry.
/// - `KeyUnsupported`: the response is JSON, and neither a signing key nor claims are configured.
/// - `BufferTooSmall`: `verdict` holds the lengths needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_introspector_read(
    introspector: Option<&rn_introspector>,
    keys: Option<&rn_keys>,
    content_type: *const u8,
    content_type_length: usize,
    body: *const u8,
    body_length: usize,
    token: *const u8,
    token_length: usize,
    now: i64,
    verdict: Option<&mut rn_verdict>,
    text: *mut u8,
    capacity: usize,
) -> i32 {
    guard(|caller| {
        let (introspector, content_type, body, verdict) = (
            &required(introspector)?.0,
            caller.bytes(content_type, content_type_length)?,
            caller.bytes(body, body_length)?,
            required(verdict)?,
        );
        let content_type = std::str::from_utf8(content_type).map_err(|_| Reason::ServerAnswerInvalid)?;
        let current = keys.map(rn_keys::current);
        let keys = current.as_ref().map(|current| &current.verifying);
        let result = introspector.read(content_type, body, keys, now)?;
        verdict.expires_at = result.expires_at.unwrap_or(0);
        verdict.scope_length = result.scope.len() as u32; // no longer than the response
        verdict.forward_length = result.forward.len() as u32;
        let identity = result.identity.with_token(caller.bytes(token, token_length)?).to_bytes();
        verdict.identity_length = identity.len() as u32; // at most RN_IDENTITY_BYTES
        verdict.confirmation_length = result.confirmation.len() as u32; // bounded
        let texts = [result.scope.as_bytes(), result.forward.as_bytes(), &identity, result.confirmation.as_bytes()];
        caller.fill(&texts.concat(), text, capacity)
    })
}

/// Writes to `name` the first member of a server's response that makes it malformed, for a message. Writes nothing when
/// the form of the response is not the fault.
///
/// Errors: `BufferTooSmall` (32 bytes are always enough).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_introspection_malformed_member(
    content_type: *const u8,
    content_type_length: usize,
    body: *const u8,
    body_length: usize,
    name: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (content_type, body, length) =
            (caller.bytes(content_type, content_type_length)?, caller.bytes(body, body_length)?, required(length)?);
        let content_type = std::str::from_utf8(content_type).unwrap_or_default();
        let member = introspection::malformed_member(content_type, body).unwrap_or_default();
        *length = member.len();
        caller.fill(member.as_bytes(), name, capacity)
    })
}

fn new_introspector(caller: &Caller, options: &rn_introspector_options) -> Result<Introspector, ConfigError> {
    let text = |data, length| caller.option_text(data, length);
    let path =
        |data, length| caller.option_path(data, length).map(|path| (!path.as_os_str().is_empty()).then_some(path));
    let key_id = text(options.signing_key_id, options.signing_key_id_length)?;
    Introspector::new(Options {
        identity: caller.option_bytes(options.identity, options.identity_length)?,
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
