//! Why something was refused: one fixed list, shared by the C ABI, the logs and the metrics.
//!
//! A number never changes its meaning; new reasons get new numbers. The hundreds tell whose fault it is:
//! 1–99 the caller of the C ABI, 100–199 the token (HTTP 401), 200–299 the configuration (HTTP 503),
//! 300–399 another server that is asked about the token (HTTP 503).

/// One reason, with its stable number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(i32)]
#[error("{}", self.name())]
pub enum Reason {
    /// The caller's buffer is smaller than the answer; the length out says what is needed.
    BufferTooSmall = 1,
    /// A null pointer, a negative length or a value outside its range.
    InvalidArgument = 2,
    /// A fault of this library (a caught panic).
    Internal = 3,
    /// Nothing is known under that key, or it has expired.
    NotCached = 4,

    /// The request carries no token.
    TokenMissing = 100,
    /// The request carries more than one token in the same place.
    TokenAmbiguous = 101,
    /// The token is longer than [`crate::jwt::MAX_TOKEN_BYTES`].
    TokenTooLarge = 102,
    /// Not three canonical base64url parts holding two JSON objects without duplicate members.
    TokenMalformed = 103,
    /// The header asks for something that is refused: `crit`, `zip`, `enc`, `b64`.
    HeaderUnsupported = 104,
    /// The token's `alg` is not one that the key and the policy allow.
    AlgorithmNotAllowed = 105,
    /// No key of the set bears the token's `kid`.
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
    /// The `hash` claim does not decrypt to an allowed target; deliberately not said why.
    PayloadInvalid = 120,

    /// `iss` is not one that the policy names.
    IssuerNotAllowed = 130,
    /// `aud` names none of the policy's audiences.
    AudienceNotAllowed = 131,
    /// `exp` lies further behind `iat` than the policy allows.
    LifetimeTooLong = 132,
    /// `iat` lies further back than the policy allows.
    TokenTooOld = 133,
    /// The header's `typ` is not the one that the policy names.
    TypeNotAllowed = 134,
    /// An encrypted token does not decrypt; deliberately not said why.
    DecryptionFailed = 135,
    /// No certificate authority that is trusted vouches for the token's `x5c`.
    CertificateNotTrusted = 136,
    /// A session id is malformed, or no key in force has signed it.
    SessionInvalid = 140,
    /// A session has reached its absolute lifetime.
    SessionExpired = 141,
    /// A path does not lead to the same origin.
    PathRefused = 142,
    /// The authorization server says that the token is not active.
    TokenInactive = 150,
    /// The token lacks a scope that is required (HTTP 403).
    ScopeInsufficient = 151,

    /// A key file is not named or cannot be read.
    KeyUnreadable = 200,
    /// A key is not of a kind that can be used here.
    KeyUnsupported = 201,
    /// A key or secret is too short for its algorithm.
    KeyTooWeak = 202,
    /// A setting has a value outside its range.
    SettingInvalid = 203,
    /// A key that cannot sign, or not with that algorithm, was asked to.
    KeyCannotSign = 204,
    /// The session keys in the store are not what this version has written.
    SessionKeysInvalid = 240,

    /// Another server cannot be reached, or does not answer in time.
    ServerUnreachable = 300,
    /// Another server answers with a status that says nothing about the token.
    ServerFailed = 301,
    /// Another server's answer cannot be understood, or is not signed as it must be.
    ServerAnswerInvalid = 302,
}

