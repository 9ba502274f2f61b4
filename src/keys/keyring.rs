//! Keyrings: the keys that verify and the key that signs, read from texts or from a file that may change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::file::load;
use super::jwk::Jwk;
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
}

/// Keys in the order of their texts.
#[derive(Default)]
struct ParsedKeys {
    verifying: Vec<Key>,
    signing: Option<SigningKey>,
}

/// The keys of a keyring at one time. It holds at least one key.
pub struct Keys {
    /// The keys that verify.
    pub verifying: Option<KeySet>,
    /// The key that signs: the first of the texts that can.
    pub signing: Option<SigningKey>,
}

impl Keys {
    /// Returns the keys that verify, or `KeyUnsupported`.
    pub fn verifying(&self) -> Result<&KeySet, Reason> {
        self.verifying.as_ref().ok_or(Reason::KeyUnsupported)
    }

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
        Ok(Keyring::new(None, [0; 32], all.finish()?))
    }

    /// Returns a keyring that verifies only.
    pub fn from_set(set: KeySet) -> Keyring {
        Keyring::new(None, [0; 32], Keys { verifying: Some(set), signing: None })
    }

    /// Reads and parses keys from a file with [`super::load`].
    pub fn from_file(path: &Path, form: Form) -> Result<Keyring, ConfigError> {
        let (digest, keys) = load(path, |text| Ok((sha256(&[text]), read(form, text)?.finish()?)))?;
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
            let keys = read(*form, text)?.finish()?;
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

impl ParsedKeys {
    fn append(&mut self, other: ParsedKeys) {
        self.verifying.extend(other.verifying);
        self.signing = self.signing.take().or(other.signing);
    }

    fn finish(self) -> Result<Keys, ConfigError> {
        let verifying = if self.verifying.is_empty() { None } else { Some(KeySet::new(self.verifying)?) };
        if verifying.is_none() && self.signing.is_none() {
            return Err(ConfigError::unsupported_key("holds no key that can verify or sign"));
        }
        Ok(Keys { verifying, signing: self.signing })
    }
}

fn read(form: Form, text: &[u8]) -> Result<ParsedKeys, ConfigError> {
    match form {
        Form::Key => read_keys(text),
        Form::Secret => {
            Ok(ParsedKeys { verifying: vec![Key::from_secret(text)?], signing: Some(SigningKey::from_secret(text)?) })
        }
        Form::ShortSecret => Ok(ParsedKeys {
            verifying: vec![Key::from_short_secret(text)?],
            signing: Some(SigningKey::from_short_secret(text)?),
        }),
        Form::Published => read_published(text),
        Form::Secrets => {
            // Checks the whole text, because a single line of a PEM or JSON text may pass as a secret.
            refuse_public_material(text)?;
            let mut all = ParsedKeys::default();
            let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            for line in lines.filter(|line| !line.is_empty()) {
                all.append(read(Form::Secret, line)?);
            }
            Ok(all)
        }
    }
}

fn read_keys(text: &[u8]) -> Result<ParsedKeys, ConfigError> {
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Ok(match SigningKey::from_pem(text)? {
            Some(signing) => {
                ParsedKeys { verifying: signing.verifying_key()?.into_iter().collect(), signing: Some(signing) }
            }
            None => ParsedKeys { verifying: vec![Key::parse(text)?], signing: None },
        });
    }
    let jwks = Jwk::all(text).ok_or_else(|| ConfigError::unsupported_key("is not a JWK that can be read"))?;
    let is_set = Jwk::is_set(text);
    let mut all = ParsedKeys::default();
    for jwk in jwks {
        match (jwk.verifying_key(), jwk.signing_key()) {
            (Ok(key), Ok(signing)) => all.append(ParsedKeys { verifying: vec![key], signing }),
            // Skips keys of a set that are not supported (RFC 7517 §5).
            (Err(_), _) | (_, Err(_)) if is_set => {}
            (Err(error), _) | (_, Err(error)) => return Err(error),
        }
    }
    Ok(all)
}

/// Parses a published JWK Set. Its shared secrets are skipped, because a published secret proves nothing.
fn read_published(text: &[u8]) -> Result<ParsedKeys, ConfigError> {
    let jwks =
        Jwk::all(text).filter(|_| Jwk::is_set(text)).ok_or_else(|| ConfigError::unsupported_key("is not a JWK Set"))?;
    let public = jwks.iter().filter(|jwk| !jwk.is_secret());
    Ok(ParsedKeys { verifying: public.filter_map(|jwk| jwk.verifying_key().ok()).collect(), signing: None })
}
