//! The reasons for a refusal: one fixed list, shared by the C ABI, the logs and the metrics.
//!
//! A number never changes its meaning; new reasons get new numbers. The hundreds tell whose fault it is: 1–99 the
//! caller of the C ABI, 100–199 the token (HTTP 401), 200–299 the configuration (HTTP 503), 300–399 another server,
//! such as the authorization server (HTTP 503).

/// One reason, with its stable number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(i32)]
#[error("{}", self.name())]
pub enum Reason {
    /// The caller's buffer is too small; the length out holds the size needed.
    BufferTooSmall = 1,
    /// An argument is a null pointer, a negative length or out of range.
    InvalidArgument = 2,
    /// This library has a bug (a caught panic).
    Internal = 3,
    /// The cache has no entry for that token, or the entry has expired.
    NotCached = 4,

    /// The request carries no token.
    TokenMissing = 100,
    /// The request carries several tokens in the same place.
    TokenAmbiguous = 101,
    /// The token is longer than [`crate::jwt::MAX_TOKEN_BYTES`].
    TokenTooLarge = 102,
    /// The token is not three canonical base64url parts with two JSON objects without duplicate members.
    TokenMalformed = 103,
    /// The header holds a parameter that is refused: `crit`, `zip`, `enc` or `b64`.
    HeaderUnsupported = 104,
    /// The key or the policy does not allow the token's `alg`.
    AlgorithmNotAllowed = 105,
    /// No key of the set has the token's `kid`.
    KeyNotFound = 106,
    /// The signature does not match.
    SignatureInvalid = 107,
    /// A registered claim has the wrong type or range.
    ClaimMalformed = 108,
    /// `exp` has passed.
    TokenExpired = 109,
    /// `nbf` has not come yet.
    TokenNotYetValid = 110,
    /// A claim that the policy requires is absent.
    ClaimMissing = 111,
    /// The token, or something that it names, is revoked.
    TokenRevoked = 112,
    /// The `hash` claim does not decrypt to an allowed target. The cause is withheld on purpose.
    PayloadInvalid = 120,

    /// The policy does not name the token's `iss`.
    IssuerNotAllowed = 130,
    /// `aud` names none of the policy's audiences.
    AudienceNotAllowed = 131,
    /// The time from `iat` to `exp` is longer than the policy allows.
    LifetimeTooLong = 132,
    /// The time since `iat` is longer than the policy allows.
    TokenTooOld = 133,
    /// The header's `typ` differs from the policy's.
    TypeNotAllowed = 134,
    /// An encrypted token does not decrypt. The cause is withheld on purpose.
    DecryptionFailed = 135,
    /// The token's `x5c` does not chain to a trusted certificate.
    CertificateNotTrusted = 136,
    /// A session id is malformed, or no current key signed it.
    SessionInvalid = 140,
    /// A session has reached its absolute lifetime.
    SessionExpired = 141,
    /// A path may lead to another origin.
    PathRefused = 142,
    /// The authorization server reports the token as inactive.
    TokenInactive = 150,
    /// The token lacks a required scope (HTTP 403).
    ScopeInsufficient = 151,

    /// The token needs a DPoP proof, and the request has none.
    ProofMissing = 160,
    /// The request has several DPoP proofs.
    ProofAmbiguous = 161,
    /// The DPoP proof is too long, is no JWT of type `dpop+jwt`, or has a claim that is absent or of the wrong type.
    ProofMalformed = 162,
    /// The proof's key is not a public key that may sign proofs, or its algorithm is not allowed.
    ProofKeyRefused = 163,
    /// The proof's signature does not match.
    ProofSignatureInvalid = 164,
    /// The proof is for another method or URI.
    ProofRequestMismatch = 165,
    /// The proof's `iat` is too old or in the future.
    ProofExpired = 166,
    /// The proof is for another token.
    ProofTokenMismatch = 167,
    /// The proof has been used before.
    ProofReplayed = 168,
    /// The proof has no current nonce of the server.
    ProofNonceInvalid = 169,
    /// Another key signed the proof than the one that the token is bound to.
    HolderKeyMismatch = 170,
    /// The token is bound to a key or a certificate, and the request shows no possession of it.
    TokenBound = 171,
    /// The token is not bound to its holder, as the configuration requires.
    TokenNotBound = 172,
    /// The client's certificate is not the one that the token is bound to.
    CertificateMismatch = 173,

    /// A key file is not configured or cannot be read.
    KeyUnreadable = 200,
    /// A key is of a kind that is not supported here.
    KeyUnsupported = 201,
    /// A key or secret is too short for its algorithm.
    KeyTooWeak = 202,
    /// A setting is unknown or has an invalid value.
    SettingInvalid = 203,
    /// A key cannot sign, or not with that algorithm.
    KeyCannotSign = 204,
    /// The session keys in the store are not in the format of this version.
    SessionKeysInvalid = 240,
    /// The memory of used proofs has no room for another.
    ReplayMemoryFull = 250,

