//! Encrypted tokens: compact JWE (RFC 7516 §7.1). [`Management::ALL`] has the algorithms of key management,
//! [`super::content`] those of content encryption.
//!
//! Every failure of a decryption is the same [`Reason::DecryptionFailed`]: a key that does not unwrap is replaced by a
//! random one, so that neither the result nor its timing reveals what failed (RFC 7516 §11.5).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::content::{ENCRYPTIONS, Encryption, open, seal};
use super::{MAX_TOKEN_BYTES, decode};
use crate::error::Reason;
use crate::json::parse_object;
use crate::keys::{Content, Direction, EncryptionKeys, Management, decoded, key_id, random};

/// The header parameters that are refused: critical extensions, compression, whose result has no bound, and the
/// parameters of PBES2.
const REFUSED_HEADERS: [&str; 5] = ["crit", "b64", "zip", "p2c", "p2s"];

/// The supported parameters of a token's header.
struct Header {
    management: Management,
    content: Content,
    encryption: Encryption,
    key_id: Option<String>,
    members: Map<String, Value>,
}

impl Header {
    /// Parses a header.
    ///
    /// Errors: `TokenMalformed`, `AlgorithmNotAllowed` for an unsupported `alg` or `enc`, `HeaderUnsupported`.
    fn parse(json: &[u8]) -> Result<Header, Reason> {
        let members = parse_object(json).ok_or(Reason::TokenMalformed)?;
        let text = |name| members.get(name).and_then(Value::as_str).ok_or(Reason::TokenMalformed);
        let (alg, enc) = (text("alg")?, text("enc")?);
        let management = Management::from_name(alg).ok_or(Reason::AlgorithmNotAllowed)?;
        let found = ENCRYPTIONS.iter().find(|(name, _)| *name == enc);
        let (name, encryption) = *found.ok_or(Reason::AlgorithmNotAllowed)?;
        if REFUSED_HEADERS.iter().any(|name| members.contains_key(*name)) {
            return Err(Reason::HeaderUnsupported);
        }
        let content = Content { name, size: encryption.key_bytes() };
        Ok(Header { management, content, encryption, key_id: key_id(&members)?, members })
    }

    /// Checks that the parameters of the key management are there (RFC 7518 §4.6.1, §4.7.1).
    ///
    /// Errors: `TokenMalformed`.
    fn check_parameters(&self) -> Result<(), Reason> {
        let sizes = |name| decoded(&self.members, name).map(|bytes| bytes.map(|bytes| bytes.len()));
        let is_complete = match self.management {
            Management::GcmKeyWrap(_) => (sizes("iv")?, sizes("tag")?) == (Some(12), Some(16)),
            Management::Agreement(_) => {
                check_parties(&self.members)?;
                self.members.get("epk").is_some_and(Value::is_object)
            }
            _ => true,
        };
        if is_complete { Ok(()) } else { Err(Reason::TokenMalformed) }
    }
}

/// Checks that what the header says about the parties, from which the key is derived, can be decoded.
///
/// Errors: `TokenMalformed`.
fn check_parties(members: &Map<String, Value>) -> Result<(), Reason> {
    ["apu", "apv"].into_iter().try_for_each(|name| decoded(members, name).map(drop))
}

/// Decrypts a token and returns the header's JSON and the plaintext.
///
/// Errors: `TokenMissing`, `TokenTooLarge`, `TokenMalformed`, `AlgorithmNotAllowed` when no key allows the token's `alg`
/// and `enc`, `HeaderUnsupported`, `KeyNotFound`, `DecryptionFailed` for everything else.
pub fn decrypt(token: &[u8], keys: &EncryptionKeys) -> Result<(Vec<u8>, Vec<u8>), Reason> {
    if token.is_empty() {
        return Err(Reason::TokenMissing);
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Reason::TokenTooLarge);
    }
    let parts: Vec<_> = token.splitn(6, |byte| *byte == b'.').collect();
    let [protected, encrypted, iv, ciphertext, tag] = parts.as_slice() else { return Err(Reason::TokenMalformed) };
    let json = decode(protected)?;
    let header = Header::parse(&json)?;
    header.check_parameters()?;
    let (encrypted, iv, ciphertext, tag) = (decode(encrypted)?, decode(iv)?, decode(ciphertext)?, decode(tag)?);
    if header.management.is_direct() != encrypted.is_empty() {
        return Err(Reason::TokenMalformed);
    }
    let Header { management, content, encryption, ref key_id, ref members } = header;
    for key in keys.fitting(Direction::Decrypt, management, content, key_id.as_deref())? {
        let fallback = random(content.size)?;
        let found = key.unwrap(management, content, members, &encrypted);
        let content_key = found.filter(|found| found.len() == content.size).unwrap_or(fallback);
        if let Some(text) = open(encryption, &content_key, &iv, protected, ciphertext.clone(), &tag) {
            return Ok((json, text));
        }
    }
    Err(Reason::DecryptionFailed)
}

/// Encrypts `plaintext` under a header, a JSON object with `alg` and `enc`, and returns the token. The header gets the
/// parameters of its key management and the key's `kid`, and is otherwise unchanged.
///
/// Errors: `TokenMalformed`, `HeaderUnsupported`, `AlgorithmNotAllowed` for an unsupported `alg` or `enc`,
/// `KeyUnsupported` when no key can encrypt with them, `TokenTooLarge`.
pub fn encrypt(json: &[u8], plaintext: &[u8], keys: &EncryptionKeys) -> Result<String, Reason> {
    if json.len() + plaintext.len() > MAX_TOKEN_BYTES {
        return Err(Reason::TokenTooLarge);
    }
    let Header { management, content, encryption, key_id, mut members } = Header::parse(json)?;
    let found = keys.fitting(Direction::Encrypt, management, content, key_id.as_deref());
    let key = *found.map_err(|_| Reason::KeyUnsupported)?.first().ok_or(Reason::KeyUnsupported)?;
    check_parties(&members)?;
    let mut wrapped = key.wrap(management, content, &members)?.ok_or(Reason::KeyUnsupported)?;
    if let Some(id) = key.id().filter(|_| key_id.is_none()) {
        wrapped.members.insert("kid".into(), id.into());
    }
    let mut token = if wrapped.members.is_empty() {
        URL_SAFE_NO_PAD.encode(json)
    } else {
        members.append(&mut wrapped.members);
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&members).map_err(|_| Reason::Internal)?)
    };
    let iv = random(encryption.iv_bytes())?;
    let sealed = seal(encryption, &wrapped.key, &iv, token.as_bytes(), plaintext);
    let (ciphertext, tag) = sealed.ok_or(Reason::Internal)?;
    for part in [wrapped.encrypted, iv.to_vec(), ciphertext, tag] {
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(part, &mut token);
    }
    if token.len() > MAX_TOKEN_BYTES { Err(Reason::TokenTooLarge) } else { Ok(token) }
}
