//! `route-token mint`: prints a signed token with an encrypted target.

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
The claims are hash (the encrypted target), iat, nbf and exp. --claim adds or replaces one.

Examples:
  route-token mint --key keys/signing_private.pem --payload-key keys/payload_public.pem \\
      --target 127.0.0.2
  route-token mint … --target pod.example --ttl 3600 --claim sub=ada --claim 'roles=[\"admin\"]'

Tokens that a gateway must refuse:
  route-token mint … --target 127.0.0.2 --claim exp=never
  route-token mint … --target 127.0.0.1:22 --unchecked-target")]
pub struct Mint {
    /// File with the private key that signs, PEM or JWK: RSA, P-256, P-384, P-521, secp256k1 or Ed25519
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// File with the RSA key that encrypts the target, public or private, in PEM
    #[arg(long, value_name = "FILE")]
    payload_key: PathBuf,

    /// Host name, IPv4 address, or IPv6 address in brackets
    #[arg(long, value_name = "HOST")]
    target: String,

    /// Do not check that the target is a host
    #[arg(long)]
    unchecked_target: bool,

    /// Seconds until the token expires; negative for an expired token
    #[arg(long, value_name = "SECONDS", default_value_t = 600, allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i64).range(-1_000_000_000..=1_000_000_000))]
    ttl: i64,

    /// Claim to add; a value that is not JSON is a string
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,

    /// Claim to omit: hash, iat, nbf or exp
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,

    /// Signature algorithm. Default: that of the key's type, RS256 for RSA
    #[arg(long, value_name = "NAME")]
    alg: Option<String>,

    /// Padding of the encrypted target: pkcs1v15, oaep-sha1 or oaep-sha256
    #[arg(long, value_name = "NAME", default_value = "pkcs1v15", value_parser = key_files::padding)]
    padding: Padding,

    /// Key id for the header
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
}

impl Mint {
    /// Signs the token and prints it on a line of its own.
    pub fn run(&self) -> Result<(), Failure> {
        let failed = |error: ConfigError| Failure::failed(error.message);
        let keys = Keyring::from_file(&self.key, Form::Key).map_err(failed)?.current();
        let signing_key =
            keys.signing().map_err(|_| Failure::failed("--key must hold a private key: it holds a public one"))?;
        let encrypting_key = load(&self.payload_key, EncryptingKey::parse).map_err(failed)?;
        let options =
            SignOptions { algorithm: self.algorithm(signing_key)?, key_id: self.kid.clone(), ..SignOptions::default() };
        let hash = encrypting_key.encrypt(self.padding, self.target()?.as_bytes())?;
        let claims = Value::Object(self.claims(hash)?).to_string();
        let token = sign(claims.as_bytes(), signing_key, &options, now()?)
            .map_err(|reason| Failure::failed(format!("the token cannot be signed: {reason}")))?;
        print(&(token + "\n"))
    }

    /// Returns the algorithm of `--alg`, if any.
    fn algorithm(&self, key: &SigningKey) -> Result<Option<Algorithm>, Failure> {
        let Some(name) = &self.alg else { return Ok(None) };
        let algorithm =
            Algorithm::from_name(name).filter(|named| key.algorithms().iter().any(|own| own.same_as(*named)));
        algorithm.map(Some).ok_or_else(|| {
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
                eprintln!("route-token: note: --claim {HASH_CLAIM} replaces the encrypted target");
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
