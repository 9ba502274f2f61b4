//! The record of a revocation: its JSON in the admin API, in `lua_shared_dict` and in Redis.

use serde_json::{Map, Value};

use super::identity::{Key, Kind};
use crate::border::login_name;
use crate::digest::{hex, sha256};
use crate::error::{ConfigError, Reason};
use crate::json::parse_object;
use crate::jwt::{Compact, Policy};
use crate::settings::Settings;

/// The longest life of a revocation, in seconds: ten years.
pub const MAX_SECONDS: u32 = 10 * 366 * 86_400;

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 1024;

/// The longest `by`, in bytes.
const MAX_AUTHOR_BYTES: usize = 256;

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    kind: Kind,
    name: String,
    /// Limits a name to the tokens of one issuer. Two issuers may use the same name.
    issuer: Option<String>,
    /// Revokes only what was issued in this second or before, in seconds since the epoch.
    before: Option<i64>,
    /// When the revocation ends, in seconds since the epoch.
    ends: i64,
    /// Who revoked.
    by: Option<String>,
}

impl Record {
    /// Parses a record's JSON: exactly one of `token`, `token_sha256`, `jti`, `sub`, `sid`, `target` and `kid`, and any
    /// of `iss`, `before`, `ends` and `by`. An unknown member is an error. `now` is in seconds since the epoch.
    ///
    /// Without `ends`, a token is revoked until it expires, and all else for `seconds`. Without `before`, a `sub` is
    /// revoked for what was issued until now: a new login of the user is accepted.
    ///
    /// Errors: `SettingInvalid`, with a sentence that quotes no token.
    pub fn parse(text: &[u8], now: i64, seconds: u32) -> Result<Record, ConfigError> {
        let mut settings = Settings::parse(text, "field of a revocation")?;
        let token = settings.text("token")?;
        let expiry = token.as_deref().and_then(expiry_of);
        let digest = token.map(|token| digits(&sha256(&[token.as_bytes()])));
        let mut found = digest.map(|name| (Kind::Token, name));
        for kind in Kind::ALL {
            if let Some(name) = settings.text(kind.member())?
                && found.replace((kind, name)).is_some()
            {
                return Err(settings.invalid(ONE_NAME));
            }
        }
        let Some((kind, name)) = found else { return Err(settings.invalid(ONE_NAME)) };
        check_name(&settings, kind, &name)?;
        let issuer = settings.text("iss")?;
        if issuer.is_some() && !kind.has_issuer() {
            return Err(settings.invalid("iss goes with jti, sub and sid"));
        }
        let before = settings.time("before")?.or((kind == Kind::Sub).then_some(now));
        let ends = settings.time("ends")?.or(expiry.map(|at| at.saturating_add(Policy::MAX_LEEWAY.into())));
        let ends = ends.unwrap_or(now.saturating_add(seconds.into()));
        if ends <= now || ends > now.saturating_add(MAX_SECONDS.into()) {
            return Err(settings.invalid("a revocation must end in the future, and within ten years"));
        }
        let by = settings.text("by")?;
        let is_long = |text: &Option<String>, limit| text.as_ref().is_some_and(|text| text.len() > limit);
        if is_long(&issuer, MAX_NAME_BYTES) || is_long(&by, MAX_AUTHOR_BYTES) {
            return Err(settings.invalid("iss has at most 1024 bytes, and by at most 256"));
        }
        settings.finish()?;
        Ok(Record { kind, name, issuer, before, ends, by })
    }

    /// Returns the record as JSON, which [`Record::parse`] reads.
    pub fn to_json(&self) -> String {
        let mut members = Map::new();
        members.insert(self.kind.member().into(), self.name.clone().into());
        let mut insert = |name: &str, value: Option<Value>| value.and_then(|value| members.insert(name.into(), value));
        insert("iss", self.issuer.clone().map(Value::from));
        insert("before", self.before.map(Value::from));
        insert("ends", Some(self.ends.into()));
        insert("by", self.by.clone().map(Value::from));
        Value::Object(members).to_string()
    }

    /// Returns when the revocation ends, in seconds since the epoch.
    pub fn ends(&self) -> i64 {
        self.ends
    }

    /// Returns the last second in which what is revoked was issued; `None` revokes whatever has the name.
    pub fn before(&self) -> Option<i64> {
        self.before
    }

