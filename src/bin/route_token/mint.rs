//! `route-token mint`: a signed token with an encrypted target.

mod encrypting_key;

use std::path::PathBuf;

use clap::Args;
use route_native::desktop::hash_claim::Padding;
use route_native::desktop::resolve::HASH_CLAIM;
use route_native::desktop::target;
use route_native::error::ConfigError;
use route_native::jwt::{SignOptions, sign};
use route_native::keys::{Algorithm, Form, Keyring, SigningKey, load};
use serde_json::{Map, Value, json};

use self::encrypting_key::EncryptingKey;
use crate::{Failure, key_files, now, print};

/// Prints a token for a target
#[derive(Args)]
#[command(after_help = "\
The claims are hash (the encrypted target), iat, nbf and exp; --claim adds to them or replaces them.

Examples:
  route-token mint --key keys/signing_private.pem --payload-key keys/payload_public.pem \\
      --target 127.0.0.2
  route-token mint … --target pod.example --ttl 3600 --claim sub=ada --claim 'roles=[\"admin\"]'

Tokens that a gateway must refuse:
  route-token mint … --target 127.0.0.2 --claim exp=never
  route-token mint … --target 127.0.0.1:22 --unchecked-target")]
pub struct Mint {
    /// Private key that signs, in PEM or as a JWK: RSA, P-256, P-384, P-521, secp256k1 or Ed25519
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// RSA key that encrypts the target, in PEM; the public key, or the private one
    #[arg(long, value_name = "FILE")]
    payload_key: PathBuf,

    /// Host name, IPv4 address, or IPv6 address in brackets
    #[arg(long, value_name = "HOST")]
    target: String,

    /// Encrypt the target as it stands, whatever it is
    #[arg(long)]
    unchecked_target: bool,

    /// Seconds until the token expires; below 0 it has expired already
    #[arg(long, value_name = "SECONDS", default_value_t = 600, allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i64).range(-1_000_000_000..=1_000_000_000))]
    ttl: i64,

    /// A claim; the value is read as JSON where it is JSON, else as a string
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,

    /// One of the four claims to leave out
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,

    /// Algorithm. Default: the one that fits the key, RS256 for RSA
    #[arg(long, value_name = "NAME")]
    alg: Option<String>,

    /// How the target is padded: pkcs1v15, oaep-sha1 or oaep-sha256
    #[arg(long, value_name = "NAME", default_value = "pkcs1v15", value_parser = key_files::padding)]
    padding: Padding,

    /// Key id for the header
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
}

impl Mint {
    /// Makes the token and prints it, alone on its line.
    pub fn run(&self) -> Result<(), Failure> {
        let failed = |error: ConfigError| Failure::failed(error.message);
        let keys = Keyring::from_file(&self.key, Form::Key).map_err(failed)?.current();
        let signing_key =
            keys.signing().map_err(|_| Failure::failed("--key holds a public key, and a private one signs"))?;
        let encrypting_key = load(&self.payload_key, EncryptingKey::parse).map_err(failed)?;
        let options =
            SignOptions { algorithm: self.algorithm(signing_key)?, key_id: self.kid.clone(), ..SignOptions::default() };
        let hash = encrypting_key.encrypt(self.padding, self.target()?.as_bytes())?;
        let claims = Value::Object(self.claims(hash)?).to_string();
        let token = sign(claims.as_bytes(), signing_key, &options, now()?);
        print(&format!("{}\n", token.map_err(|reason| Failure::failed(format!("not signed: {}", reason.name())))?))
    }

    /// Returns the algorithm that was asked for, if any.
    fn algorithm(&self, key: &SigningKey) -> Result<Option<Algorithm>, Failure> {
        let Some(name) = &self.alg else { return Ok(None) };
        let wanted =
            Algorithm::from_name(name).filter(|wanted| key.algorithms().iter().any(|own| own.same_as(*wanted)));
        wanted.map(Some).ok_or_else(|| {
            let names: Vec<_> = key.algorithms().iter().map(|algorithm| algorithm.name()).collect();
            Failure::usage(format!("--alg must be one that the key can sign with: {}", names.join(", ")))
        })
    }

    fn target(&self) -> Result<String, Failure> {
        if self.unchecked_target {
            return Ok(self.target.clone());
        }
        target::normalise(&self.target).ok_or_else(|| {
            Failure::usage(
                "--target must be a host name, an IPv4 address or an IPv6 address in brackets, without a port",
            )
        })
    }

    fn claims(&self, hash: String) -> Result<Map<String, Value>, Failure> {
        let now = now()?;
        let mut claims = Map::new();
        for (name, value) in
            [(HASH_CLAIM, json!(hash)), ("iat", json!(now)), ("nbf", json!(now)), ("exp", json!(now + self.ttl))]
        {
            claims.insert(name.to_owned(), value);
        }
        claims.retain(|name, _| !self.without.contains(name));
        for (at, (name, value)) in self.claims.iter().enumerate() {
            if self.claims[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Failure::usage("--claim names a claim twice"));
            }
            if name == HASH_CLAIM {
                eprintln!("route-token: note: --claim {HASH_CLAIM} takes the place of the encrypted target");
            }
            claims.insert(name.clone(), value.clone());
        }
        Ok(claims)
    }
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("it must have the form NAME=VALUE")?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
}
