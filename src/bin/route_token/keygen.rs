//! `route-token keygen`: generates the two key pairs of a gateway.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use clap::Args;
use pem::Pem;
use zeroize::Zeroizing;

use crate::Failure;

/// Generates two key pairs: one signs tokens, the other encrypts their targets
#[derive(Args)]
#[command(after_help = "\
Writes four files: signing_private.pem and payload_public.pem for the issuer of tokens,
signing_public.pem and payload_private.pem for the gateway. Only their owner can read the private keys.

Example:
  route-token keygen keys")]
pub struct Keygen {
    /// Directory for the files, created if it does not exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Size of the RSA keys: 2048, 3072, 4096 or 8192
    #[arg(long, default_value = "2048", value_parser = key_size)]
    bits: KeySize,

    /// Replace existing files
    #[arg(long)]
    force: bool,
}

impl Keygen {
    /// Generates the keys and writes the files.
    pub fn run(&self) -> Result<(), Failure> {
        fs::create_dir_all(&self.directory).map_err(|error| unwritable(&self.directory, &error))?;
        let names = ["signing", "payload"].map(|name| (self.path(name, "private"), self.path(name, "public")));
        let existing = names.iter().flat_map(|(private, public)| [private, public]).find(|path| path.exists());
        if let Some(path) = existing.filter(|_| !self.force) {
            return Err(Failure::failed(format!("{} already exists; --force replaces it", path.display())));
        }
        for (private, public) in &names {
            let (private_pem, public_pem) =
                key_pair(self.bits).map_err(|_| Failure::failed("an RSA key could not be generated"))?;
            self.write(private, &private_pem, 0o600)?;
            self.write(public, &public_pem, 0o644)?;
        }
        Ok(())
    }

    fn path(&self, name: &str, half: &str) -> PathBuf {
        self.directory.join(format!("{name}_{half}.pem"))
    }

    /// Creates a file. Removes an existing one first, because its mode may let other users read it.
    fn write(&self, path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
        if self.force {
            match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(unwritable(path, &error)),
                _ => {}
            }
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| unwritable(path, &error))
    }
}

/// Generates a private key in PKCS#8 and its public key in SPKI, both in PEM.
fn key_pair(bits: KeySize) -> Result<(Zeroizing<String>, String), Unspecified> {
    let key = KeyPair::generate(bits)?;
    let private = Pem::new("PRIVATE KEY", AsDer::as_der(&key)?.as_ref());
    let private_pem = Zeroizing::new(pem::encode(&private));
    drop(Zeroizing::new(private.into_contents()));
    Ok((private_pem, pem::encode(&Pem::new("PUBLIC KEY", AsDer::as_der(key.public_key())?.as_ref()))))
}

fn key_size(bits: &str) -> Result<KeySize, String> {
    match bits {
        "2048" => Ok(KeySize::Rsa2048),
        "3072" => Ok(KeySize::Rsa3072),
        "4096" => Ok(KeySize::Rsa4096),
        "8192" => Ok(KeySize::Rsa8192),
        _ => Err("it must be 2048, 3072, 4096 or 8192".to_owned()),
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{} cannot be written: {error}", path.display()))
}
