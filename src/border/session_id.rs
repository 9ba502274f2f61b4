//! Session ids of the border: random, dated, and signed with keys that rotate.
//!
//! An id is 57 bytes in base64url without padding, 76 characters:
//!
//! ```text
//! version (1) | seconds since the epoch when the session began (8, big-endian) | random (16) | HMAC-SHA-256 (32)
//! ```
//!
//! The signature keeps guessed and outdated ids away from the session store, which holds the session under the digest
//! of its id. The newest of the [`SessionKeys`] in force signs ids, and each of them verifies ids.
//!
//! The same keys sign the page that a visitor requested before the login. The signed page lives in a cookie, so that no
//! server has to store it. It is base64url of:
//!
//! ```text
//! version (1) | seconds since the epoch (8, big-endian) | path | HMAC-SHA-256 (32)
//! ```
//!
//! Its version and its HMAC context differ from an id's, so that neither can pass as the other.
//!
//! All instances share the keys through their store as a ring, a text: `v1 SECONDS:KEY SECONDS:KEY`, newest first.
//! SECONDS is the time since the epoch from which the key signs. A new key is stored before that time, so that every
//! instance knows it when the first id is signed with it.

use std::fmt::Write as _;

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::digest::{hex, sha256};
use crate::error::Reason;

/// The length of a session id, in characters.
pub const ID_BYTES: usize = 76;
/// The length of an id's digest, its key in the store, in hexadecimal digits.
pub const DIGEST_BYTES: usize = 64;
/// The longest ring: two keys.
pub const MAX_RING_BYTES: usize = 160;

const VERSION: u8 = 1;
const RAW_BYTES: usize = 57;
const SIGNED_BYTES: usize = 25;
const SIGNATURE_BYTES: usize = 32;
const PAGE_VERSION: u8 = 2;
/// The length of version and time, which precede the path of a page.
const PAGE_HEAD_BYTES: usize = 9;
/// The longest path of a page. With its name and attributes, the cookie stays below the 4,096 bytes of RFC 6265 §6.1.
pub(crate) const MAX_PATH_BYTES: usize = 2000;
/// The length of the longest signed page, in characters: 2,041 bytes in base64url.
pub(crate) const MAX_PAGE_BYTES: usize = 2722;
const KEY_BYTES: usize = 32;
/// The most keys of a ring: the key in force, and either its predecessor or its successor.
const MAX_KEYS: usize = 2;
const RING_VERSION: &str = "v1";
/// The tolerated difference of two instances' clocks, in seconds.
const MAX_CLOCK_SKEW: i64 = 60;
/// The HMAC contexts, which separate both kinds of signatures from each other and from other uses of the keys.
const CONTEXT: &[u8] = b"route_native border session id\0";
const PAGE_CONTEXT: &[u8] = b"route_native border page\0";

struct Key {
    /// The time from which the key signs, in seconds since the epoch.
    since: i64,
    secret: Zeroizing<[u8; KEY_BYTES]>,
}

/// The keys that sign and accept session ids, newest first.
pub struct SessionKeys(Vec<Key>);

impl SessionKeys {
    /// Generates one key that is in force from `now`, in seconds since the epoch.
    pub fn new(now: i64) -> Result<SessionKeys, Reason> {
        Ok(SessionKeys(vec![Key { since: now, secret: random_key()? }]))
    }

    /// Parses a ring.
    ///
    /// Errors: `SessionKeysInvalid`.
    pub fn parse(text: &[u8]) -> Result<SessionKeys, Reason> {
        read_ring(text).ok_or(Reason::SessionKeysInvalid)
    }

