//! Keys of encrypted tokens: parsed once, and bound to the key management algorithms that they allow.
//!
//! They are separate from the keys of signatures, because a key has one use (RFC 7517 §4.2). A public key encrypts, a
//! private key decrypts, and a shared secret does both.

use aws_lc_rs::agreement::{
    Algorithm as Curve, ECDH_P256, ECDH_P384, ECDH_P521, ParsedPublicKey, PrivateKey, UnparsedPublicKey, X25519, agree,
};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{
    OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey, PublicKey,
};
use aws_lc_rs::signature::RsaPublicKeyComponents;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::jwk::Jwk;
use super::key::rsa_key_from_der;
use super::management::{self, Management, Secret, random};
use super::parse::{is_json, skipped, without_bom};
use super::pem::{certificate_spki, is_private, key_blocks, private_der, rsa_pkcs8_from};
use super::public_material::refuse_public_material;
use crate::error::{ConfigError, Reason};

/// The sizes of shared secrets that an algorithm has, in bytes.
const SECRET_BYTES: [usize; 5] = [16, 24, 32, 48, 64];

/// The curves of ECDH-ES with their names (RFC 7518 §6.2.1.1, RFC 8037 §3.2). RFC 8812 §3.2 excludes secp256k1.
const CURVES: [(&str, &Curve); 4] =
    [("P-256", &ECDH_P256), ("P-384", &ECDH_P384), ("P-521", &ECDH_P521), ("X25519", &X25519)];

/// What an X25519 private key in PKCS#8 begins with (RFC 8410 §7).
const X25519_PKCS8: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x6e\x04\x22\x04\x20";

/// The content encryption that a key is wanted for: the name of `enc`, and the size of its key in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Content {
    pub name: &'static str,
    pub size: usize,
}

/// Whether a key is to encrypt or to decrypt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Encrypt,
    Decrypt,
}

/// What encrypts or decrypts.
enum Material {
    RsaPublic(OaepPublicEncryptingKey),
    RsaPrivate(OaepPrivateDecryptingKey),
    AgreementPublic(ParsedPublicKey),
    AgreementPrivate(PrivateKey),
    Secret(Secret),
}

/// One key for encrypted tokens. Its type fixes the algorithms. A JWK's `alg` and `key_ops` narrow them.
pub(crate) struct EncryptionKey {
    id: Option<String>,
    algorithm: Option<String>,
    operations: Option<Vec<String>>,
    material: Material,
}

/// A content encryption key, the token's part that carries it, and the members that the header needs besides.
pub(crate) struct Wrapped {
    pub key: Secret,
    pub encrypted: Vec<u8>,
    pub members: Map<String, Value>,
}

impl From<Material> for EncryptionKey {
    fn from(material: Material) -> Self {
        EncryptionKey { id: None, algorithm: None, operations: None, material }
    }
}

impl EncryptionKey {
    /// Returns the key of a JWK whose members restrict it.
    ///
    /// Errors: `KeyUnsupported` if nothing is left that it may do.
    fn restricted(
        material: Material,
        id: Option<String>,
        algorithm: Option<String>,
        operations: Option<Vec<String>>,
    ) -> Result<EncryptionKey, ConfigError> {
        let key = EncryptionKey { id, algorithm, operations, material };
        let contents = [("A128GCM", 16), ("A192GCM", 24), ("A256GCM", 32)];
        let contents =
            contents.into_iter().chain([("A128CBC-HS256", 32), ("A192CBC-HS384", 48), ("A256CBC-HS512", 64)]);
        let fits = |(name, size)| {
            let content = Content { name, size };
            let directions = [Direction::Encrypt, Direction::Decrypt];
            Management::ALL
                .iter()
                .any(|(_, management)| directions.iter().any(|to| key.fits(*to, *management, content)))
        };
        if contents.into_iter().any(fits) {
            return Ok(key);
        }
        Err(ConfigError::unsupported_key("is a JWK whose alg or key_ops allow no encryption with its key"))
    }

