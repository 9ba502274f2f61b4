//! The options for the gateway's key files, and `route-token check-keys`.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use route_native::desktop::hash_claim::{HashClaimKey, Padding};
use route_native::error::ConfigError;
use route_native::keys::{Algorithm, Form, Key, KeySet, Keyring, Keys, load};

use crate::{Failure, now, print};

/// The environment variables with the paths of the gateway's keys.
const SIGNING: &str = "JWT_DESKTOP_SIGNING_PUBLIC_KEY";
const PAYLOAD: &str = "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY";

/// The options for the gateway's key files.
#[derive(Args)]
pub struct KeyFiles {
    /// File with the keys that verify tokens: PEM, certificate, JWK or JWK Set. Default:
    /// $JWT_DESKTOP_SIGNING_PUBLIC_KEY
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// File with the RSA private key that decrypts the hash claim, in PEM. Default: $JWT_DESKTOP_PAYLOAD_PRIVATE_KEY
    #[arg(long, value_name = "FILE")]
    payload_key: Option<PathBuf>,

    /// Padding of the hash claim: pkcs1v15, oaep-sha1 or oaep-sha256
    #[arg(long, value_name = "NAME", default_value = "pkcs1v15", value_parser = padding)]
    padding: Padding,
}

/// The keys with which `explain` checks a signature.
pub enum SigningKeys {
    /// Keys that the gateway takes.
    Public(KeySet),
    /// Secrets, which only route_native.auth and route_native.jwt take.
    Secrets(Arc<Keys>),
}

impl KeyFiles {
    /// Reads the keys that verify tokens, as the gateway does, or the secrets of a secret file. Returns `None` without a
    /// file.
    pub fn explaining_keys(&self) -> Result<Option<SigningKeys>, Failure> {
        let secrets = |text: &[u8]| {
            Keyring::from_texts(&[(Form::Secrets, text)]).map(|keyring| SigningKeys::Secrets(keyring.current()))
        };
        read(&self.key, "--key", SIGNING, |text| match KeySet::parse(text) {
            Ok(keys) => Ok(SigningKeys::Public(keys)),
            Err(error) => secrets(text).map_err(|_| error),
        })
    }

    /// Reads the keys that verify tokens, as the gateway does. Returns `None` without a file.
    pub fn signing_keys(&self) -> Result<Option<KeySet>, Failure> {
        read(&self.key, "--key", SIGNING, KeySet::parse)
    }

    /// Reads the key that decrypts the `hash` claim, as the gateway does. Returns `None` without a file.
    pub fn hash_claim_key(&self) -> Result<Option<HashClaimKey>, Failure> {
        read(&self.payload_key, "--payload-key", PAYLOAD, |text| HashClaimKey::parse(text, self.padding))
    }
}

/// Checks that the gateway can use its keys: lists them and exits with 0, or prints an error and exits with 1
#[derive(Args)]
#[command(after_help = "\
Examples:
  route-token check-keys
  route-token check-keys --key keys/signing_public.pem --payload-key keys/payload_private.pem")]
pub struct CheckKeys {
    #[command(flatten)]
    files: KeyFiles,
}

impl CheckKeys {
    /// Reads both keys and prints a line for each, and one for each key that was skipped.
    pub fn run(&self) -> Result<(), Failure> {
        let unset = |variable, key| Failure::failed(format!("{variable} is not set: it must be the path of the {key}"));
        let keys = self.files.signing_keys()?.ok_or_else(|| unset(SIGNING, "public key that verifies tokens"))?;
        self.files.hash_claim_key()?.ok_or_else(|| unset(PAYLOAD, "private key that decrypts their hash claim"))?;
        let mut lines: Vec<_> = keys.keys().iter().enumerate().map(|(index, key)| line(index + 1, key)).collect();
        lines.push("payload key: RSA".to_owned());
        lines.extend(keys.notes(now()?));
        print(&(lines.join("\n") + "\n"))
    }
}

fn line(number: usize, key: &Key) -> String {
    let id = key.id().map_or_else(String::new, |id| format!(" (kid {id:?})"));
    let algorithms: Vec<_> = key.algorithms().map(Algorithm::name).collect();
    format!("signing key {number}{id}: {}", algorithms.join(", "))
}

/// Reads the key file of an option, or else of an environment variable. The message of a failure begins with its name.
fn read<K>(
    option: &Option<PathBuf>,
    option_name: &str,
    variable: &str,
    parse: impl FnOnce(&[u8]) -> Result<K, ConfigError>,
) -> Result<Option<K>, Failure> {
    let from_environment = || env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    let (path, name) = match option {
        Some(path) => (path.clone(), option_name),
        None => match from_environment() {
            Some(path) => (path, variable),
            None => return Ok(None),
        },
    };
    match load(&path, parse) {
        Ok(key) => Ok(Some(key)),
        Err(error) => Err(Failure::failed(format!("{name}: {error}"))),
    }
}

/// Parses the name of a padding, for clap.
pub fn padding(name: &str) -> Result<Padding, String> {
    Padding::from_name(name).ok_or_else(|| "it must be pkcs1v15, oaep-sha1 or oaep-sha256".to_owned())
}
