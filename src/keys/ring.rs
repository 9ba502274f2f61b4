//! Keys as a program holds them: what verifies and what signs, from texts or from a file that may change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::file::load;
use super::jwk::Jwk;
use super::public_material::refuse_public_material;
use super::{Key, KeySet, SigningKey};
use crate::digest::sha256;
use crate::error::{ConfigError, Reason};

/// How a text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// PEM, a JWK or a JWK Set.
    Key,
    /// One HMAC secret, every byte of it.
    Secret,
    /// HMAC secrets, one a line: the first signs, every one verifies.
    Secrets,
    /// One HMAC secret of any length. See [`Key::from_short_secret`].
    ShortSecret,
    /// A JWK Set that another server publishes: its public keys alone.
    Published,
}

/// What verifies and what signs. One or the other may be missing, never both.
#[derive(Default)]
struct Keys {
    verifying: Vec<Key>,
    signing: Option<SigningKey>,
}

/// The keys of one moment.
pub struct Ring {
    /// What verifies; `None` when there is nothing that does.
    pub verifying: Option<KeySet>,
    /// What signs: the first key that can.
    pub signing: Option<SigningKey>,
}

impl Ring {
    /// What verifies, or `KeyUnsupported`.
    pub fn verifying(&self) -> Result<&KeySet, Reason> {
        self.verifying.as_ref().ok_or(Reason::KeyUnsupported)
    }

    /// What signs, or `KeyCannotSign`.
    pub fn signing(&self) -> Result<&SigningKey, Reason> {
        self.signing.as_ref().ok_or(Reason::KeyCannotSign)
    }
}

/// Keys that are parsed once. Those from a file can be read again while others use the old ones.
pub struct Keyring {
    source: Option<(PathBuf, Form)>,
    digest: Mutex<[u8; 32]>,
    ring: RwLock<Arc<Ring>>,
}

impl Keyring {
    /// Keys from texts, in their order.
    pub fn from_texts(texts: &[(Form, &[u8])]) -> Result<Keyring, ConfigError> {
        let mut all = Keys::default();
        for (form, text) in texts {
            all.append(read(*form, text)?);
        }
        Ok(Keyring { source: None, digest: Mutex::default(), ring: RwLock::new(Arc::new(all.ring()?)) })
    }

    /// Keys that verify only.
    pub fn from_set(set: KeySet) -> Keyring {
        let ring = Ring { verifying: Some(set), signing: None };
        Keyring { source: None, digest: Mutex::default(), ring: RwLock::new(Arc::new(ring)) }
    }

    /// Reads keys from a file, as [`super::load`] does.
    pub fn from_file(path: &Path, form: Form) -> Result<Keyring, ConfigError> {
        let (digest, ring) = load(path, |text| Ok((sha256(&[text]), read(form, text)?.ring()?)))?;
        Ok(Keyring {
            source: Some((path.to_owned(), form)),
            digest: Mutex::new(digest),
            ring: RwLock::new(Arc::new(ring)),
        })
    }

    /// Reads the file again and takes its keys when its content has changed. On an error the old keys stay, and the
    /// next call looks again. Returns whether the keys changed.
    pub fn refresh(&self) -> Result<bool, ConfigError> {
        let Some((path, form)) = &self.source else { return Ok(false) };
        load(path, |text| {
            let found = sha256(&[text]);
            let mut known = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
            if *known == found {
                return Ok(false);
            }
            let ring = read(*form, text)?.ring()?;
            *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
            *known = found;
            Ok(true)
        })
    }

    /// The keys as they are now; a refresh does not change what was handed out.
    pub fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Keys {
    fn append(&mut self, other: Keys) {
        self.verifying.extend(other.verifying);
        self.signing = self.signing.take().or(other.signing);
    }

    fn ring(self) -> Result<Ring, ConfigError> {
        let verifying = if self.verifying.is_empty() { None } else { Some(KeySet::new(self.verifying)?) };
        if verifying.is_none() && self.signing.is_none() {
            return Err(ConfigError::unsupported_key("holds no key that can verify or sign"));
        }
        Ok(Ring { verifying, signing: self.signing })
    }
}

fn read(form: Form, text: &[u8]) -> Result<Keys, ConfigError> {
    match form {
        Form::Key => read_keys(text),
        Form::Secret => {
            Ok(Keys { verifying: vec![Key::from_secret(text)?], signing: Some(SigningKey::from_secret(text)?) })
        }
        Form::ShortSecret => Ok(Keys {
            verifying: vec![Key::from_short_secret(text)?],
            signing: Some(SigningKey::from_short_secret(text)?),
        }),
        Form::Published => read_published(text),
        Form::Secrets => {
            // Of the whole: no line of a PEM or JSON text need look like a key.
            refuse_public_material(text)?;
            let mut all = Keys::default();
            let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            for line in lines.filter(|line| !line.is_empty()) {
                all.append(read(Form::Secret, line)?);
            }
            Ok(all)
        }
    }
}

fn read_keys(text: &[u8]) -> Result<Keys, ConfigError> {
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Ok(match SigningKey::from_pem(text)? {
            Some(signing) => Keys { verifying: signing.verifying_key()?.into_iter().collect(), signing: Some(signing) },
            None => Keys { verifying: vec![Key::parse(text)?], signing: None },
        });
    }
    let jwks = Jwk::all(text).ok_or_else(|| ConfigError::unsupported_key("is not a JWK that can be read"))?;
    let is_set = Jwk::is_set(text);
    let mut all = Keys::default();
    for jwk in jwks {
        match (jwk.verifying_key(), jwk.signing_key()) {
            (Ok(key), Ok(signing)) => all.append(Keys { verifying: vec![key], signing }),
            // Keys of a set that are of other kinds are passed over, as RFC 7517 §5 asks.
            (Err(_), _) | (_, Err(_)) if is_set => {}
            (Err(error), _) | (_, Err(error)) => return Err(error),
        }
    }
    Ok(all)
}

/// What everybody can read verifies nothing by being known: secrets are passed over, and nothing signs.
fn read_published(text: &[u8]) -> Result<Keys, ConfigError> {
    let jwks =
        Jwk::all(text).filter(|_| Jwk::is_set(text)).ok_or_else(|| ConfigError::unsupported_key("is not a JWK Set"))?;
    let public = jwks.iter().filter(|jwk| !jwk.is_secret());
    Ok(Keys { verifying: public.filter_map(|jwk| jwk.verifying_key().ok()).collect(), signing: None })
}