    /// Returns the key's `kid`, which only a JWK has.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns whether the key's type, its `alg` and its `key_ops` allow an algorithm.
    fn fits(&self, direction: Direction, management: Management, content: Content) -> bool {
        let encrypts = direction == Direction::Encrypt;
        let (is_able, operations): (bool, [&str; 2]) = match (management, &self.material) {
            (Management::Direct, Material::Secret(secret)) => {
                (secret.len() == content.size, if encrypts { ["encrypt"; 2] } else { ["decrypt"; 2] })
            }
            (Management::KeyWrap(size) | Management::GcmKeyWrap(size), Material::Secret(secret)) => {
                (secret.len() == size, if encrypts { ["wrapKey"; 2] } else { ["unwrapKey"; 2] })
            }
            (Management::RsaOaep(_), Material::RsaPublic(_)) => (encrypts, ["wrapKey", "encrypt"]),
            (Management::RsaOaep(_), Material::RsaPrivate(_)) => (!encrypts, ["unwrapKey", "decrypt"]),
            (Management::Agreement(_), Material::AgreementPublic(_)) => (encrypts, ["deriveKey", "deriveBits"]),
            (Management::Agreement(_), Material::AgreementPrivate(_)) => (!encrypts, ["deriveKey", "deriveBits"]),
            _ => return false,
        };
        // A JWK of a secret for `dir` may name the content encryption (RFC 7520 §5.6).
        let is_named =
            |name: &String| name == management.name() || (management == Management::Direct && name == content.name);
        let allows = |allowed: &Vec<String>| allowed.iter().any(|name| operations.contains(&name.as_str()));
        is_able && self.algorithm.as_ref().is_none_or(is_named) && self.operations.as_ref().is_none_or(allows)
    }

    /// Returns the content encryption key of a token, or `None` for whatever reason: the caller treats all alike.
    pub fn unwrap(
        &self,
        management: Management,
        content: Content,
        header: &Map<String, Value>,
        encrypted: &[u8],
    ) -> Option<Secret> {
        let member = |name| decoded(header, name).ok().flatten();
        match (management, &self.material) {
            (Management::Direct, Material::Secret(secret)) => Some(secret.clone()),
            (Management::KeyWrap(_), Material::Secret(secret)) => management::unwrap(secret, encrypted, content.size),
            (Management::GcmKeyWrap(_), Material::Secret(secret)) => {
                management::gcm_unwrap(secret, &member("iv")?, encrypted, &member("tag")?)
            }
            (Management::RsaOaep(hash), Material::RsaPrivate(key)) => {
                let mut out = Zeroizing::new(vec![0; key.min_output_size()]);
                let length = key.decrypt(management::oaep(hash), encrypted, &mut out, None).ok()?.len();
                out.truncate(length);
                Some(out)
            }
            (Management::Agreement(wrapping), Material::AgreementPrivate(key)) => {
                // `agree` refuses a point of another curve, and one that is not on its curve.
                let ephemeral = ephemeral_key(header.get("epk")?, key.algorithm())?;
                let agreed = agreed_key(key, ephemeral, management, content, header)?;
                match wrapping {
                    None => Some(agreed),
                    Some(_) => management::unwrap(&agreed, encrypted, content.size),
                }
            }
            _ => None,
        }
    }

