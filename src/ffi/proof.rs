//! The C ABI of tokens that only their holder can use: DPoP proofs, their nonces, and client certificates. The
//! conventions are those of [`super`].

use super::{guard, release, required};
use crate::bound::{self, NonceSecret, ProofPolicy, Request};
use crate::error::Reason;

/// The longest proof, in bytes.
pub const RN_PROOF_BYTES: usize = 8192;
const _: () = assert!(bound::MAX_PROOF_BYTES == RN_PROOF_BYTES);

/// The length of the thumbprint of a key or of a certificate, in characters.
pub const RN_THUMBPRINT_BYTES: usize = 43;
const _: () = assert!(crate::keys::THUMBPRINT_BYTES == RN_THUMBPRINT_BYTES);

/// The size of [`rn_proof::id`], in bytes.
pub const RN_PROOF_ID_BYTES: usize = 32;

/// The length of a nonce, in characters.
pub const RN_NONCE_BYTES: usize = 32;
const _: () = assert!(bound::NONCE_BYTES == RN_NONCE_BYTES);

/// The size of the secret of nonces, in bytes.
pub const RN_NONCE_SECRET_BYTES: usize = 32;
const _: () = assert!(bound::SECRET_BYTES == RN_NONCE_SECRET_BYTES);

/// The form of a certificate in PEM.
pub const RN_CERTIFICATE_PEM: u32 = 0;
/// The form of a certificate in a `Client-Cert` header (RFC 9440).
pub const RN_CERTIFICATE_HEADER: u32 = 1;

/// The requirements of DPoP proofs.
#[allow(non_camel_case_types)]
pub struct rn_proof_policy(ProofPolicy);

/// The request of a proof, in the caller's memory.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_proof_request {
    /// The method.
    pub method: *const u8,
    /// Its length.
    pub method_length: usize,
    /// The path with its query, as received.
    pub target: *const u8,
    /// Its length.
    pub target_length: usize,
    /// The access token. Its length is 0 at a token endpoint.
    pub token: *const u8,
    /// Its length.
    pub token_length: usize,
    /// The thumbprint of the key that the token is bound to. Its length is 0 at a token endpoint.
    pub key: *const u8,
    /// Its length.
    pub key_length: usize,
    /// The secret of the nonces. Its length is 0 if the policy needs no nonce.
    pub secret: *const u8,
    /// Its length.
    pub secret_length: usize,
}

/// A valid proof.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rn_proof {
    /// The first second in which the proof is too old, since the epoch.
    pub ends_at: i64,
    /// 1 if the client needs a new nonce, else 0.
    pub needs_nonce: u32,
    /// The thumbprint of the key that signed the proof.
    pub thumbprint: [u8; RN_THUMBPRINT_BYTES],
    /// What tells this proof from every other.
    pub id: [u8; RN_PROOF_ID_BYTES],
}

/// Creates a policy from its JSON: an object with `origins` and any of `algorithms`, `max_age`, `leeway` and
/// `nonce_seconds`.
///
/// Errors: `SettingInvalid`, with one sentence in `error`.
///
/// Release with [`rn_proof_policy_free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_proof_policy_new(
    json: *const u8,
    json_length: usize,
    policy: Option<&mut *mut rn_proof_policy>,
    error: *mut u8,
    error_capacity: usize,
    error_length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (json, policy) = (caller.bytes(json, json_length)?, required(policy)?);
        let result = ProofPolicy::from_json(json).map(rn_proof_policy);
        caller.new_handle(result, policy, error, error_capacity, error_length)
    })
}

/// Releases a policy. Null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn rn_proof_policy_free(policy: Option<Box<rn_proof_policy>>) {
    release(policy)
}

/// Writes the names of the policy's algorithms, separated by blanks.
///
/// Errors: `BufferTooSmall` (256 bytes are enough for a list without repetitions).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_proof_policy_algorithms(
    policy: Option<&rn_proof_policy>,
    names: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| caller.write(required(policy)?.0.algorithm_names().as_bytes(), names, capacity, length))
}

