//! `route-token dpop`: makes a key for DPoP (RFC 9449), and proofs with it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsBigEndian as _, Curve25519SeedBin, EcPrivateKeyBin};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand, ValueEnum};
use route_native::credential::token_of;
use route_native::json::parse_object;
use route_native::jwt::{SignOptions, sign};
use route_native::keys::{Form, Keyring, load, thumbprint};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::explain::read;
use crate::{Failure, now, print};

/// Makes a key for DPoP, and proofs with it
#[derive(Args)]
pub struct Dpop {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a private key, and prints its thumbprint, which a token names as cnf.jkt
    #[command(after_help = "\
Only the owner of the file can read it. An existing file is never replaced.

Example:
  route-token dpop key holder.jwk")]
    Key {
        /// File for the private JWK
        #[arg(value_name = "FILE")]
        file: PathBuf,

        /// Kind of the key
        #[arg(long, value_enum, default_value = "es256")]
        alg: Kind,
    },
    Proof(Proof),
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Es256,
    Eddsa,
}

/// Prints a proof for one request, which is good for one use
#[derive(Args)]
#[command(after_help = "\
Examples:
  route-token dpop proof --key holder.jwk --method POST --uri https://id.example.com/token
  curl -H \"Authorization: DPoP $(cat token.txt)\" \\
      -H \"DPoP: $(route-token dpop proof --key holder.jwk --token token.txt \\
          --uri https://api.example.com/api)\" https://api.example.com/api")]
struct Proof {
    /// File with the private JWK: of `route-token dpop key`, or any other that can sign
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// Method of the request
    #[arg(long, default_value = "GET")]
    method: String,

    /// URI of the request as the client sends it; query and fragment are left out
    #[arg(long, value_name = "URI")]
    uri: String,

    /// File with the access token, or - for standard input; none for a proof to a token endpoint
    #[arg(long, value_name = "FILE|-")]
    token: Option<PathBuf>,

    /// Nonce of the server, from its DPoP-Nonce header
    #[arg(long)]
    nonce: Option<String>,
}

impl Dpop {
    /// Writes a key, or prints a proof.
    pub fn run(&self) -> Result<(), Failure> {
        match &self.command {
            Command::Key { file, alg } => make_key(file, *alg),
            Command::Proof(proof) => proof.run(),
        }
    }
}

fn make_key(file: &Path, kind: Kind) -> Result<(), Failure> {
    let jwk = match kind {
        Kind::Es256 => p256(),
        Kind::Eddsa => ed25519(),
    };
    let jwk = jwk.ok_or_else(|| Failure::failed("a key could not be generated"))?;
    let text = Zeroizing::new(Value::Object(jwk.clone()).to_string() + "\n");
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::failed(format!("{} cannot be written: {error}", file.display())))?;
    print(&(thumbprint_of(&jwk)? + "\n"))
}

fn p256() -> Option<Map<String, Value>> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
    let private: EcPrivateKeyBin = pair.private_key().as_be_bytes().ok()?;
    let point = pair.public_key().as_ref();
    members(json!({
        "kty": "EC", "crv": "P-256", "x": encoded(&point[1..33]), "y": encoded(&point[33..]),
        "d": encoded(private.as_ref()),
    }))
}

fn ed25519() -> Option<Map<String, Value>> {
    let pair = Ed25519KeyPair::generate().ok()?;
    let seed: Curve25519SeedBin = pair.seed().ok()?.as_be_bytes().ok()?;
    let point = pair.public_key().as_ref();
    members(json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(point), "d": encoded(seed.as_ref()) }))
}

fn members(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn thumbprint_of(jwk: &Map<String, Value>) -> Result<String, Failure> {
    let text = thumbprint(jwk).map_err(|error| Failure::failed(format!("--key {}", error.message)))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

impl Proof {
    /// Signs the proof and prints it on a line of its own.
    fn run(&self) -> Result<(), Failure> {
        let keys = Keyring::from_file(&self.key, Form::Key).map_err(|error| Failure::failed(error.message))?.current();
        let key =
            keys.signing().map_err(|_| Failure::failed("--key must hold a private key: it holds a public one"))?;
        let options = SignOptions {
            token_type: Some("dpop+jwt".to_owned()),
            header: Map::from_iter([("jwk".to_owned(), Value::Object(self.public_jwk()?))]),
            token_id: true,
            ..SignOptions::default()
        };
        let claims = Value::Object(self.claims()?).to_string();
        let proof = sign(claims.as_bytes(), key, &options, now()?)
            .map_err(|reason| Failure::failed(format!("the proof cannot be signed: {reason}")))?;
        print(&(proof + "\n"))
    }

    /// Returns the public members of the key.
    fn public_jwk(&self) -> Result<Map<String, Value>, Failure> {
        let refused = || Failure::failed("--key must hold one private JWK: RSA, EC or Ed25519");
        let text = load(&self.key, |text| Ok(Zeroizing::new(text.to_vec())))
            .map_err(|error| Failure::failed(error.message))?;
        let mut jwk = parse_object(&text).ok_or_else(refused)?;
        jwk.retain(|name, _| ["kty", "crv", "x", "y", "n", "e"].contains(&name.as_str()));
        thumbprint_of(&jwk).map_err(|_| refused())?;
        Ok(jwk)
    }

    fn claims(&self) -> Result<Map<String, Value>, Failure> {
        let uri = self.uri.split(['?', '#']).next().unwrap_or_default();
        let mut claims = Map::new();
        claims.insert("htm".to_owned(), json!(self.method));
        claims.insert("htu".to_owned(), json!(uri));
        claims.insert("iat".to_owned(), json!(now()?));
        if let Some(token) = &self.token {
            let text = read(token.as_os_str())?;
            let token = token_of(&text).map_err(|_| Failure::usage("--token must hold one token of at most 16 KiB"))?;
            claims.insert("ath".to_owned(), json!(encoded(digest(&SHA256, token).as_ref())));
        }
        if let Some(nonce) = &self.nonce {
            claims.insert("nonce".to_owned(), json!(nonce));
        }
        Ok(claims)
    }
}