    /// Makes a content encryption key for a token. Returns `None` when the key cannot.
    pub fn wrap(
        &self,
        management: Management,
        content: Content,
        header: &Map<String, Value>,
    ) -> Result<Option<Wrapped>, Reason> {
        let key = random(content.size)?;
        let mut members = Map::new();
        let encrypted = match (management, &self.material) {
            (Management::Direct, Material::Secret(secret)) => {
                return Ok(Some(Wrapped { key: secret.clone(), encrypted: Vec::new(), members }));
            }
            (Management::KeyWrap(_), Material::Secret(secret)) => management::wrap(secret, &key),
            (Management::GcmKeyWrap(_), Material::Secret(secret)) => {
                let iv = random(12)?;
                management::gcm_wrap(secret, &iv, &key).map(|(encrypted, tag)| {
                    members.insert("iv".into(), URL_SAFE_NO_PAD.encode(iv).into());
                    members.insert("tag".into(), URL_SAFE_NO_PAD.encode(tag).into());
                    encrypted
                })
            }
            (Management::RsaOaep(hash), Material::RsaPublic(public)) => {
                let mut out = vec![0; public.ciphertext_size()];
                let length = public.encrypt(management::oaep(hash), &key, &mut out, None).map(|text| text.len());
                length.ok().map(|length| {
                    out.truncate(length);
                    out
                })
            }
            (Management::Agreement(wrapping), Material::AgreementPublic(public)) => {
                let ephemeral = PrivateKey::generate(public.alg()).map_err(|_| Reason::Internal)?;
                members.insert("epk".into(), public_jwk(&ephemeral).ok_or(Reason::Internal)?);
                let agreed = agreed_key(&ephemeral, public.clone(), management, content, header);
                let agreed = agreed.ok_or(Reason::Internal)?;
                match wrapping {
                    None => return Ok(Some(Wrapped { key: agreed, encrypted: Vec::new(), members })),
                    Some(_) => management::wrap(&agreed, &key),
                }
            }
            _ => None,
        };
        Ok(encrypted.map(|encrypted| Wrapped { key, encrypted, members }))
    }
}

/// Returns the bytes of an optional member of a header, canonical base64url.
///
/// Errors: `TokenMalformed`.
pub(crate) fn decoded(header: &Map<String, Value>, name: &str) -> Result<Option<Vec<u8>>, Reason> {
    let Some(value) = header.get(name) else { return Ok(None) };
    let bytes = value.as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    bytes.map(Some).ok_or(Reason::TokenMalformed)
}

/// Agrees on a secret and derives the key from it.
fn agreed_key(
    private: &PrivateKey,
    public: ParsedPublicKey,
    management: Management,
    content: Content,
    header: &Map<String, Value>,
) -> Option<Secret> {
    let party = |name| decoded(header, name).ok().map(Option::unwrap_or_default);
    let (party_u, party_v) = (party("apu")?, party("apv")?);
    let (name, size) = match management {
        Management::Agreement(Some(size)) => (management.name(), size),
        _ => (content.name, content.size),
    };
    let derive = |secret: &[u8]| Ok(management::derive(secret, name, [&party_u, &party_v], size));
    agree(private, public, (), derive).ok()
}

/// Parses the ephemeral key of a token, which must be of the recipient's curve and on it (RFC 7518 §6.2.1).
fn ephemeral_key(value: &Value, curve: &'static Curve) -> Option<ParsedPublicKey> {
    let jwk = Jwk::from_members(value.as_object()?.clone());
    let (found, point) = agreement_point(&jwk).ok()?;
    if found != curve { None } else { point_on(curve, &point) }
}

/// Parses an uncompressed point, the 32 bytes of X25519, or SPKI DER.
fn point_on(curve: &'static Curve, bytes: &[u8]) -> Option<ParsedPublicKey> {
    ParsedPublicKey::try_from(UnparsedPublicKey::new(curve, bytes)).ok()
}

/// Returns the curve and the point of a JWK.
fn agreement_point(jwk: &Jwk) -> Result<(&'static Curve, Vec<u8>), ConfigError> {
    let name = jwk.text("crv").unwrap_or_default();
    match (jwk.text("kty"), CURVES.iter().find(|(candidate, _)| *candidate == name)) {
        (Some("OKP"), Some((_, curve))) if *curve == &X25519 => Ok((curve, jwk.bytes("x")?.to_vec())),
        (Some("EC"), Some((_, curve))) if *curve != &X25519 => Ok((curve, jwk.point()?)),
        _ => Err(ConfigError::unsupported_key("is a JWK of an unknown kind")),
    }
}

/// Returns the public half of a key as a JWK.
fn public_jwk(key: &PrivateKey) -> Option<Value> {
    let (name, curve) = CURVES.iter().find(|(_, curve)| *curve == key.algorithm())?;
    let point = key.compute_public_key().ok()?;
    if *curve == &X25519 {
        return Some(json!({ "kty": "OKP", "crv": name, "x": URL_SAFE_NO_PAD.encode(point.as_ref()) }));
    }
    let (x, y) = point.as_ref().get(1..)?.split_at_checked(point.as_ref().len() / 2)?;
    Some(json!({ "kty": "EC", "crv": name, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) }))
}

