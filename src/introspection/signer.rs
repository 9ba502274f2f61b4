//! Signs claims as the JWT that the API receives, for authorization servers that answer in plain JSON.

use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value};

use crate::error::{ConfigError, Reason};

type Read = fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>;

/// A private key with the algorithm that its type asks for.
pub struct Signer {
    key: EncodingKey,
    header: Header,
    identity: [u8; 32],
}

impl Signer {
    /// Reads a private key in PEM: RSA signs RS256, P-256 ES256, P-384 ES384, Ed25519 EdDSA.
    pub fn parse(text: &[u8], key_id: Option<&str>) -> Result<Signer, ConfigError> {
        let kinds: [(Algorithm, Read); 4] = [
            (Algorithm::RS256, EncodingKey::from_rsa_pem),
            (Algorithm::ES256, EncodingKey::from_ec_pem),
            (Algorithm::ES384, EncodingKey::from_ec_pem),
            (Algorithm::EdDSA, EncodingKey::from_ed_pem),
        ];
        for (algorithm, read) in kinds {
            let Ok(key) = read(text) else { continue };
            let mut header = Header::new(algorithm);
            header.kid = key_id.map(str::to_owned);
            // Only signing shows that key and algorithm fit: the two curves look alike.
            if encode(&header, &Map::new(), &key).is_ok() {
                let mut identity = [0; 32];
                identity.copy_from_slice(digest(&SHA256, text).as_ref());
                return Ok(Signer { key, header, identity });
            }
        }
        let sentence = "is not a private key in PEM that can sign: RSA, P-256, P-384 or Ed25519 is needed";
        Err(ConfigError::new(Reason::KeyUnsupported, sentence))
    }

    /// A digest that names the key.
    pub(super) fn identity(&self) -> [u8; 32] {
        self.identity
    }

    /// Signs `claims`. `iat` and `exp` are added where they are missing: no token of ours lives forever.
    pub(super) fn sign(&self, mut claims: Map<String, Value>, now: i64, end: i64) -> Result<String, Reason> {
        claims.entry("iat").or_insert_with(|| now.into());
        claims.entry("exp").or_insert_with(|| end.into());
        encode(&self.header, &claims, &self.key).map_err(|_| Reason::Internal)
    }
}