    /// Returns the digests under which an [`super::Identity`] has the name. A user is also an account, whose name has
    /// several spellings.
    pub(super) fn keys(&self) -> Vec<Key> {
        let name = self.kind.key(self.issuer.as_deref(), self.name.as_bytes());
        let is_account = self.kind == Kind::Sub && self.issuer.is_none();
        let account = is_account.then(|| login_name::digest_of(self.name.as_bytes()).ok()).flatten();
        [name].into_iter().chain(account.map(|digest| Kind::Account.key(None, &digest))).collect()
    }
}

const ONE_NAME: &str = "a revocation names exactly one of token, token_sha256, jti, sub, sid, target and kid";

/// Returns the `exp` that a token claims. A forged one ends a revocation early, of a token that is refused anyway.
fn expiry_of(token: &str) -> Option<i64> {
    Compact::parse(token.as_bytes()).ok()?.unverified_claims().ok()?.expires_at().ok()?
}

fn digits(digest: &[u8; 32]) -> String {
    String::from_utf8_lossy(&hex::<64>(digest)).into_owned()
}

fn check_name(settings: &Settings, kind: Kind, name: &str) -> Result<(), ConfigError> {
    let is_digest = name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if kind == Kind::Token && !is_digest {
        return Err(settings.wrong("token_sha256", "64 hexadecimal digits in lower case: the 12 of a log are too few"));
    } else if name.len() > MAX_NAME_BYTES {
        return Err(settings.wrong(kind.member(), "at most 1024 bytes long"));
    }
    Ok(())
}

/// Returns the record of a stored text, whose end may have passed.
///
/// Errors: `SettingInvalid`.
pub(super) fn stored(text: &[u8]) -> Result<Record, ConfigError> {
    let ends = parse_object(text).and_then(|members| members.get("ends").and_then(Value::as_i64));
    let ends = ends.ok_or_else(|| ConfigError::new(Reason::SettingInvalid, "a stored revocation has no end"))?;
    Record::parse(text, ends.saturating_sub(1), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn parse(text: &str) -> Result<Record, String> {
        Record::parse(text.as_bytes(), NOW, 60).map_err(|error| error.message)
    }

    #[test]
    fn a_record_is_read_back_from_its_own_json() {
        for text in [
            r#"{"sub":"ada"}"#,
            r#"{"jti":"7","iss":"https://id.example","ends":1700000100}"#,
            r#"{"kid":"2026","by":"ops"}"#,
            r#"{"target":"10.0.0.7","before":1700000000}"#,
            r#"{"token":"a.b.c"}"#,
        ] {
            let record = parse(text).expect(text);
            assert_eq!(Record::parse(record.to_json().as_bytes(), NOW, 9).as_ref(), Ok(&record), "{text}");
            assert_eq!(stored(record.to_json().as_bytes()), Ok(record), "{text}");
        }
    }

    #[test]
    fn a_user_is_revoked_for_what_was_issued_until_now_and_a_key_for_all() {
        assert_eq!(parse(r#"{"sub":"ada"}"#).map(|record| (record.before(), record.ends())), Ok((Some(NOW), NOW + 60)));
        assert_eq!(parse(r#"{"kid":"k"}"#).map(|record| (record.before(), record.ends())), Ok((None, NOW + 60)));
    }

    #[test]
    fn a_mistake_is_one_sentence_that_quotes_no_token() {
        for (text, part) in [
            ("{}", "exactly one"),
            (r#"{"sub":"a","jti":"b"}"#, "exactly one"),
            (r#"{"token":"a.b.c","sub":"b"}"#, "exactly one"),
            (r#"{"sub":""}"#, "not empty"),
            (r#"{"subject":"a"}"#, "exactly one"),
            (r#"{"sub":"a","bfore":1}"#, "there is no field of a revocation \"bfore\""),
            (r#"{"sub":"a","ends":1699999999}"#, "in the future"),
            (r#"{"sub":"a","ends":99999999999}"#, "ten years"),
            (r#"{"sub":"a","before":"now"}"#, "seconds since"),
            (r#"{"kid":"a","iss":"b"}"#, "iss goes with"),
            (r#"{"token_sha256":"0123456789ab"}"#, "64 hexadecimal"),
        ] {
            let message = parse(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