    /// Returns the ring.
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(MAX_RING_BYTES));
        text.push_str(RING_VERSION);
        for key in &self.0 {
            let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(*key.secret));
            // Writing to a string cannot fail.
            let _ = write!(text, " {}:{}", key.since, *secret);
        }
        text
    }

    /// Rotates the keys if the newest has been in force for `period` seconds. Returns the key in force and a new key,
    /// which will be in force in `notice` seconds; `None` if a rotation is not due.
    pub fn rotated(&self, now: i64, period: u32, notice: u32) -> Result<Option<SessionKeys>, Reason> {
        let newest = &self.0[0];
        if now.saturating_sub(newest.since) < i64::from(period) {
            return Ok(None);
        }
        let next = Key { since: now.saturating_add(i64::from(notice)), secret: random_key()? };
        Ok(Some(SessionKeys(vec![next, Key { since: newest.since, secret: newest.secret.clone() }])))
    }

    /// Generates the id of a session that begins at `now`.
    pub fn new_id(&self, now: i64) -> Result<[u8; ID_BYTES], Reason> {
        let mut raw = [0; RAW_BYTES];
        raw[0] = VERSION;
        raw[1..9].copy_from_slice(&now.to_be_bytes());
        rand::fill(&mut raw[9..SIGNED_BYTES]).map_err(|_| Reason::Internal)?;
        let signature = self.signature(CONTEXT, &raw[..SIGNED_BYTES], now)?;
        raw[SIGNED_BYTES..].copy_from_slice(signature.as_ref());

        let mut id = [0; ID_BYTES];
        URL_SAFE_NO_PAD.encode_slice(raw, &mut id).map_err(|_| Reason::Internal)?;
        Ok(id)
    }

    /// Checks an id, in constant time for each key, and returns the session's age in seconds.
    ///
    /// Errors: `SessionInvalid`; `SessionExpired` from an age of `lifetime` seconds.
    pub fn check(&self, id: &[u8], now: i64, lifetime: u32) -> Result<u32, Reason> {
        let raw = decode(id).ok_or(Reason::SessionInvalid)?;
        let (signed, signature) = raw.split_at(SIGNED_BYTES);
        self.check_signature(CONTEXT, signed, signature)?;
        age_of(signed, now, lifetime)
    }

    /// Signs the path of a page that was requested at `now`, and returns the signed page in base64url.
    ///
    /// Errors: `InvalidArgument` for a path of more than 2,000 bytes.
    pub fn sign_page(&self, path: &[u8], now: i64) -> Result<String, Reason> {
        if path.len() > MAX_PATH_BYTES {
            return Err(Reason::InvalidArgument);
        }
        let mut raw = [&[PAGE_VERSION][..], &now.to_be_bytes(), path].concat();
        let signature = self.signature(PAGE_CONTEXT, &raw, now)?;
        raw.extend_from_slice(signature.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(raw))
    }

    /// Checks a signed page, in constant time for each key, and returns its path.
    ///
    /// Errors: `SessionInvalid`; `SessionExpired` from an age of `lifetime` seconds.
    pub fn check_page(&self, page: &[u8], now: i64, lifetime: u32) -> Result<Vec<u8>, Reason> {
        let invalid = Reason::SessionInvalid;
        let text = (page.len() <= MAX_PAGE_BYTES).then_some(page).ok_or(invalid)?;
        let raw = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid)?;
        let (signed, signature) = raw.split_last_chunk::<SIGNATURE_BYTES>().ok_or(invalid)?;
        self.check_signature(PAGE_CONTEXT, signed, signature)?;
        let path = signed.get(PAGE_HEAD_BYTES..).filter(|_| signed[0] == PAGE_VERSION).ok_or(invalid)?;
        age_of(signed, now, lifetime)?;
        Ok(path.to_owned())
    }

    fn signature(&self, context: &[u8], signed: &[u8], now: i64) -> Result<hmac::Tag, Reason> {
        // Where a clock is behind, no key may be in force yet. Every instance knows the oldest key.
        let key = self.0.iter().find(|key| key.since <= now).or(self.0.last()).ok_or(Reason::Internal)?;
        Ok(hmac::sign(&signer(key), &[context, signed].concat()))
    }

    fn check_signature(&self, context: &[u8], signed: &[u8], signature: &[u8]) -> Result<(), Reason> {
        let message = [context, signed].concat();
        let is_signed = |key| hmac::verify(&signer(key), &message, signature).is_ok();
        if self.0.iter().any(is_signed) { Ok(()) } else { Err(Reason::SessionInvalid) }
    }
}

/// Returns the age of an id or a page in seconds. Its time follows its version.
///
/// Errors: `SessionInvalid` for a time in the future, `SessionExpired` from an age of `lifetime` seconds.
fn age_of(signed: &[u8], now: i64, lifetime: u32) -> Result<u32, Reason> {
    let seconds = signed.get(1..9).and_then(|bytes| bytes.try_into().ok()).ok_or(Reason::Internal)?;
    let began = i64::from_be_bytes(seconds);
    if began > now.saturating_add(MAX_CLOCK_SKEW) {
        return Err(Reason::SessionInvalid);
    }
    let age = u32::try_from(now.saturating_sub(began).max(0)).map_err(|_| Reason::SessionExpired)?;
    if age >= lifetime { Err(Reason::SessionExpired) } else { Ok(age) }
}

/// Returns the SHA-256 of a text in hexadecimal: the key of a session in the store.
pub fn digest_of(text: &[u8]) -> [u8; DIGEST_BYTES] {
    hex(&sha256(&[text]))
}

