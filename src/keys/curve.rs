//! The elliptic curves of keys (RFC 7518 §3.4, RFC 8812 §3.2).

use aws_lc_rs::signature::{self, EcdsaVerificationAlgorithm, ParsedPublicKey};

use super::Algorithm;

/// The curves, each with its algorithm. They refuse compressed points and points of other curves.
pub(super) const CURVES: [(Algorithm, &EcdsaVerificationAlgorithm); 4] = [
    (Algorithm::ES256, &signature::ECDSA_P256_SHA256_FIXED),
    (Algorithm::ES384, &signature::ECDSA_P384_SHA384_FIXED),
    (Algorithm::ES512, &signature::ECDSA_P521_SHA512_FIXED),
    (Algorithm::ES256K, &signature::ECDSA_P256K1_SHA256_FIXED),
];

/// Parses an uncompressed point or SPKI DER. Returns a key for each curve that the point lies on.
pub(super) fn keys_on_curves(bytes: &[u8]) -> impl Iterator<Item = (Algorithm, ParsedPublicKey)> + '_ {
    CURVES.iter().filter_map(move |(algorithm, curve)| Some((*algorithm, ParsedPublicKey::new(*curve, bytes).ok()?)))
}