impl Material {
    /// Checks a shared secret: its size, and that it is not public key material.
    fn secret(bytes: &[u8]) -> Result<Material, ConfigError> {
        refuse_public_material(bytes)?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            let message = "is a shared secret that is not of 16, 24, 32, 48 or 64 bytes";
            return Err(ConfigError::unsupported_key(message));
        }
        Ok(Material::Secret(Zeroizing::new(bytes.to_vec())))
    }

    /// Parses a public key in SPKI DER, or in PKCS#1 DER for RSA.
    fn public(der: &[u8]) -> Result<Material, ConfigError> {
        if rsa_key_from_der(der).is_ok() {
            return PublicKey::from_der(der)
                .ok()
                .and_then(|key| PublicEncryptingKey::from_der(key.as_der().ok()?.as_ref()).ok())
                .and_then(|key| OaepPublicEncryptingKey::new(key).ok())
                .map(Material::RsaPublic)
                .ok_or_else(unsupported);
        }
        CURVES.iter().find_map(|(_, curve)| point_on(curve, der).map(Material::AgreementPublic)).ok_or_else(unsupported)
    }

    /// Parses an RSA private key in PKCS#8 DER.
    fn rsa_private(pkcs8: &[u8]) -> Result<Material, ConfigError> {
        PrivateDecryptingKey::from_pkcs8(pkcs8)
            .ok()
            .and_then(|key| OaepPrivateDecryptingKey::new(key).ok())
            .map(Material::RsaPrivate)
            .ok_or_else(unsupported)
    }

    /// Parses a private key in PKCS#8 or SEC 1 DER.
    fn private(der: &[u8]) -> Result<Material, ConfigError> {
        if let Ok(key) = Self::rsa_private(der) {
            return Ok(key);
        }
        let raw = der.strip_prefix(X25519_PKCS8).and_then(|key| PrivateKey::from_private_key(&X25519, key).ok());
        let parse = |(_, curve): &(&str, &'static Curve)| PrivateKey::from_private_key_der(curve, der).ok();
        raw.or_else(|| CURVES.iter().find_map(parse)).map(Material::AgreementPrivate).ok_or_else(unsupported)
    }

    /// Parses a JWK's point, and its private number `d` if it has one, which must belong to the point.
    fn agreement(jwk: &Jwk) -> Result<Material, ConfigError> {
        let (curve, point) = agreement_point(jwk)?;
        let public = point_on(curve, &point).ok_or_else(unsupported)?;
        if jwk.is_public() {
            return Ok(Material::AgreementPublic(public));
        }
        let private = if curve == &X25519 { jwk.bytes("d")? } else { jwk.coordinate("d")? };
        let key = PrivateKey::from_private_key(curve, &private).ok();
        key.filter(|key| key.compute_public_key().is_ok_and(|public| public.as_ref() == point))
            .map(Material::AgreementPrivate)
            .ok_or_else(|| ConfigError::unsupported_key("is a private JWK whose members do not make a key"))
    }
}

fn unsupported() -> ConfigError {
    ConfigError::unsupported_key(
        "is a key that cannot encrypt or decrypt: RSA of 2048 to 8192 bits, P-256, P-384, P-521 or X25519 is needed",
    )
}

/// The keys that encrypt or decrypt tokens: one, or several during a rotation.
pub struct EncryptionKeys {
    keys: Vec<EncryptionKey>,
    notes: Vec<String>,
}

impl EncryptionKeys {
    /// The most keys. A token without `kid` may cost one operation of a private key for each.
    pub const MAX_KEYS: usize = 8;