    /// Another server cannot be reached, or does not respond in time.
    ServerUnreachable = 300,
    /// Another server responds with a status that says nothing about the token.
    ServerFailed = 301,
    /// Another server's response is malformed, or lacks a valid signature.
    ServerAnswerInvalid = 302,
    /// The store of revocations has been away for too long to accept a token.
    RevocationsUnknown = 303,
}

impl Reason {
    /// Returns the stable number.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// Returns the reason with that number.
    pub fn from_code(code: i32) -> Option<Reason> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

/// Writes [`Reason::ALL`] and [`Reason::name`] from one list, which the match keeps complete.
macro_rules! names {
    ($($reason:ident => $name:literal,)*) => {
        impl Reason {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [Reason] = &[$(Reason::$reason),*];

            /// Returns the stable name, as logs and metrics show it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Reason::$reason => $name,)*
                }
            }
        }
    };
}

names! {
    BufferTooSmall => "buffer_too_small",
    InvalidArgument => "invalid_argument",
    Internal => "internal",
    NotCached => "not_cached",
    TokenMissing => "token_missing",
    TokenAmbiguous => "token_ambiguous",
    TokenTooLarge => "token_too_large",
    TokenMalformed => "token_malformed",
    HeaderUnsupported => "header_unsupported",
    AlgorithmNotAllowed => "algorithm_not_allowed",
    KeyNotFound => "key_not_found",
    SignatureInvalid => "signature_invalid",
    ClaimMalformed => "claim_malformed",
    TokenExpired => "token_expired",
    TokenNotYetValid => "token_not_yet_valid",
    ClaimMissing => "claim_missing",
    TokenRevoked => "token_revoked",
    PayloadInvalid => "payload_invalid",
    IssuerNotAllowed => "issuer_not_allowed",
    AudienceNotAllowed => "audience_not_allowed",
    LifetimeTooLong => "lifetime_too_long",
    TokenTooOld => "token_too_old",
    TypeNotAllowed => "type_not_allowed",
    DecryptionFailed => "decryption_failed",
    CertificateNotTrusted => "certificate_not_trusted",
    SessionInvalid => "session_invalid",
    SessionExpired => "session_expired",
    PathRefused => "path_refused",
    TokenInactive => "token_inactive",
    ScopeInsufficient => "scope_insufficient",
    ProofMissing => "proof_missing",
    ProofAmbiguous => "proof_ambiguous",
    ProofMalformed => "proof_malformed",
    ProofKeyRefused => "proof_key_refused",
    ProofSignatureInvalid => "proof_signature_invalid",
    ProofRequestMismatch => "proof_request_mismatch",
    ProofExpired => "proof_expired",
    ProofTokenMismatch => "proof_token_mismatch",
    ProofReplayed => "proof_replayed",
    ProofNonceInvalid => "proof_nonce_invalid",
    HolderKeyMismatch => "holder_key_mismatch",
    TokenBound => "token_bound",
    TokenNotBound => "token_not_bound",
    CertificateMismatch => "certificate_mismatch",
    KeyUnreadable => "key_unreadable",
    KeyUnsupported => "key_unsupported",
    KeyTooWeak => "key_too_weak",
    SettingInvalid => "setting_invalid",
    KeyCannotSign => "key_cannot_sign",
    SessionKeysInvalid => "session_keys_invalid",
    ReplayMemoryFull => "replay_memory_full",
    ServerUnreachable => "server_unreachable",
    ServerFailed => "server_failed",
    ServerAnswerInvalid => "server_answer_invalid",
    RevocationsUnknown => "revocations_unknown",
}

/// A configuration error: the reason and one sentence for the operator, without key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// One of the 200s.
    pub reason: Reason,
    /// The sentence: what is wrong and where.
    pub message: String,
}

impl ConfigError {
    /// Returns a `KeyUnsupported`. The message continues a sentence that begins with the key's name.
    pub fn unsupported_key(message: &str) -> Self {
        Self::new(Reason::KeyUnsupported, message)
    }

    /// Returns an error with its message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        ConfigError { reason, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_and_maps_back_to_its_reason() {
        for pair in Reason::ALL.windows(2) {
            assert!(pair[0].code() < pair[1].code(), "{} and {}", pair[0], pair[1]);
        }
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
        assert_eq!(Reason::from_code(0), None);
    }

    /// Users' dashboards depend on the numbers: changing one must fail here.
    #[test]
    fn the_published_numbers_are_unchanged() {
        let published = [
            (Reason::BufferTooSmall, 1),
            (Reason::TokenMissing, 100),
            (Reason::TokenMalformed, 103),
            (Reason::SignatureInvalid, 107),
            (Reason::TokenExpired, 109),
            (Reason::PayloadInvalid, 120),
            (Reason::KeyUnreadable, 200),
            (Reason::SettingInvalid, 203),
        ];
        for (reason, code) in published {
            assert_eq!(reason.code(), code, "{reason}");
        }
    }
}
