//! The private key that signs a token.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::Algorithm::{self, *};
use jsonwebtoken::EncodingKey;
use route_native::error::{ConfigError, Reason};

use crate::Failure;

/// A private key with the algorithms that it can sign with, the default first.
pub struct SigningKey {
    key: EncodingKey,
    algorithms: &'static [Algorithm],
}

impl SigningKey {
    /// Reads a private key in PEM: PKCS#8, or PKCS#1 for RSA.
    pub fn parse(text: &[u8]) -> Result<SigningKey, ConfigError> {
        let unsupported = |what: &str| ConfigError::new(Reason::KeyUnsupported, what);
        let block = pem::parse(text).map_err(|_| unsupported("is not PEM"))?;
        match block.tag() {
            "PRIVATE KEY" | "RSA PRIVATE KEY" => {}
            "EC PRIVATE KEY" => {
                return Err(unsupported("is not PKCS#8; `openssl pkcs8 -topk8 -nocrypt` converts it"));
            }
            "ENCRYPTED PRIVATE KEY" => return Err(unsupported("is encrypted with a passphrase; store it without one")),
            _ => return Err(unsupported("does not hold a private key")),
        }
        if let Ok(key) = EncodingKey::from_rsa_pem(text) {
            return Ok(SigningKey { key, algorithms: &[RS256, RS384, RS512, PS256, PS384, PS512] });
        }
        if let Ok(key) = EncodingKey::from_ed_pem(text) {
            return Ok(SigningKey { key, algorithms: &[EdDSA] });
        }
        for (curve, algorithms) in
            [(&ECDSA_P256_SHA256_FIXED_SIGNING, &[ES256][..]), (&ECDSA_P384_SHA384_FIXED_SIGNING, &[ES384][..])]
        {
            if EcdsaKeyPair::from_pkcs8(curve, block.contents()).is_ok()
                && let Ok(key) = EncodingKey::from_ec_pem(text)
            {
                return Ok(SigningKey { key, algorithms });
            }
        }
        Err(unsupported("is neither an RSA, a P-256, a P-384 nor an Ed25519 key"))
    }

    /// The algorithm of that name, or the default.
    pub fn algorithm(&self, name: Option<&str>) -> Result<Algorithm, Failure> {
        let Some(name) = name else { return Ok(self.algorithms[0]) };
        let wanted = name.parse().ok().filter(|algorithm| self.algorithms.contains(algorithm));
        wanted.ok_or_else(|| {
            Failure::usage(format!("--alg must be one that the key can sign with: {:?}", self.algorithms))
        })
    }

    /// The key for jsonwebtoken.
    pub fn encoding_key(&self) -> &EncodingKey {
        &self.key
    }
}