    /// Parses PEM with any number of keys, a JWK, or a JWK Set. Skips keys of a JWK Set that are for signatures or not
    /// supported (RFC 7517 §5).
    ///
    /// Errors: `KeyUnsupported`.
    pub fn parse(text: &[u8]) -> Result<EncryptionKeys, ConfigError> {
        let (mut keys, mut notes) = (Vec::new(), Vec::new());
        if is_json(text) {
            let (jwks, is_set) = Jwk::all(without_bom(text))?;
            for (index, jwk) in jwks.iter().enumerate() {
                match from_jwk(jwk) {
                    Ok(key) => keys.push(key),
                    Err(error) if is_set => notes.push(skipped(index, jwk, &error.message)),
                    Err(error) => return Err(error),
                }
            }
        } else {
            let (blocks, found) = key_blocks(text)?;
            notes = found;
            // Each block is wiped, also those behind one that is refused.
            let parsed: Vec<_> = blocks.into_iter().map(from_block).collect();
            keys = parsed.into_iter().collect::<Result<_, _>>()?;
        }
        match keys.len() {
            0 => {
                let why = notes.first().map_or_else(String::new, |note| format!(": {note}"));
                Err(ConfigError::unsupported_key(&format!("holds no key that can encrypt or decrypt{why}")))
            }
            length if length > Self::MAX_KEYS => {
                Err(ConfigError::unsupported_key("holds more than 8 keys that can encrypt or decrypt"))
            }
            _ => Ok(EncryptionKeys { keys, notes }),
        }
    }

    /// Returns a shared secret of 16, 24, 32, 48 or 64 bytes.
    ///
    /// Errors: `KeyUnsupported` for another size and for public key material.
    pub fn from_secret(secret: &[u8]) -> Result<EncryptionKeys, ConfigError> {
        Ok(EncryptionKeys { keys: vec![Material::secret(secret)?.into()], notes: Vec::new() })
    }

    /// Returns a sentence for each key that was skipped.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the keys that may be used for a token: those that have its `kid` and those that have none, or all keys
    /// without a `kid`, or when no key has one.
    ///
    /// Errors: `KeyNotFound`, `AlgorithmNotAllowed`.
    pub(crate) fn fitting(
        &self,
        direction: Direction,
        management: Management,
        content: Content,
        id: Option<&str>,
    ) -> Result<Vec<&EncryptionKey>, Reason> {
        let ignores_id = id.is_none() || self.keys.iter().all(|key| key.id.is_none());
        let is_candidate = |key: &&EncryptionKey| ignores_id || key.id.is_none() || key.id() == id;
        if !self.keys.iter().any(|key| is_candidate(&key)) {
            return Err(Reason::KeyNotFound);
        }
        let found: Vec<_> =
            self.keys.iter().filter(is_candidate).filter(|key| key.fits(direction, management, content)).collect();
        if found.is_empty() { Err(Reason::AlgorithmNotAllowed) } else { Ok(found) }
    }
}

/// Returns the key of a JWK.
fn from_jwk(jwk: &Jwk) -> Result<EncryptionKey, ConfigError> {
    jwk.check_use("enc")?;
    let material = match jwk.text("kty") {
        Some("oct") => Material::secret(&jwk.bytes("k")?)?,
        Some("RSA" | "EC" | "OKP") if !jwk.has("n") && !jwk.has("x") => {
            jwk.certified()?;
            Material::public(&certificate_spki(&jwk.certificate()?)?)?
        }
        Some("RSA") if jwk.is_public() => {
            let components = RsaPublicKeyComponents { n: jwk.number("n")?, e: jwk.number("e")? };
            Material::public(components.as_der().map_err(|_| unsupported())?.as_ref())?
        }
        Some("RSA") => {
            let pkcs8: Pkcs8V1Der<'_> = jwk.rsa_pair()?.as_der().map_err(|_| unsupported())?;
            Material::rsa_private(pkcs8.as_ref())?
        }
        _ => Material::agreement(jwk)?,
    };
    let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
    let operations = jwk.optional("key_ops").map(|value| value.as_array().into_iter().flatten().map(text).collect());
    EncryptionKey::restricted(material, jwk.kid(), jwk.optional("alg").map(text), operations)
}

