//! What a token can be revoked by, in digests of a fixed size.

use crate::digest::{hex, sha256};
use crate::jwt::Claims;

/// The digest of one name. 128 bits of SHA-256: nobody finds a second name with the same digest.
pub(super) type Key = [u8; 16];

/// The kinds of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The SHA-256 of a whole token, in hexadecimal digits.
    Token,
    /// The id of a token.
    Jti,
    /// A user.
    Sub,
    /// The digest of a user's login name, which is the same for all spellings.
    Account,
    /// A session.
    Sid,
    /// A desktop.
    Target,
    /// A signing key.
    Kid,
}

impl Kind {
    /// The kinds that a record can name.
    pub(super) const ALL: [Kind; 6] = [Kind::Token, Kind::Jti, Kind::Sub, Kind::Sid, Kind::Target, Kind::Kid];

    /// Returns the member of a record that has the name.
    pub(super) fn member(self) -> &'static str {
        match self {
            Kind::Token => "token_sha256",
            Kind::Jti => "jti",
            Kind::Sub => "sub",
            Kind::Account => "account",
            Kind::Sid => "sid",
            Kind::Target => "target",
            Kind::Kid => "kid",
        }
    }

    /// Returns whether two issuers may give the name to different things (RFC 7519 §4.1.2, §4.1.7).
    pub(super) fn has_issuer(self) -> bool {
        matches!(self, Kind::Jti | Kind::Sub | Kind::Sid)
    }

    pub(super) fn key(self, issuer: Option<&str>, name: &[u8]) -> Key {
        let issuer = issuer.unwrap_or_default().as_bytes();
        let length = (issuer.len() as u64).to_be_bytes();
        let digest = sha256(&[self.member().as_bytes(), &length, issuer, name]);
        std::array::from_fn(|at| digest[at])
    }
}

/// The names of one token or session. An empty text is an absent name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Names<'a> {
    /// The token itself.
    pub token: &'a [u8],
    /// Its `jti`.
    pub jti: &'a [u8],
    /// Its `sub`.
    pub sub: &'a [u8],
    /// The digest of the login name of a session.
    pub account: &'a [u8],
    /// Its `sid`.
    pub sid: &'a [u8],
    /// The `kid` of the key that verified it.
    pub kid: &'a [u8],
    /// The desktop that it leads to.
    pub target: &'a [u8],
    /// Its `iss`.
    pub iss: &'a [u8],
    /// When it was issued, in seconds since the epoch.
    pub issued_at: Option<i64>,
    /// When it expires, in seconds since the epoch.
    pub expires_at: Option<i64>,
}

impl<'a> Names<'a> {
    /// Returns the names of verified claims.
    pub fn of(token: &'a [u8], claims: &'a Claims) -> Names<'a> {
        let text = |name| claims.string(name).ok().flatten().unwrap_or_default().as_bytes();
        let issued_at = claims.numeric_date("iat").ok().flatten().map(|seconds| seconds.floor() as i64);
        let expires_at = claims.expires_at().ok().flatten();
        let kid = claims.key_id.as_deref().unwrap_or_default().as_bytes();
        let (jti, sub, sid, iss) = (text("jti"), text("sub"), text("sid"), text("iss"));
        Names { token, jti, sub, sid, kid, iss, issued_at, expires_at, account: b"", target: b"" }
    }

    /// Returns the identity: the digest of each name, and of each name together with its issuer.
    pub fn identity(&self) -> Identity {
        let issuer = std::str::from_utf8(self.iss).ok().filter(|issuer| !issuer.is_empty());
        let mut keys: Vec<_> = (!self.token.is_empty()).then(|| token_key(self.token)).into_iter().collect();
        let names = [
            (Kind::Jti, self.jti),
            (Kind::Sub, self.sub),
            (Kind::Account, self.account),
            (Kind::Sid, self.sid),
            (Kind::Target, self.target),
            (Kind::Kid, self.kid),
        ];
        for (kind, name) in names.into_iter().filter(|(_, name)| !name.is_empty()) {
            keys.push(kind.key(None, name));
            if issuer.is_some() && kind.has_issuer() {
                keys.push(kind.key(issuer, name));
            }
        }
        Identity { issued_at: self.issued_at, expires_at: self.expires_at, keys: keys.into() }
    }
}