/// Checks a proof. Whether it was used before is the caller's to check, by [`rn_proof::id`].
///
/// Errors: `ProofMissing` for an empty one, `ProofMalformed`, `ProofKeyRefused`, `ProofSignatureInvalid`,
/// `ProofRequestMismatch`, `ProofExpired`, `ProofTokenMismatch`, `HolderKeyMismatch`, `ProofNonceInvalid`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_proof_check(
    policy: Option<&rn_proof_policy>,
    proof: *const u8,
    proof_length: usize,
    request: Option<&rn_proof_request>,
    now: i64,
    result: Option<&mut rn_proof>,
) -> i32 {
    guard(|caller| {
        let (policy, request, result) = (&required(policy)?.0, required(request)?, required(result)?);
        let given = |bytes: &[u8]| !bytes.is_empty();
        let secret = caller.bytes(request.secret, request.secret_length)?;
        let secret = given(secret).then(|| NonceSecret::new(secret)).transpose()?;
        let request = Request {
            method: caller.bytes(request.method, request.method_length)?,
            target: caller.bytes(request.target, request.target_length)?,
            token: Some(caller.bytes(request.token, request.token_length)?).filter(|token| given(token)),
            key: Some(caller.bytes(request.key, request.key_length)?).filter(|key| given(key)),
        };
        let proof = bound::check(caller.bytes(proof, proof_length)?, &request, policy, secret.as_ref(), now)?;
        result.ends_at = proof.ends_at;
        result.needs_nonce = u32::from(proof.needs_nonce);
        (result.thumbprint, result.id) = (proof.thumbprint, proof.id);
        Ok(())
    })
}

/// Writes claims, the JSON of one object, with a `cnf` that binds their token to the key of a proof.
///
/// Errors: `ClaimMalformed` when the claims are not a JSON object, have a `cnf`, or have a number whose digits would be
/// lost; `BufferTooSmall`; `InvalidArgument`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_proof_bind(
    claims: *const u8,
    claims_length: usize,
    thumbprint: *const u8,
    thumbprint_length: usize,
    bound: *mut u8,
    capacity: usize,
    length: Option<&mut usize>,
) -> i32 {
    guard(|caller| {
        let (claims, key) = (caller.bytes(claims, claims_length)?, caller.bytes(thumbprint, thumbprint_length)?);
        let key = std::str::from_utf8(key).map_err(|_| Reason::InvalidArgument)?;
        caller.write(&bound::bind(claims, key)?, bound, capacity, length)
    })
}

/// Writes a new secret of nonces: 32 random bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_nonce_secret_new(secret: *mut u8) -> i32 {
    guard(|caller| caller.fill(&NonceSecret::generate()?, secret, RN_NONCE_SECRET_BYTES))
}

/// Writes the nonce of the current period, which has `seconds`: 32 characters.
///
/// Errors: `InvalidArgument` for a secret of another size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_nonce_write(
    secret: *const u8,
    secret_length: usize,
    now: i64,
    seconds: u32,
    nonce: *mut u8,
) -> i32 {
    guard(|caller| {
        let secret = NonceSecret::new(caller.bytes(secret, secret_length)?)?;
        caller.fill(&secret.current(now, seconds), nonce, RN_NONCE_BYTES)
    })
}

/// Writes the thumbprint of a certificate (RFC 8705 §3.1): 43 characters. `form` is one of the `RN_CERTIFICATE`s.
///
/// Errors: `CertificateMismatch` for a text that holds no certificate in that form; `InvalidArgument`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rn_certificate_thumbprint(
    form: u32,
    text: *const u8,
    text_length: usize,
    thumbprint: *mut u8,
) -> i32 {
    guard(|caller| {
        let text = caller.bytes(text, text_length)?;
        let found = match form {
            RN_CERTIFICATE_PEM => bound::of_pem(text)?,
            RN_CERTIFICATE_HEADER => bound::of_header(text)?,
            _ => return Err(Reason::InvalidArgument),
        };
        caller.fill(&found, thumbprint, RN_THUMBPRINT_BYTES)
    })
}