fn from_block(block: pem::Pem) -> Result<EncryptionKey, ConfigError> {
    if !is_private(&block) {
        return match block.tag() {
            "CERTIFICATE" => Material::public(&certificate_spki(block.contents())?),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Material::public(block.contents()),
            _ => Err(ConfigError::unsupported_key("holds a PEM block that is neither a key nor a certificate")),
        }
        .map(EncryptionKey::from);
    }
    let (tag, der) = private_der(block)?;
    match tag.as_str() {
        "RSA PRIVATE KEY" => Material::rsa_private(&rsa_pkcs8_from(&tag, der)?),
        _ => Material::private(&der),
    }
    .map(EncryptionKey::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    fn members(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn only(jwk: Value) -> EncryptionKey {
        EncryptionKeys::parse(jwk.to_string().as_bytes()).unwrap().keys.pop().unwrap()
    }

    /// RFC 3394 §4.1, §4.2, §4.3.
    #[test]
    fn published_keys_are_wrapped_and_unwrapped() {
        let key = bytes("00112233445566778899AABBCCDDEEFF");
        for (size, wrapped) in [
            (16, "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"),
            (24, "96778B25AE6CA435F92B5B97C050AED2468AB8A17AD84E5D"),
            (32, "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7"),
        ] {
            let (with, mut wrapped): (Vec<u8>, _) = ((0..size).collect(), bytes(wrapped));
            assert_eq!(management::wrap(&with, &key), Some(wrapped.clone()), "{size}");
            assert_eq!(management::unwrap(&with, &wrapped, 16).unwrap().as_slice(), key, "{size}");
            assert!(management::unwrap(&with, &wrapped, 24).is_none(), "{size}");
            assert!(management::unwrap(&with, &wrapped[..16], 16).is_none(), "{size}");
            wrapped[23] ^= 1;
            assert!(management::unwrap(&with, &wrapped, 16).is_none(), "{size}");
        }
    }

    /// RFC 7518 appendix C.
    #[test]
    fn the_published_agreement_gives_the_published_key() {
        let bob = only(json!({
            "kty": "EC", "crv": "P-256", "x": "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
            "y": "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck", "d": "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw",
        }));
        let epk = json!({
            "kty": "EC", "crv": "P-256", "x": "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0",
            "y": "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps",
        });
        let header = |epk: &Value| members(json!({ "apu": "QWxpY2U", "apv": "Qm9i", "epk": epk }));
        let content = Content { name: "A128GCM", size: 16 };
        let unwrap = |epk: &Value| bob.unwrap(Management::Agreement(None), content, &header(epk), &[]);
        assert_eq!(URL_SAFE_NO_PAD.encode(unwrap(&epk).unwrap()), "VqqN6vgjbSBcIijNcacQGg");
        // Of another curve, or on none.
        for (name, value) in [
            ("crv", "P-384"),
            ("crv", "X25519"),
            ("kty", "OKP"),
            ("y", "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFppo"),
            ("x", ""),
            ("x", "AA"),
        ] {
            let mut epk = epk.clone();
            epk[name] = json!(value);
            assert!(unwrap(&epk).is_none(), "{name} {value}");
        }
    }

    /// RFC 8037 appendix A.6 with the secret keys of RFC 7748 §6.1.
    #[test]
    fn the_published_agreement_on_x25519_gives_the_published_secret() {
        let d = bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        let bob = only(json!({
            "kty": "OKP", "crv": "X25519", "x": "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08",
            "d": URL_SAFE_NO_PAD.encode(d),
        }));
        let ephemeral = bytes("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        let header =
            |x: &[u8]| members(json!({ "epk": { "kty": "OKP", "crv": "X25519", "x": URL_SAFE_NO_PAD.encode(x) } }));
        let content = Content { name: "A128GCM", size: 16 };
        let unwrap = |x: &[u8]| bob.unwrap(Management::Agreement(None), content, &header(x), &[]);
        let secret = bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(unwrap(&ephemeral).unwrap(), management::derive(&secret, "A128GCM", [&[], &[]], 16));
        // A point of low order gives the secret that everybody knows.
        assert!(unwrap(&[0; 32]).is_none());
        assert!(unwrap(&ephemeral[1..]).is_none());
    }
}