impl Reason {
    /// Every reason, in the order of its number.
    pub const ALL: &'static [Reason] = &[
        Reason::BufferTooSmall,
        Reason::InvalidArgument,
        Reason::Internal,
        Reason::NotCached,
        Reason::TokenMissing,
        Reason::TokenAmbiguous,
        Reason::TokenTooLarge,
        Reason::TokenMalformed,
        Reason::HeaderUnsupported,
        Reason::AlgorithmNotAllowed,
        Reason::KeyNotFound,
        Reason::SignatureInvalid,
        Reason::ClaimMalformed,
        Reason::TokenExpired,
        Reason::TokenNotYetValid,
        Reason::ClaimMissing,
        Reason::PayloadInvalid,
        Reason::IssuerNotAllowed,
        Reason::AudienceNotAllowed,
        Reason::LifetimeTooLong,
        Reason::TokenTooOld,
        Reason::TypeNotAllowed,
        Reason::DecryptionFailed,
        Reason::CertificateNotTrusted,
        Reason::SessionInvalid,
        Reason::SessionExpired,
        Reason::PathRefused,
        Reason::TokenInactive,
        Reason::ScopeInsufficient,
        Reason::KeyUnreadable,
        Reason::KeyUnsupported,
        Reason::KeyTooWeak,
        Reason::SettingInvalid,
        Reason::KeyCannotSign,
        Reason::SessionKeysInvalid,
        Reason::ServerUnreachable,
        Reason::ServerFailed,
        Reason::ServerAnswerInvalid,
    ];

    /// The stable number.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The reason with that number.
    pub fn from_code(code: i32) -> Option<Reason> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// The stable name, as logs and metrics show it.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::BufferTooSmall => "buffer_too_small",
            Reason::InvalidArgument => "invalid_argument",
            Reason::Internal => "internal",
            Reason::NotCached => "not_cached",
            Reason::TokenMissing => "token_missing",
            Reason::TokenAmbiguous => "token_ambiguous",
            Reason::TokenTooLarge => "token_too_large",
            Reason::TokenMalformed => "token_malformed",
            Reason::HeaderUnsupported => "header_unsupported",
            Reason::AlgorithmNotAllowed => "algorithm_not_allowed",
            Reason::KeyNotFound => "key_not_found",
            Reason::SignatureInvalid => "signature_invalid",
            Reason::ClaimMalformed => "claim_malformed",
            Reason::TokenExpired => "token_expired",
            Reason::TokenNotYetValid => "token_not_yet_valid",
            Reason::ClaimMissing => "claim_missing",
            Reason::PayloadInvalid => "payload_invalid",
            Reason::IssuerNotAllowed => "issuer_not_allowed",
            Reason::AudienceNotAllowed => "audience_not_allowed",
            Reason::LifetimeTooLong => "lifetime_too_long",
            Reason::TokenTooOld => "token_too_old",
            Reason::TypeNotAllowed => "type_not_allowed",
            Reason::DecryptionFailed => "decryption_failed",
            Reason::CertificateNotTrusted => "certificate_not_trusted",
            Reason::SessionInvalid => "session_invalid",
            Reason::SessionExpired => "session_expired",
            Reason::PathRefused => "path_refused",
            Reason::TokenInactive => "token_inactive",
            Reason::ScopeInsufficient => "scope_insufficient",
            Reason::KeyUnreadable => "key_unreadable",
            Reason::KeyUnsupported => "key_unsupported",
            Reason::KeyTooWeak => "key_too_weak",
            Reason::SettingInvalid => "setting_invalid",
            Reason::KeyCannotSign => "key_cannot_sign",
            Reason::SessionKeysInvalid => "session_keys_invalid",
            Reason::ServerUnreachable => "server_unreachable",
            Reason::ServerFailed => "server_failed",
            Reason::ServerAnswerInvalid => "server_answer_invalid",
        }
    }
}

/// A mistake in the configuration: the reason and one sentence that says what to change.
/// The sentence never holds key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct ConfigError {
    /// One of the 200s.
    pub reason: Reason,
    /// What is wrong and where.
    pub sentence: String,
}

impl ConfigError {
    /// A key that cannot be used: `KeyUnsupported`.
    pub(crate) fn unsupported_key(what: &str) -> Self {
        Self::new(Reason::KeyUnsupported, what)
    }

    /// A mistake with its sentence.
    pub fn new(reason: Reason, sentence: impl Into<String>) -> Self {
        ConfigError { reason, sentence: sentence.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_and_names_its_reason() {
        for pair in Reason::ALL.windows(2) {
            assert!(pair[0].code() < pair[1].code(), "{} and {}", pair[0], pair[1]);
        }
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
        assert_eq!(Reason::from_code(0), None);
    }

    /// The numbers are a promise to users' dashboards: changing one must fail here.
    #[test]
    fn the_published_numbers_stand() {
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
