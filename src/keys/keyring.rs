//! Keyrings: the keys that verify and the key that signs, read from texts or from a file that may change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::file::load;
use super::parse::ParsedKeys;
use super::public_material::refuse_public_material;
use super::{Key, KeySet, SigningKey};
use crate::digest::sha256;
use crate::error::{ConfigError, Reason};

/// The format of a text with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// PEM, a JWK or a JWK Set.
    Key,
    /// One HMAC secret: every byte of the text.
    Secret,
    /// HMAC secrets, one per line. The first signs, all verify.
    Secrets,
    /// One HMAC secret of any length. See [`Key::from_short_secret`].
    ShortSecret,
    /// A JWK Set that another server publishes. Only its public keys are used.
    Published,
    /// PEM, a JWK or a JWK Set, of which only the public keys are used. A private key in PEM is refused.
    Public,
}

/// The keys of a keyring at one time.
pub struct Keys {
    /// The keys that verify. A key that signs is among them, or its public half.
    pub verifying: KeySet,
    /// The key that signs: the first of the texts that can.
    pub signing: Option<SigningKey>,
}

impl Keys {
    /// Returns the key that signs, or `KeyCannotSign`.
    pub fn signing(&self) -> Result<&SigningKey, Reason> {
        self.signing.as_ref().ok_or(Reason::KeyCannotSign)
    }
}

/// Keys that are parsed once. [`Keyring::refresh`] replaces those of a file while other threads use the old ones.
pub struct Keyring {
    source: Option<(PathBuf, Form)>,
    digest: Mutex<[u8; 32]>,
    current: RwLock<Arc<Keys>>,
}

impl Keyring {
    /// Parses keys from texts, in their order.
    pub fn from_texts(texts: &[(Form, &[u8])]) -> Result<Keyring, ConfigError> {
        let mut all = ParsedKeys::default();
        for (form, text) in texts {
            all.append(read(*form, text)?);
        }
        Ok(Keyring::new(None, [0; 32], finish(all)?))
    }

    /// Returns a keyring that verifies only.
    pub fn from_set(set: KeySet) -> Keyring {
        Keyring::new(None, [0; 32], Keys { verifying: set, signing: None })
    }

    /// Reads and parses keys from a file with [`super::load`].
    pub fn from_file(path: &Path, form: Form) -> Result<Keyring, ConfigError> {
        let (digest, keys) = load(path, |text| Ok((sha256(&[text]), finish(read(form, text)?)?)))?;
        Ok(Keyring::new(Some((path.to_owned(), form)), digest, keys))
    }

    fn new(source: Option<(PathBuf, Form)>, digest: [u8; 32], keys: Keys) -> Keyring {
        Keyring { source, digest: Mutex::new(digest), current: RwLock::new(Arc::new(keys)) }
    }

    /// Reloads the file's keys if its content has changed. Returns whether it has.
    ///
    /// After an error the old keys stay, and the next call tries again.
    pub fn refresh(&self) -> Result<bool, ConfigError> {
        let Some((path, form)) = &self.source else { return Ok(false) };
        load(path, |text| {
            let found = sha256(&[text]);
            let mut known = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
            if *known == found {
                return Ok(false);
            }
            let keys = finish(read(*form, text)?)?;
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            *known = found;
            Ok(true)
        })
    }

    /// Returns the keys as they are now. A later refresh does not change them.
    pub fn current(&self) -> Arc<Keys> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn finish(mut keys: ParsedKeys) -> Result<Keys, ConfigError> {
    let signing = keys.signing.take();
    Ok(Keys { verifying: KeySet::of(keys, "holds no key that can verify or sign")?, signing })
}

fn read(form: Form, text: &[u8]) -> Result<ParsedKeys, ConfigError> {
    match form {
        Form::Key => ParsedKeys::parse(text),
        Form::Secret => Ok(secret(Key::from_secret(text)?, SigningKey::from_secret(text)?)),
        Form::ShortSecret => Ok(secret(Key::from_short_secret(text)?, SigningKey::from_short_secret(text)?)),
        Form::Published => ParsedKeys::parse_published(text),
        Form::Public => ParsedKeys::parse_public(text),
        Form::Secrets => read_secrets(text),
    }
}

fn secret(verifying: Key, signing: SigningKey) -> ParsedKeys {
    ParsedKeys { verifying: vec![verifying], signing: Some(signing), notes: Vec::new() }
}

fn read_secrets(text: &[u8]) -> Result<ParsedKeys, ConfigError> {
    // Checks the whole text, because a single line of a PEM or JSON text may pass as a secret.
    refuse_public_material(text)?;
    let mut all = ParsedKeys::default();
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    for (index, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
        let number = index + 1;
        let keys = read(Form::Secret, line).map_err(|error| {
            let hint = "; a secret is one line, so that binary ones must be encoded";
            let hint = if error.reason == Reason::KeyTooWeak { hint } else { "" };
            ConfigError::new(error.reason, format!("{} on line {number}{hint}", error.message))
        })?;
        all.append(keys);
        if line.starts_with(b"\xef\xbb\xbf") {
            all.notes.push(format!("the secret on line {number} begins with a byte order mark, which is part of it"));
        }
        if line.trim_ascii() != line {
            all.notes.push(format!("the secret on line {number} begins or ends with a blank, which is part of it"));
        }
    }
    Ok(all)
}
