//! Where the gateway's keys are, and whether it could use them.

use std::env;
use std::path::PathBuf;

use clap::Args;
use route_native::desktop::hash_claim::{HashClaimKey, Padding};
use route_native::error::ConfigError;
use route_native::keys::{KeySet, load};

use crate::Failure;

/// The variables by which the gateway finds its keys.
const SIGNING: &str = "JWT_DESKTOP_SIGNING_PUBLIC_KEY";
const PAYLOAD: &str = "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY";

/// The options that name the gateway's keys.
#[derive(Args)]
pub struct KeyFiles {
    /// Public key or keys that sign tokens: PEM, certificate, JWK or JWK Set.
    /// Default: the file that JWT_DESKTOP_SIGNING_PUBLIC_KEY names
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// RSA private key that opens the hash claim, in PEM.
    /// Default: the file that JWT_DESKTOP_PAYLOAD_PRIVATE_KEY names
    #[arg(long, value_name = "FILE")]
    payload_key: Option<PathBuf>,

    /// How the hash claim is padded: pkcs1v15, oaep-sha1 or oaep-sha256
    #[arg(long, value_name = "NAME", default_value = "pkcs1v15", value_parser = padding)]
    padding: Padding,
}

impl KeyFiles {
    /// The signing keys, as the gateway reads them. `None` when no file is named.
    pub fn signing_keys(&self) -> Result<Option<KeySet>, Failure> {
        read(&self.key, "--key", SIGNING, KeySet::parse)
    }

    /// The payload's key, as the gateway reads it. `None` when no file is named.
    pub fn payload_key(&self) -> Result<Option<HashClaimKey>, Failure> {
        read(&self.payload_key, "--payload-key", PAYLOAD, |text| HashClaimKey::parse(text, self.padding))
    }
}

/// Says whether the gateway can use its keys: silent and 0, or one sentence and 1
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
    /// Reads both keys.
    pub fn run(&self) -> Result<(), Failure> {
        let unset =
            |variable, what| Failure::failed(format!("{variable} is not set: it must name the file with {what}"));
        self.files.signing_keys()?.ok_or_else(|| unset(SIGNING, "the public key that signs tokens"))?;
        self.files.payload_key()?.ok_or_else(|| unset(PAYLOAD, "the private key that opens their hash claim"))?;
        Ok(())
    }
}

/// Reads the key that the option names, or else the variable. The sentence of a failure begins with whichever it was.
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

/// Reads a padding's name, for clap.
pub fn padding(name: &str) -> Result<Padding, String> {
    Padding::from_name(name).ok_or_else(|| "it must be pkcs1v15, oaep-sha1 or oaep-sha256".to_owned())
}