fn decode(id: &[u8]) -> Option<[u8; RAW_BYTES]> {
    let mut raw = [0; RAW_BYTES];
    // 57 is a multiple of 3, so that base64url has no trailing bits and each id one spelling.
    let length = (id.len() == ID_BYTES).then(|| URL_SAFE_NO_PAD.decode_slice(id, &mut raw).ok())??;
    (length == RAW_BYTES && raw[0] == VERSION).then_some(raw)
}

fn signer(key: &Key) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.secret.as_slice())
}

fn random_key() -> Result<Zeroizing<[u8; KEY_BYTES]>, Reason> {
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(secret.as_mut_slice()).map_err(|_| Reason::Internal)?;
    Ok(secret)
}

fn read_ring(text: &[u8]) -> Option<SessionKeys> {
    let mut parts = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_RING_BYTES)?.split(' ');
    if parts.next()? != RING_VERSION {
        return None;
    }
    let keys = parts.map(read_key).collect::<Option<Vec<_>>>()?;
    let ordered = keys.windows(2).all(|pair| pair[0].since >= pair[1].since);
    (ordered && (1..=MAX_KEYS).contains(&keys.len())).then_some(SessionKeys(keys))
}

fn read_key(part: &str) -> Option<Key> {
    let (since, text) = part.split_once(':')?;
    let since = since.bytes().all(|byte| byte.is_ascii_digit()).then(|| since.parse().ok())??;
    let decoded = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
    let secret = Zeroizing::new(decoded.as_slice().try_into().ok()?);
    Some(Key { since, secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: u32 = 86_400;

    fn ring() -> SessionKeys {
        SessionKeys::new(NOW).unwrap()
    }

    #[test]
    fn an_id_is_accepted_until_its_lifetime_ends() {
        let ring = ring();
        let id = ring.new_id(NOW).unwrap();
        assert_eq!(ring.check(&id, NOW, 100), Ok(0));
        assert_eq!(ring.check(&id, NOW + 99, 100), Ok(99));
        assert_eq!(ring.check(&id, NOW + 100, 100), Err(Reason::SessionExpired));
        assert_eq!(ring.check(&id, i64::MAX, u32::MAX), Err(Reason::SessionExpired));
    }

    #[test]
    fn ids_are_random_and_a_modified_id_is_refused() {
        let ring = ring();
        let id = ring.new_id(NOW).unwrap();
        assert_ne!(id, ring.new_id(NOW).unwrap());
        for i in 0..ID_BYTES {
            let mut forged = id;
            forged[i] = if forged[i] == b'A' { b'B' } else { b'A' };
            assert_eq!(ring.check(&forged, NOW, DAY), Err(Reason::SessionInvalid), "character {i}");
        }
        for other in [&id[..75], &[&id[..], b"A"].concat(), b"", &[b'='; 76], &[0xff; 76]] {
            assert_eq!(ring.check(other, NOW, DAY), Err(Reason::SessionInvalid));
        }
    }

    #[test]
    fn an_id_from_a_clock_that_is_a_minute_ahead_is_accepted() {
        let ring = ring();
        let id = ring.new_id(NOW + 60).unwrap();
        assert_eq!(ring.check(&id, NOW, DAY), Ok(0));
        assert_eq!(ring.check(&id, NOW - 1, DAY), Err(Reason::SessionInvalid));
    }

    #[test]
    fn an_id_of_another_ring_is_refused() {
        let id = ring().new_id(NOW).unwrap();
        assert_eq!(ring().check(&id, NOW, DAY), Err(Reason::SessionInvalid));
    }

    #[test]
    fn a_rotation_waits_for_its_period_gives_notice_and_keeps_the_previous_key() {
        let first = ring();
        let old = first.new_id(NOW).unwrap();
        let day = NOW + i64::from(DAY);
        assert!(first.rotated(day - 1, DAY, 60).unwrap().is_none());

        let second = first.rotated(day, DAY, 60).unwrap().unwrap();
        assert!(second.rotated(day + 59, DAY, 60).unwrap().is_none());
        assert!(second.check(&old, day, 2 * DAY).is_ok());
        // An instance with the first ring accepts ids that are signed during the notice, and refuses later ones.
        assert!(first.check(&second.new_id(day + 59).unwrap(), day + 59, DAY).is_ok());
        let new = second.new_id(day + 60).unwrap();
        assert_eq!(first.check(&new, day + 60, DAY), Err(Reason::SessionInvalid));

        let third = second.rotated(day + 60 + i64::from(DAY), DAY, 60).unwrap().unwrap();
        assert!(third.check(&new, day + 60 + i64::from(DAY), 2 * DAY).is_ok());
        assert_eq!(third.check(&old, day + 60 + i64::from(DAY), u32::MAX), Err(Reason::SessionInvalid));
    }

    #[test]
    fn a_ring_is_parsed_from_its_own_text() {
        let first = ring();
        let second = first.rotated(NOW + i64::from(DAY), DAY, 60).unwrap().unwrap();
        let id = second.new_id(NOW + i64::from(DAY)).unwrap();
        assert!(second.text().len() <= MAX_RING_BYTES);
        let read = SessionKeys::parse(second.text().as_bytes()).unwrap();
        assert_eq!(*read.text(), *second.text());
        assert!(read.check(&id, NOW + i64::from(DAY), DAY).is_ok());
    }

    #[test]
    fn a_malformed_ring_is_refused() {
        let text = ring().text();
        let key = text.split(' ').nth(1).unwrap();
        for wrong in [
            String::new(),
            "v1".into(),
            format!("v2 {key}"),
            format!("v1  {key}"),
            format!("v1 {key} "),
            format!("v1 {key}A"),
            format!("v1 -{key}"),
            format!("v1 {key} {key} {key}"),
            format!("v1 1:{} {key}", key.split_once(':').unwrap().1),
        ] {
            assert_eq!(SessionKeys::parse(wrong.as_bytes()).err(), Some(Reason::SessionKeysInvalid), "{wrong}");
        }
    }

    #[test]
    fn a_signed_page_is_accepted_until_its_lifetime_ends() {
        let ring = ring();
        for path in ["/", "/b/c?d=%2F&e=;", &"/x".repeat(MAX_PATH_BYTES / 2)] {
            let page = ring.sign_page(path.as_bytes(), NOW).unwrap();
            assert!(page.len() <= MAX_PAGE_BYTES);
            assert_eq!(ring.check_page(page.as_bytes(), NOW + 99, 100).as_deref(), Ok(path.as_bytes()));
            assert_eq!(ring.check_page(page.as_bytes(), NOW + 100, 100), Err(Reason::SessionExpired));
            assert_eq!(ring.check_page(page.as_bytes(), NOW - 61, 100), Err(Reason::SessionInvalid));
        }
        assert_eq!(ring.sign_page(&[b'/'; MAX_PATH_BYTES + 1], NOW), Err(Reason::InvalidArgument));
        let rotated = ring.rotated(NOW + i64::from(DAY), DAY, 60).unwrap().unwrap();
        let page = ring.sign_page(b"/b", NOW + i64::from(DAY)).unwrap();
        assert!(rotated.check_page(page.as_bytes(), NOW + i64::from(DAY), DAY).is_ok());
    }

    #[test]
    fn a_modified_page_is_refused() {
        let ring = ring();
        let page = ring.sign_page(b"/b/page?x=1", NOW).unwrap().into_bytes();
        for i in 0..page.len() {
            let mut forged = page.clone();
            forged[i] = if forged[i] == b'A' { b'B' } else { b'A' };
            assert_eq!(ring.check_page(&forged, NOW, DAY), Err(Reason::SessionInvalid), "character {i}");
        }
        let other = SessionKeys::new(NOW).unwrap().sign_page(b"/b/page?x=1", NOW).unwrap().into_bytes();
        for text in
            [&page[..page.len() - 1], &[&page[..], b"A"].concat(), b"", b"AAAA", &[b'A'; 3000], &[0xff; 55], &other]
        {
            assert_eq!(ring.check_page(text, NOW, DAY), Err(Reason::SessionInvalid));
        }
    }

    #[test]
    fn a_page_does_not_pass_as_an_id_nor_an_id_as_a_page() {
        let ring = ring();
        let id = ring.new_id(NOW).unwrap();
        assert_eq!(ring.check_page(&id, NOW, DAY), Err(Reason::SessionInvalid));
        // The page of a path of 16 bytes is as long as an id.
        let page = ring.sign_page(b"/sixteen/bytes//", NOW).unwrap();
        assert_eq!(page.len(), ID_BYTES);
        assert_eq!(ring.check(page.as_bytes(), NOW, DAY), Err(Reason::SessionInvalid));
        let mut raw = URL_SAFE_NO_PAD.decode(page).unwrap();
        raw[0] = VERSION;
        assert_eq!(ring.check(URL_SAFE_NO_PAD.encode(raw).as_bytes(), NOW, DAY), Err(Reason::SessionInvalid));
        let mut raw = URL_SAFE_NO_PAD.decode(id).unwrap();
        raw[0] = PAGE_VERSION;
        assert_eq!(ring.check_page(URL_SAFE_NO_PAD.encode(raw).as_bytes(), NOW, DAY), Err(Reason::SessionInvalid));
    }

    #[test]
    fn a_digest_is_sha_256_in_hexadecimal() {
        let expected = b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(&digest_of(b"abc"), expected);
    }
}