/// Returns the digest of a whole token, whose name is its SHA-256 in hexadecimal digits.
fn token_key(token: &[u8]) -> Key {
    let digits: [u8; 64] = hex(&sha256(&[token]));
    Kind::Token.key(None, &digits)
}

/// The names of one token as digests. It holds no text that a reader of a dictionary could use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    issued_at: Option<i64>,
    expires_at: Option<i64>,
    keys: Box<[Key]>,
}

impl Identity {
    /// The size of [`Identity::to_bytes`] of a token with all names, in bytes.
    pub const MAX_BYTES: usize = 16 + 16 * 10;

    /// Returns when the token was issued, in seconds since the epoch.
    pub(super) fn issued_at(&self) -> Option<i64> {
        self.issued_at
    }

    /// Returns when the token expires, in seconds since the epoch.
    pub fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    /// Returns the digests.
    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Returns the identity with the name of a desktop.
    pub fn with_target(&self, target: &str) -> Identity {
        self.with(Kind::Target.key(None, target.as_bytes()))
    }

    /// Returns the identity with the token itself.
    pub fn with_token(&self, token: &[u8]) -> Identity {
        self.with(token_key(token))
    }

    fn with(&self, key: Key) -> Identity {
        Identity { keys: self.keys.iter().copied().chain([key]).collect(), ..*self }
    }

    /// Returns the identity as bytes: `issued_at` and `expires_at` (big-endian, −1 for none), then the digests.
    pub fn to_bytes(&self) -> Vec<u8> {
        let times = [self.issued_at, self.expires_at].map(|time| time.unwrap_or(-1).to_be_bytes());
        times.iter().flatten().chain(self.keys.iter().flatten()).copied().collect()
    }

    /// Reads the bytes of [`Identity::to_bytes`]. Returns `None` for others.
    pub fn from_bytes(bytes: &[u8]) -> Option<Identity> {
        let (issued_at, rest) = bytes.split_first_chunk::<8>()?;
        let (expires_at, digests) = rest.split_first_chunk::<8>()?;
        let (keys, rest) = digests.as_chunks::<16>();
        let [issued_at, expires_at] = [issued_at, expires_at].map(|time| {
            let seconds = i64::from_be_bytes(*time);
            (seconds >= 0).then_some(seconds)
        });
        let is_whole = rest.is_empty() && bytes.len() <= Identity::MAX_BYTES;
        is_whole.then(|| Identity { issued_at, expires_at, keys: keys.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_back_from_its_bytes() {
        let all = Names {
            token: b"t",
            jti: b"j",
            sub: b"s",
            account: b"a",
            sid: b"i",
            kid: b"k",
            target: b"d",
            iss: b"x",
            issued_at: Some(7),
            expires_at: Some(8),
        };
        for names in [all, Names::default(), Names { sub: b"s", ..Names::default() }] {
            let bytes = names.identity().to_bytes();
            assert!(bytes.len() <= Identity::MAX_BYTES);
            assert_eq!(Identity::from_bytes(&bytes), Some(names.identity()));
        }
        assert_eq!(all.identity().to_bytes().len(), Identity::MAX_BYTES);
        for bytes in [&b""[..], b"1234567", b"123456789012345", b"12345678901234567", &[0; Identity::MAX_BYTES + 16]] {
            assert_eq!(Identity::from_bytes(bytes), None);
        }
    }

    #[test]
    fn a_name_of_one_kind_or_issuer_is_no_name_of_another() {
        let sub = |issuer, name: &str| Kind::Sub.key(issuer, name.as_bytes());
        assert_ne!(sub(None, "ada"), Kind::Sid.key(None, b"ada"));
        assert_ne!(sub(None, "ada"), sub(Some("x"), "ada"));
        assert_ne!(sub(Some("ab"), "c"), sub(Some("a"), "bc"));
    }
}
