//! Public key material is never accepted as a shared secret, in any wrapping and by any interface. All other texts are
//! accepted.

mod support;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use proptest::sample::Index;
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use route_native::error::{ConfigError, Reason};
use route_native::keys::{EncryptionKeys, Form, Key, KeySet, Keyring, SigningKey};
use serde_json::{Value, json};
use support::*;

/// A name and a function that returns why an interface refuses a text as a secret. `None`: the interface does not
/// accept texts of this shape.
type Interface = (&'static str, fn(&[u8]) -> Option<Result<(), ConfigError>>);

const INTERFACES: &[Interface] = &[
    ("Key::from_secret", |text| Some(Key::from_secret(text).map(drop))),
    ("Key::from_short_secret", |text| Some(Key::from_short_secret(text).map(drop))),
    ("SigningKey::from_secret", |text| Some(SigningKey::from_secret(text).map(drop))),
    ("SigningKey::from_short_secret", |text| Some(SigningKey::from_short_secret(text).map(drop))),
    ("a keyring's secret", |text| Some(Keyring::from_texts(&[(Form::Secret, text)]).map(drop))),
    ("a keyring's short secret", |text| Some(Keyring::from_texts(&[(Form::ShortSecret, text)]).map(drop))),
    ("a keyring's secrets", |text| Some(Keyring::from_texts(&[(Form::Secrets, text)]).map(drop))),
    ("the second of two secrets", |text| {
        let both = [(Form::Secret, &[7; 32][..]), (Form::Secret, text)];
        Some(Keyring::from_texts(&both).map(drop))
    }),
    ("a file of secrets", |text| Some(secret_file(text).map(drop))),
    ("a file of secrets, behind another", |text| {
        // Only UTF-8 can be a line of a file.
        let text = std::str::from_utf8(text).ok()?.as_bytes();
        Some(secret_file(&[&[b'x'; 40][..], b"\n", text].concat()).map(drop))
    }),
    ("an oct JWK that verifies", |text| Some(KeySet::parse(oct_jwk(text).as_bytes()).map(drop))),
    ("an oct JWK that signs", |text| Some(Keyring::from_texts(&[(Form::Key, oct_jwk(text).as_bytes())]).map(drop))),
    ("the secret of an encrypted token", |text| {
        [16, 24, 32, 48, 64].contains(&text.len()).then(|| EncryptionKeys::from_secret(text).map(drop))
    }),
    ("an oct JWK that encrypts", |text| {
        let jwk = oct_jwk(text);
        [16, 24, 32, 48, 64].contains(&text.len()).then(|| EncryptionKeys::parse(jwk.as_bytes()).map(drop))
    }),
    #[cfg(feature = "tunnel")]
    ("the tunnel's secret A", |text| {
        route_native::tunnel::server::auth::Authority::new(text, &[7; 32], None).map(drop).into()
    }),
    #[cfg(feature = "tunnel")]
    ("the tunnel's secret B", |text| {
        route_native::tunnel::server::auth::Authority::new(&[7; 32], text, None).map(drop).into()
    }),
    #[cfg(feature = "tunnel")]
    ("the tunnel's token", |text| {
        let token = route_native::tunnel::server::auth::mint(text, "c1", None, NOW, 60);
        Some(token.map(drop).ok_or_else(|| ConfigError::new(Reason::KeyUnsupported, MESSAGE)))
    }),
];

const MESSAGE: &str = "is a public key, a private key or a certificate used as an HMAC secret";

fn oct_jwk(secret: &[u8]) -> String {
    json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret) }).to_string()
}

fn secret_file(text: &[u8]) -> Result<Keyring, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text).expect("it is written");
    let path = file.path().to_owned();
    let mut opened = Keyring::from_file(&path, Form::Secrets);
    if let Err(error) = &mut opened {
        let name = format!("the key file {} ", path.display());
        error.message = error.message.strip_prefix(&name).expect("the message names the file").into();
    }
    opened
}

// The encodings of keys.

/// The parts of a key pair that its encodings need.
struct Pair {
    kind: &'static str,
    spki: Vec<u8>,
    pkcs8: Vec<u8>,
    pkcs1: Option<Vec<u8>>,
    point: Option<Vec<u8>>,
    jwk: Value,
    ssh: Option<Vec<u8>>,
}

const KINDS: [&str; 7] = ["RSA-2048", "RSA-3072", "P-256", "P-384", "P-521", "secp256k1", "Ed25519"];

fn pair(kind: &'static str) -> Pair {
    match kind {
        "RSA-2048" => rsa(kind, KeySize::Rsa2048),
        "RSA-3072" => rsa(kind, KeySize::Rsa3072),
        "P-256" => curve(kind, &ECDSA_P256_SHA256_FIXED_SIGNING, Some("nistp256")),
        "P-384" => curve(kind, &ECDSA_P384_SHA384_FIXED_SIGNING, Some("nistp384")),
        "P-521" => curve(kind, &ECDSA_P521_SHA512_FIXED_SIGNING, Some("nistp521")),
        "secp256k1" => curve(kind, &ECDSA_P256K1_SHA256_FIXED_SIGNING, None),
        _ => {
            let key = Ed25519KeyPair::generate().expect("a key");
            let x = key.public_key().as_ref();
            Pair {
                kind,
                spki: key.public_key().as_der().expect("DER").as_ref().to_vec(),
                pkcs8: key.to_pkcs8().expect("DER").as_ref().to_vec(),
                pkcs1: None,
                point: None,
                jwk: json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(x) }),
                ssh: Some(ssh_blob(&[b"ssh-ed25519", x])),
            }
        }
    }
}

fn rsa(kind: &'static str, size: KeySize) -> Pair {
    let key = RsaKeyPair::generate(size).expect("a key");
    let n = key.public_key().modulus().big_endian_without_leading_zero();
    let e = key.public_key().exponent().big_endian_without_leading_zero();
    Pair {
        kind,
        spki: key.public_key().as_der().expect("DER").as_ref().to_vec(),
        pkcs8: key.as_der().expect("DER").as_ref().to_vec(),
        pkcs1: Some(key.public_key().as_ref().to_vec()),
        point: None,
        jwk: json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": URL_SAFE_NO_PAD.encode(e) }),
        ssh: Some(ssh_blob(&[b"ssh-rsa", e, &[&[0], n].concat()])),
    }
}

fn curve(kind: &'static str, algorithm: &'static EcdsaSigningAlgorithm, ssh: Option<&str>) -> Pair {
    let key = EcdsaKeyPair::generate(algorithm).expect("a key");
    let point = key.public_key().as_ref();
    let (x, y) = point[1..].split_at(point.len() / 2);
    Pair {
        kind,
        spki: key.public_key().as_der().expect("DER").as_ref().to_vec(),
        pkcs8: key.to_pkcs8v1().expect("DER").as_ref().to_vec(),
        pkcs1: None,
        point: Some(point.to_vec()),
        jwk: json!({ "kty": "EC", "crv": kind, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) }),
        ssh: ssh.map(|name| ssh_blob(&[format!("ecdsa-sha2-{name}").as_bytes(), name.as_bytes(), point])),
    }
}

fn ssh_blob(fields: &[&[u8]]) -> Vec<u8> {
    fields.iter().flat_map(|field| [&(field.len() as u32).to_be_bytes(), *field].concat()).collect()
}

fn der(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let size = match content.len() {
        length @ ..=0x7f => vec![length as u8],
        length @ ..=0xff => vec![0x81, length as u8],
        length => vec![0x82, (length >> 8) as u8, length as u8],
    };
    [&[tag], &size[..], &content].concat()
}

/// Returns a certificate with an invalid signature.
fn certificate(spki: &[u8]) -> Vec<u8> {
    let algorithm = der(0x30, &[b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"]);
    let name = der(0x30, &[&der(0x31, &[&der(0x30, &[b"\x06\x03\x55\x04\x03", &der(0x0c, &[b"issuer"])])])]);
    let times = der(0x30, &[&der(0x17, &[b"250101000000Z"]), &der(0x17, &[b"350101000000Z"])]);
    let to_sign = der(0x30, &[b"\xa0\x03\x02\x01\x02", b"\x02\x01\x07", &algorithm, &name, &times, &name, spki]);
    der(0x30, &[&to_sign, &algorithm, &der(0x03, &[&[0; 71]])])
}

/// Returns the PKCS#1 or SEC 1 private key in a PKCS#8 key, which is its last octet string.
fn traditional(pkcs8: &[u8]) -> Vec<u8> {
    let contents = (1..pkcs8.len()).map(|at| &pkcs8[at..]);
    contents
        .filter(|key| key[0] == 0x30)
        .find(|key| pkcs8.ends_with(&der(0x04, &[key])))
        .expect("an octet string")
        .to_vec()
}

/// A text, or bytes that may be no UTF-8.
#[derive(Clone)]
enum Encoded {
    Text(String),
    Bytes(Vec<u8>),
}

use Encoded::{Bytes, Text};

impl Encoded {
    fn bytes(&self) -> &[u8] {
        match self {
            Text(text) => text.as_bytes(),
            Bytes(bytes) => bytes,
        }
    }
}

fn encodings(pair: &Pair) -> Vec<(String, Encoded)> {
    let jwk = &pair.jwk;
    let with = |more: Value| merged(jwk.clone(), more);
    let cert = certificate(&pair.spki);
    let text = jwk.to_string();
    let body = STANDARD.encode(&pair.spki);
    let kty = jwk["kty"].as_str().expect("a kind");
    let mut all = vec![
        ("PEM", Text(pem("PUBLIC KEY", &pair.spki))),
        ("PEM of a certificate", Text(pem("CERTIFICATE", &cert))),
        ("PEM of a private key", Text(pem("PRIVATE KEY", &pair.pkcs8))),
        ("PEM behind junk", Text(format!("subject=CN=x\nissuer=CN=y\n{}", pem("PUBLIC KEY", &pair.spki)))),
        ("PEM whose armour has four dashes", Text(pem("PUBLIC KEY", &pair.spki).replace("-----", "----"))),
        ("PEM whose armour lost its dashes", Text(pem("PUBLIC KEY", &pair.spki).replace('-', ""))),
        (
            "PEM without its first line",
            Text(pem("PUBLIC KEY", &pair.spki).lines().skip(1).collect::<Vec<_>>().join("\n")),
        ),
        ("PEM in one line", Text(format!("-----BEGIN PUBLIC KEY----- {body} -----END PUBLIC KEY-----"))),
        ("base64 of DER with a name", Text(format!("public_key={body}"))),
        ("base64 of DER behind a sign that looks like an escape", Text(format!("100%25 \\x41 {body}"))),
        ("DKIM", Text(format!("v=DKIM1; k=rsa; p={body}"))),
        ("SPKI", Bytes(pair.spki.clone())),
        ("certificate", Bytes(cert.clone())),
        ("PKCS#8", Bytes(pair.pkcs8.clone())),
        ("JWK", Text(text.clone())),
        ("JWK, printed nicely", Text(serde_json::to_string_pretty(jwk).expect("JSON"))),
        ("JWK, other order", Text(format!("{{\"use\":\"sig\",{}", &text[1..]))),
        ("JWK that names a member twice", Text(format!("{{\"kty\":\"oct\",{}", &text[1..]))),
        ("JWK with a number that only cjson reads", Text(format!("{{\"n0\":0x1F,\"inf\":-Infinity,{}", &text[1..]))),
        ("JWK with escapes", Text(text.replace("\"kty\"", "\"\\u006bt\\u0079\"").replace(kty, &escaped(kty)))),
        ("JWK with single quotes", Text(text.replace('"', "'"))),
        ("JWK with x5c", Text(with(json!({ "x5c": [STANDARD.encode(&cert)] })).to_string())),
        ("x5c alone", Text(json!({ "x5c": [STANDARD.encode(&cert)] }).to_string())),
        ("private JWK", Text(with(json!({ "d": URL_SAFE_NO_PAD.encode([9; 32]) })).to_string())),
        ("JWK Set", Text(json!({ "keys": [jwk] }).to_string())),
        ("JWK Set with a secret", Text(json!({ "keys": [{ "kty": "oct", "k": "AAAA" }, jwk] }).to_string())),
        ("list of JWKs", Text(json!([jwk]).to_string())),
        ("JWK in an object", Text(json!({ "jwk": jwk }).to_string())),
        ("JWK as text in an object", Text(json!({ "jwk": text }).to_string())),
        ("JWK Set in an object", Text(json!({ "issuer": "x", "jwks": { "keys": [jwk] } }).to_string())),
        ("PEM in an object", Text(json!({ "kid": pem("CERTIFICATE", &cert) }).to_string())),
        ("base64 of DER in an object", Text(json!({ "realm": "x", "public_key": body }).to_string())),
    ];
    all.push(("COSE_Key", Bytes(cose(jwk))));
    if pair.kind != "Ed25519" {
        all.push(("CNG blob", Bytes(cng_blob(jwk))));
    }
    all.push(("OpenPGP", Bytes(openpgp(pair))));
    if let Some(pkcs1) = &pair.pkcs1 {
        all.push(("CryptoAPI blob", Bytes(capi_blob(jwk))));
        all.push(("PKCS#1", Bytes(pkcs1.clone())));
        all.push(("PEM of PKCS#1 without dashes", Text(pem("RSA PUBLIC KEY", pkcs1).replace('-', ""))));
        all.push(("base64 of PKCS#1 with a name", Text(format!("key: {}", STANDARD.encode(pkcs1)))));
    }
    if pair.kind != "Ed25519" {
        all.push(("traditional private key", Bytes(traditional(&pair.pkcs8))));
    }
    if let Some(point) = &pair.point {
        all.push(("point", Bytes(point.clone())));
        all.push(("point without its first byte", Bytes(point[1..].to_vec())));
        all.push(("point in an object", Text(json!({ "pub": hex(point) }).to_string())));
        all.push(("point in base64 in an object", Text(json!({ "pub": STANDARD.encode(point) }).to_string())));
    }
    if let Some(blob) = &pair.ssh {
        let base64 = STANDARD.encode(blob);
        let name = String::from_utf8_lossy(&blob[4..4 + blob[3] as usize]).into_owned();
        let block = format!(
            "---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"me\"\n{}---- END SSH2 PUBLIC KEY ----\n",
            lines(&base64, 70)
        );
        all.push(("OpenSSH", Text(format!("{name} {base64} ada@example.net\n"))));
        all.push(("OpenSSH with options", Text(format!("restrict,command=\"x\" {name} {base64}"))));
        all.push(("RFC 4716", Text(block)));
        all.push(("OpenSSH blob", Bytes(blob.clone())));
        let of_a_stick = ssh_blob(&[format!("sk-{name}@openssh.com").as_bytes(), &blob[4..]]);
        all.push(("OpenSSH of a security key", Text(format!("sk-{name}@openssh.com {}", STANDARD.encode(of_a_stick)))));
    }
    all.into_iter().map(|(name, encoded)| (format!("{}: {name}", pair.kind), encoded)).collect()
}

fn number(jwk: &Value, name: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect(name)).expect("base64url")
}

/// Returns a COSE_Key (RFC 9052 §7), as WebAuthn stores it.
fn cose(jwk: &Value) -> Vec<u8> {
    let string = |name: &str| {
        let bytes = number(jwk, name);
        let head = match bytes.len() {
            length @ ..=23 => vec![0x40 | length as u8],
            length @ ..=255 => vec![0x58, length as u8],
            length => vec![0x59, (length >> 8) as u8, length as u8],
        };
        [head, bytes].concat()
    };
    match jwk["kty"].as_str() {
        Some("RSA") => [b"\xa4\x01\x03\x03\x39\x01\x00\x20", &string("n")[..], b"\x21", &string("e")].concat(),
        Some("EC") => [b"\xa5\x01\x02\x03\x26\x20\x01\x21", &string("x")[..], b"\x22", &string("y")].concat(),
        _ => [b"\xa4\x01\x01\x03\x27\x20\x06\x21", &string("x")[..]].concat(),
    }
}

fn little(value: usize) -> [u8; 4] {
    (value as u32).to_le_bytes()
}

/// Returns a PUBLICKEYBLOB, as .NET and the Windows CryptoAPI write it.
fn capi_blob(jwk: &Value) -> Vec<u8> {
    let n: Vec<u8> = number(jwk, "n").into_iter().rev().collect();
    [b"\x06\x02\0\0\0\xa4\0\0RSA1", &little(8 * n.len())[..], &little(65537), &n].concat()
}

/// Returns a BCRYPT_RSAKEY_BLOB or a BCRYPT_ECCKEY_BLOB.
fn cng_blob(jwk: &Value) -> Vec<u8> {
    if jwk["kty"] == "RSA" {
        let (n, e) = (number(jwk, "n"), number(jwk, "e"));
        let sizes = [8 * n.len(), e.len(), n.len(), 0, 0].map(little);
        return [b"RSA1", &sizes.concat()[..], &e, &n].concat();
    }
    let (x, y) = (number(jwk, "x"), number(jwk, "y"));
    let magic = match x.len() {
        32 => b"ECS1",
        48 => b"ECK3",
        _ => b"ECS5",
    };
    [magic, &little(x.len())[..], &x, &y].concat()
}

/// Returns a packet of an OpenPGP public key, version 4 (RFC 9580 §5.5.2), in both header formats.
fn openpgp(pair: &Pair) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        let bits = 8 * bytes.len() as u32 - bytes[0].leading_zeros();
        [&(bits as u16).to_be_bytes()[..], bytes].concat()
    };
    let on_curve =
        |algorithm: u8, oid: &[u8], point: &[u8]| [&[algorithm, oid.len() as u8], oid, &integer(point)[..]].concat();
    let key = match (pair.kind, &pair.point) {
        ("P-256", Some(point)) => on_curve(19, b"\x2a\x86\x48\xce\x3d\x03\x01\x07", point),
        ("P-384", Some(point)) => on_curve(19, b"\x2b\x81\x04\x00\x22", point),
        ("P-521", Some(point)) => on_curve(19, b"\x2b\x81\x04\x00\x23", point),
        ("secp256k1", Some(point)) => on_curve(19, b"\x2b\x81\x04\x00\x0a", point),
        ("Ed25519", _) => {
            on_curve(22, b"\x2b\x06\x01\x04\x01\xda\x47\x0f\x01", &[&[0x40], &number(&pair.jwk, "x")[..]].concat())
        }
        _ => [&[1], &integer(&number(&pair.jwk, "n"))[..], &integer(&number(&pair.jwk, "e"))].concat(),
    };
    let body = [b"\x04\x65\x00\x00\x00", &key[..]].concat();
    let head = match body.len() {
        length @ ..=191 if pair.kind == "P-384" => vec![0xc6, length as u8],
        length @ ..=255 => vec![0x98, length as u8],
        length if pair.kind == "RSA-3072" => vec![0xce, ((length - 192) >> 8) as u8 + 192, (length - 192) as u8],
        length => vec![0x99, (length >> 8) as u8, length as u8],
    };
    [head, body].concat()
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("\\u{byte:04X}")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn lines(text: &str, length: usize) -> String {
    text.as_bytes().chunks(length).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect()
}

// Wrappings.

type Wrapping = (&'static str, fn(&Encoded) -> Option<Encoded>);

fn of_text(encoded: &Encoded, wrap: impl Fn(&str) -> Encoded) -> Option<Encoded> {
    match encoded {
        Text(text) => Some(wrap(text)),
        Bytes(_) => None,
    }
}

fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Encoded {
    Bytes(text.encode_utf16().flat_map(to_bytes).collect())
}

fn percent(bytes: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    bytes.iter().map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn as_json(text: &str) -> String {
    json!(text).to_string()
}

const WRAPPINGS: &[Wrapping] = &[
    ("BOM", |s| of_text(s, |text| Text(format!("\u{feff}{text}")))),
    ("blanks", |s| of_text(s, |text| Text(format!(" \r\n\t{text}\n\n ")))),
    ("CRLF", |s| of_text(s, |text| Text(text.replace('\n', "\r\n")))),
    ("blanks for newlines", |s| of_text(s, |text| Text(text.replace('\n', " ")))),
    ("no newlines", |s| of_text(s, |text| Text(text.replace('\n', "")))),
    ("indented lines", |s| of_text(s, |text| Text(format!("key: |\n  {}", text.replace('\n', "\n  "))))),
    ("quotes", |s| of_text(s, |text| Text(format!("'{text}'")))),
    ("JSON string", |s| of_text(s, |text| Text(as_json(text)))),
    ("cjson's JSON string", |s| of_text(s, |text| Text(as_json(text).replace('/', "\\/")))),
    ("JSON string without quotes", |s| of_text(s, |text| Text(as_json(text).trim_matches('"').to_owned()))),
    ("JSON member", |s| of_text(s, |text| Text(json!({ "key": text }).to_string()))),
    ("UTF-16LE", |s| of_text(s, |text| utf16(text, u16::to_le_bytes))),
    ("UTF-16BE", |s| of_text(s, |text| utf16(text, u16::to_be_bytes))),
    ("UTF-16LE behind a BOM", |s| of_text(s, |text| utf16(&format!("\u{feff}{text}"), u16::to_le_bytes))),
    ("UTF-16BE behind a BOM", |s| of_text(s, |text| utf16(&format!("\u{feff}{text}"), u16::to_be_bytes))),
    ("percent", |s| Some(Text(percent(s.bytes())))),
    ("form", |s| Some(Text(percent(s.bytes()).replace("%20", "+")))),
    ("base64", |s| Some(Text(STANDARD.encode(s.bytes())))),
    ("base64 without padding", |s| Some(Text(STANDARD_NO_PAD.encode(s.bytes())))),
    ("base64url", |s| Some(Text(URL_SAFE.encode(s.bytes())))),
    ("base64url without padding", |s| Some(Text(URL_SAFE_NO_PAD.encode(s.bytes())))),
    ("base64 in lines", |s| Some(Text(lines(&STANDARD.encode(s.bytes()), 64)))),
    ("data URL", |s| Some(Text(format!("data:text/plain;base64,{}", STANDARD.encode(s.bytes()))))),
    ("hexadecimal", |s| Some(Text(hex(s.bytes())))),
    ("HEXADECIMAL", |s| Some(Text(hex(s.bytes()).to_uppercase()))),
    ("hexadecimal behind 0x", |s| Some(Text(format!("0x{}", hex(s.bytes()))))),
    ("hexadecimal with colons", |s| {
        let pairs: Vec<_> = s.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Text(pairs.join(":")))
    }),
    ("hexadecimal in C", |s| Some(Text(s.bytes().iter().map(|byte| format!("0x{byte:02x}, ")).collect()))),
    ("escaped bytes", |s| Some(Text(s.bytes().iter().map(|byte| format!("\\x{byte:02x}")).collect()))),
    ("octal escapes", |s| of_text(s, |text| Text(by_signs(text, |sign| format!("\\{sign:03o}"))))),
    ("entities with names", |s| {
        let names = [("&", "amp"), ("\"", "quot"), ("'", "apos"), ("<", "lt"), (">", "gt"), ("+", "plus")];
        let more = [("/", "sol"), ("=", "equals"), ("{", "lcub"), (":", "colon"), ("\n", "NewLine"), ("\t", "Tab")];
        let replaced = |text: String, (sign, name): &(&str, &str)| text.replace(sign, &format!("&{name};"));
        of_text(s, |text| Text(names.iter().chain(&more).fold(text.to_owned(), replaced)))
    }),
    ("entities in decimal", |s| of_text(s, |text| Text(by_signs(text, |sign| format!("&#{sign};"))))),
    ("entities in hexadecimal", |s| of_text(s, |text| Text(by_signs(text, |sign| format!("&#x{sign:02x};"))))),
    ("entities with zeros", |s| of_text(s, |text| Text(by_signs(text, |sign| format!("&#X000{sign:X};"))))),
    ("decimal list", |s| Some(Text(json!({ "type": "Buffer", "data": s.bytes() }).to_string()))),
    ("signed list", |s| Some(Text(format!("{:?}", s.bytes().iter().map(|byte| *byte as i8).collect::<Vec<_>>())))),
    ("dump of xxd", |s| Some(Text(xxd(s.bytes())))),
    ("dump of hexdump -C", |s| Some(Text(hexdump(s.bytes())))),
    ("dump of openssl", |s| Some(Text(openssl_dump(s.bytes())))),
    ("dump of od -x", |s| Some(Text(od(s.bytes(), |word| format!("{:04x}", u16::from_le_bytes(word)))))),
    ("dump of od", |s| Some(Text(od(s.bytes(), |word| format!("{:06o}", u16::from_le_bytes(word)))))),
    ("dump of od -b", |s| Some(Text(od_bytes(s.bytes(), |byte| format!("{byte:03o}"))))),
    ("dump of od -t u1", |s| Some(Text(od_bytes(s.bytes(), |byte| format!("{byte:3}"))))),
];

/// Escapes every character that is neither a letter nor a digit.
fn by_signs(text: &str, sign: impl Fn(u8) -> String) -> String {
    let written = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { sign(byte) };
    text.bytes().map(written).collect()
}

/// Returns a dump with one line for each 16 bytes or the rest.
fn dump(bytes: &[u8], line: impl Fn(usize, &[u8]) -> String) -> String {
    bytes.chunks(16).enumerate().map(|(at, part)| line(16 * at, part) + "\n").collect()
}

fn shown(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' }).collect()
}

fn joined(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn xxd(bytes: &[u8]) -> String {
    dump(bytes, |at, part| {
        let words: Vec<_> = part.chunks(2).map(hex).collect();
        format!("{at:08x}: {:39}  {}", words.join(" "), shown(part))
    })
}

fn hexdump(bytes: &[u8]) -> String {
    let lines = dump(bytes, |at, part| {
        let (left, right) = part.split_at(part.len().min(8));
        format!("{at:08x}  {:23}  {:23}  |{}|", joined(left), joined(right), shown(part))
    });
    format!("{lines}{:08x}\n", bytes.len())
}

fn openssl_dump(bytes: &[u8]) -> String {
    dump(bytes, |at, part| {
        let (left, right) = part.split_at(part.len().min(8));
        let between = if right.is_empty() { " " } else { "-" };
        format!("{at:04x} - {:23}{between}{:23}   {}", joined(left), joined(right), shown(part))
    })
}

fn od(bytes: &[u8], word: impl Fn([u8; 2]) -> String) -> String {
    let words =
        |part: &[u8]| part.chunks(2).map(|pair| word([pair[0], *pair.get(1).unwrap_or(&0)])).collect::<Vec<_>>();
    dump(bytes, |at, part| format!("{at:07o} {}", words(part).join(" "))) + &format!("{:07o}\n", bytes.len())
}

fn od_bytes(bytes: &[u8], byte: impl Fn(&u8) -> String) -> String {
    let words = |part: &[u8]| part.iter().map(&byte).collect::<Vec<_>>().join(" ");
    dump(bytes, |at, part| format!("{at:07o} {}", words(part))) + &format!("{:07o}\n", bytes.len())
}

/// Returns true for combinations that are out of scope. A bare point is detected only as a whole text or a word of it,
/// and a dump only with its lines.
fn is_out_of_scope(name: &str, wrapping: &str) -> bool {
    let is_among_others = matches!(wrapping, "BOM" | "blanks" | "quotes" | "JSON string" | "cjson's JSON string")
        || wrapping.ends_with("behind a BOM");
    let is_bytes = ["percent", "form", "escaped bytes"].iter().any(|inner| name.ends_with(inner));
    let has_lost_lines = name.contains("dump of") && matches!(wrapping, "blanks for newlines" | "no newlines");
    let is_point = name.contains(": point")
        && (matches!(wrapping, "data URL" | "indented lines" | "JSON member") || (is_bytes && is_among_others));
    is_point || has_lost_lines
}

fn refusal(text: &[u8]) -> Result<(), ConfigError> {
    Key::from_short_secret(text).map(drop)
}

/// Checks every encoding in every wrapping, and a third of them in every two. Returns the number of checks, and the
/// names of those that are accepted as secrets.
fn accepted_material(pair: &Pair) -> (usize, Vec<String>) {
    let (mut checked, mut accepted) = (0, Vec::new());
    let mut check = |name: String, encoded: &Encoded| {
        checked += 1;
        if refusal(encoded.bytes()).is_ok() {
            accepted.push(name);
        }
    };
    for (index, (name, encoded)) in encodings(pair).into_iter().enumerate() {
        check(name.clone(), &encoded);
        let wrappings = || WRAPPINGS.iter().enumerate();
        for (first, (inner, wrap)) in wrappings().filter(|(_, (inner, _))| !is_out_of_scope(&name, inner)) {
            let Some(once) = wrap(&encoded) else { continue };
            check(format!("{name}, {inner}"), &once);
            let name = format!("{name}, {inner}");
            for (second, (outer, wrap)) in wrappings().filter(|(_, (outer, _))| !is_out_of_scope(&name, outer)) {
                if (index + first + second) % 3 > 0 {
                    continue;
                }
                let Some(twice) = wrap(&once) else { continue };
                check(format!("{name}, {outer}"), &twice);
            }
        }
    }
    (checked, accepted)
}

#[test]
fn public_material_is_refused_in_every_wrapping_and_in_two() {
    // RSA-3072 differs from RSA-2048 only in its lengths. The property test below includes it.
    for kind in KINDS.into_iter().filter(|kind| *kind != "RSA-3072") {
        let (checked, accepted) = accepted_material(&pair(kind));
        assert!(checked > 10_000, "{kind}: {checked}");
        let some = accepted.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(accepted.is_empty(), "{kind}: {} of {checked} are accepted, such as\n{some}", accepted.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each case checks every interface with a new key in one encoding and up to two wrappings.
    #[test]
    fn every_interface_refuses_every_generated_public_key(
        kind in 0..KINDS.len(),
        encoded in any::<Index>(),
        wrappings in proptest::collection::vec(any::<Index>(), 0..=2),
    ) {
        let all = encodings(&pair(KINDS[kind]));
        let (mut name, mut text) = encoded.get(&all).clone();
        for index in &wrappings {
            let (wrapping, wrap) = index.get(WRAPPINGS);
            if let Some(wrapped) = wrap(&text).filter(|_| !is_out_of_scope(&name, wrapping)) {
                text = wrapped;
                name = format!("{name}, {wrapping}");
            }
        }
        for (interface, check) in INTERFACES {
            // A bare point on several lines is no word of a longer text.
            let is_cut = name.contains(": point") && interface.ends_with("behind another") && text.bytes().contains(&b'\n');
            let Some(answer) = check(text.bytes()).filter(|_| !is_cut) else { continue };
            let error = answer.err();
            let reason = error.as_ref().map(|error| error.reason);
            prop_assert_eq!(reason, Some(Reason::KeyUnsupported), "{}: {}", interface, name);
            let message = error.map(|error| error.message).unwrap_or_default();
            // A file of secrets names the line.
            let rest = message.strip_prefix(MESSAGE);
            prop_assert!(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" on line ")), "{}: {}", interface, name);
        }
    }
}

#[test]
fn an_encrypted_token_accepts_no_public_material_as_its_secret() {
    let coordinates = pair("P-256").point.expect("a point")[1..].to_vec();
    let body = STANDARD.encode(pair("Ed25519").spki);
    for text in [coordinates, format!("{body}\r\n\r\n").into_bytes(), b"-----BEGIN PUBLIC KEY-----\nMIIBI".to_vec()] {
        let refused = EncryptionKeys::from_secret(&text).err().map(|error| error.message);
        assert_eq!(refused.as_deref(), Some(MESSAGE), "{}", text.len());
    }
}

#[test]
fn an_empty_jwk_set_is_refused() {
    for text in [r#"{"keys":[]}"#, "{ \"keys\" : [ ] }\n", r#"{"keys":{}}"#] {
        assert!(refusal(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn the_texts_of_other_tools_are_refused() {
    let xml = "<RSAKeyValue><Modulus>3J8s</Modulus><Exponent>AQAB</Exponent></RSAKeyValue>";
    let xml_with_prefix = xml.replace('<', "<ds:").replace("<ds:/", "</ds:");
    let openssl_ed25519 = "ED25519 Public-Key:\npub:\n    3b:aa\n";
    let openssl = "Public-Key: (256 bit)\npub:\n    04:3b:aa\nASN1 OID: prime256v1\n";
    let blob = STANDARD.encode(pair("RSA-2048").ssh.expect("a blob"));
    let putty = format!("PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nPublic-Lines: 6\n{}", lines(&blob, 64));
    for text in [
        xml,
        &xml_with_prefix,
        openssl,
        openssl_ed25519,
        &putty,
        "kty: RSA\ne: AQAB\nn: 3J8s",
        "kty=EC&crv=P-256&x=a&y=b",
    ] {
        assert!(refusal(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_file_of_secrets_with_public_material_on_several_lines_is_refused() {
    let good = "0123456789abcdef0123456789abcdef";
    let jwk = serde_json::to_string_pretty(&pair("P-256").jwk).expect("JSON").replace("  ", &" ".repeat(32));
    let body = lines(&STANDARD.encode(pair("RSA-2048").spki), 64);
    for text in [jwk, body] {
        for text in [text.clone(), format!("{good}\n{text}"), format!("{good}\n{text}\n{good}\n")] {
            assert_eq!(secret_file(text.as_bytes()).err().map(|error| error.message), Some(MESSAGE.into()));
        }
    }
}

#[cfg(feature = "tunnel")]
#[test]
fn the_tunnel_server_neither_starts_nor_mints_with_public_material() {
    let (jwk, good) = (pair("P-256").jwk.to_string(), "0123456789abcdef0123456789abcdef");
    for arguments in [&[][..], &["--mint", "c1"]] {
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_websocktunnel"))
            .args(arguments)
            .env_clear()
            .envs([("TASKCLUSTER_PROXY_SECRET_A", jwk.as_str()), ("TASKCLUSTER_PROXY_SECRET_B", good)])
            .envs([("HOSTNAME", "localhost"), ("PORT", "0"), ("ENV", "production")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        // A server logs its start in the first line. A minted token is the only standard output.
        let (mut stderr, mut token) = (String::new(), String::new());
        BufReader::new(process.stderr.take().expect("its log")).read_line(&mut stderr).expect("a line");
        if stderr.contains("listening") {
            process.kill().expect("it is stopped");
        }
        process.stdout.take().expect("its output").read_to_string(&mut token).expect("text");
        let status = process.wait().expect("it ends");
        assert_eq!((status.code(), token.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.contains("TASKCLUSTER_PROXY_SECRET_A") && stderr.contains("used as an HMAC secret"), "{stderr}");
        assert!(!stderr.contains("crv"), "{stderr}");
    }
}

// Texts that are accepted as secrets.

const HUMAN: &[&str] = &[
    "lua-resty-jwt",
    "secret",
    "hunter2",
    "correct horse battery staple",
    "correct horse battery staple, and a cart that it draws uphill",
    "The quick brown fox jumps over the lazy dog. 0123456789!",
    "Das ist ein langes, nicht ganz ernst gemeintes Geheimnis für Übungszwecke",
    "пароль, который никто не угадает, потому что он очень длинный",
    "とても長くて誰にも推測できない秘密の合言葉です",
    "ssh-rsa is my password and nobody will ever know it",
    "ssh-ed25519 AAAA is how my keys begin, this is not one",
    "ecdsa-sha2-nistp256 is a mouthful; this is a passphrase",
    "MIIBIjANBgkqhki is how they all begin, but not this one at all",
    "MIIEpAIBAAKCAQEA-not-a-key-but-somebodys-favourite-password",
    "MIGfMA0 looks familiar, I have seen it before somewhere else",
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA, and then my own words",
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE, and then my own words",
    "MCowBQYDK2VwAyEA, and then my own words, which are not a key",
    "AAAAB3NzaC1yc2EAAAADAQABAAABAQ, and then my own words",
    "kty: RSA, which is what I think of when I cannot fall asleep",
    r#"{"kty":"RSA","password":"but this is no key, it lacks a modulus"}"#,
    "MIIMIIMIIMIIMIIMIIMIIMIIMIIMIIMIIMIIMIIMIIMIIMIIMIIMIIMIIMII",
    "MCowBQYDK2 is a prefix which I remember from another life",
    "AAAAB3NzaC1yc2 is another prefix, and this is a passphrase",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "----BEGIN is not how this ends, it is how it begins, somehow",
    "------------------------------------------------------------",
    "BEGIN PUBLIC KEY and END PUBLIC KEY: two lines of a poem",
    "-----END PUBLIC KEY----- is where other people's secrets end",
    "public key, private key, certificate: words that I never mix up",
    "CERTIFICATE CERTIFICATE CERTIFICATE CERTIFICATE CERTIFICATE",
    r#"{"password":"x"}"#,
    r#"{"password":"correct horse battery staple","salt":"0123456789abcdef"}"#,
    r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
    r#"{"keys":[{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T"}]}"#,
    r#"{"keys":["7f2c9a51d3e84b60","a1b2c3d4e5f60718"],"rotated":true}"#,
    r#"{"keys":{"primary":"7f2c9a51d3e84b60a1b2c3d4e5f60718"}}"#,
    r#"{"n":1,"e":2,"x":"3","y":"4","crv":"a curve ball","kid":"my kid"}"#,
    r#"["a list","of words","which I keep as one secret, in JSON"]"#,
    r#""a JSON string with its quotes, which are a part of the secret""#,
    "{not JSON at all, but it begins like it, and goes on like this",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "100%sure that 50%20 is not%2Fan%escape worth%zz mentioning%",
    "C:\\Users\\ada\\x\\u12\\secrets\\new\\table\\ and some more of it\\",
    "\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\",
    "%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%",
    "kty, crv, kid and other names of members that I know by heart",
    "my kitty: ECCLES; her kty is unknown, and she sleeps all day",
    "<password>with angle brackets around it, as in XML</password>",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ",
    "postgres://user:password@db.example.net:5432/database?sslmode=require",
    "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "sk_live_51H8aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789",
    "ghp_0123456789abcdefghijklmnopqrstuvwxyzABCD",
    "04:a2:7f 04:a2:7f 04:a2:7f 04:a2:7f 04:a2:7f 04:a2:7f 04:a2:7f",
    "0x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "\u{feff}a secret that an editor has put a byte order mark in front of",
    "   a secret between blanks, every one of which is a part of it   ",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "qwertyuiopasdfghjklzxcvbnmqwertyuiopasdfghjklzxcvbnm",
    "Tom &amp; Jerry &quot;forever&quot; &lt;3 and &#x2764; as well as &#10084;",
    "&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&&",
    "salt &unknown; pepper &# nor &#; nor &#x; nor &#xzz; nor &amp vinegar",
    "&quot;kty&quot; is a word, &quot;RSA&quot; is another, no key has so few",
    "\\101\\102\\103 is octal, \\777 is not a byte, and \\08 is none at all",
    "00000000: dead beef cafe f00d  my favourite four words\n00000008: feed interface\n",
    "00000000  de ad be ef ca fe f0 0d  de ad be ef ca fe f0 0d  |................|\n00000010\n",
    "0000000 157 144 040 151 163 040 157 154 144\n0000011\n",
    "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26]",
    "RSA1 and RSA2, ECS1 and ECK1: names of blobs that I have seen somewhere",
];

const WORDS: &[&str] = &[
    "correct",
    "horse",
    "battery",
    "staple",
    "public",
    "key",
    "ssh-rsa",
    "MII",
    "kty",
    "RSA",
    "EC",
    "keys",
    "secret",
    "oct",
    "04",
    "0x30",
    "begin",
    "certificate",
    "\"",
    "{",
    "n=1",
    "crv",
    "AAAA",
    "Modulus",
];

/// Returns several hundred secrets in the formats of programs.
fn random_secrets() -> Vec<Vec<u8>> {
    let rng = &mut StdRng::seed_from_u64(1);
    let mut all = Vec::new();
    for round in 0..40 {
        for size in [16, 20, 24, 32, 33, 44, 48, 64, 65, 66, 96, 97, 128, 132, 133, 256, 270, 294, 1024, 4096] {
            let mut bytes = vec![0; size];
            rng.fill_bytes(&mut bytes);
            match round {
                // The first bytes of a DER sequence, a point, a compressed point and an OpenSSH blob.
                0 => bytes[0] = 0x30,
                1 => bytes[..2].copy_from_slice(&[0x30, 0x82]),
                2 => bytes[0] = 0x04,
                3 => bytes[0] = 0x02,
                4 => bytes[..4].copy_from_slice(&[0, 0, 0, 7]),
                5 => bytes[..3].copy_from_slice(b"\xef\xbb\xbf"),
                // The first bytes of an OpenPGP packet, a COSE_Key and Windows blobs.
                6 => bytes[..2].copy_from_slice(&[0x98, size as u8]),
                7 => bytes[..4].copy_from_slice(&[0x99, 1, 0x0d, 4]),
                8 => bytes[..4].copy_from_slice(&[0xa4, 1, 3, 3]),
                9 => bytes[..4].copy_from_slice(b"RSA1"),
                10 => bytes[..4].copy_from_slice(b"ECS1"),
                _ => {}
            }
            all.extend([
                hex(&bytes).into_bytes(),
                hex(&bytes).to_uppercase().into_bytes(),
                STANDARD.encode(&bytes).into_bytes(),
                STANDARD_NO_PAD.encode(&bytes).into_bytes(),
                URL_SAFE_NO_PAD.encode(&bytes).into_bytes(),
                lines(&STANDARD.encode(&bytes), 64).into_bytes(),
                json!({ "password": URL_SAFE_NO_PAD.encode(&bytes) }).to_string().into_bytes(),
                bytes.iter().map(|byte| b' ' + byte % 95).collect(),
                bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>().into_bytes(),
                percent(&bytes).into_bytes(),
                xxd(&bytes[..size.min(300)]).into_bytes(),
                hexdump(&bytes[..size.min(300)]).into_bytes(),
                od(&bytes[..size.min(300)], |word| format!("{:06o}", u16::from_le_bytes(word))).into_bytes(),
                json!(&bytes[..size.min(300)]).to_string().into_bytes(),
                bytes.iter().map(|byte| format!("&#{byte};")).collect::<String>().into_bytes(),
                bytes,
            ]);
        }
        let mut uuid = hex(&rng.r#gen::<[u8; 16]>());
        [8, 13, 18, 23].into_iter().for_each(|at| uuid.insert(at, '-'));
        all.push(uuid.into_bytes());
        let words: Vec<_> = (0..8).map(|_| WORDS[rng.gen_range(0..WORDS.len())]).collect();
        all.extend(["-", " ", "", ".", "\u{e9}"].map(|between| words.join(between).into_bytes()));
        all.push(utf16_of(&STANDARD.encode(rng.r#gen::<[u8; 32]>())));
    }
    all
}

fn utf16_of(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn unusual_secrets_are_accepted_by_every_interface() {
    let mut all = random_secrets();
    all.extend(HUMAN.iter().map(|text| text.as_bytes().to_vec()));
    assert!(all.len() > 8000);
    let mut files = 0;
    for secret in &all {
        for (interface, check) in INTERFACES {
            // Only some of them are written to a file.
            let is_file = interface.contains("file");
            files += usize::from(is_file);
            let in_lines = secret.contains(&b'\n') || secret.contains(&b'\r');
            let lined = is_file || *interface == "a keyring's secrets";
            if (secret.len() < 32 && !interface.contains("short")) || (lined && in_lines) || (is_file && files % 40 > 1)
            {
                continue;
            }
            let refused = check(secret).and_then(Result::err);
            assert!(refused.is_none(), "{interface}: {refused:?}: {}", String::from_utf8_lossy(secret));
        }
    }
}

#[test]
fn random_bytes_are_accepted() {
    let rng = &mut StdRng::seed_from_u64(2);
    for round in 0..20_000 {
        let mut bytes = vec![0; if round % 2 == 0 { 32 } else { 64 }];
        rng.fill_bytes(&mut bytes);
        assert!(refusal(&bytes).is_ok(), "{}", hex(&bytes));
    }
}

#[test]
fn material_that_equals_a_random_secret_is_accepted() {
    let rsa = pair("RSA-2048");
    let n = rsa.jwk["n"].as_str().expect("a modulus");
    let compressed = [&[2], &pair("P-256").point.expect("a point")[1..33]].concat();
    let ed25519 = URL_SAFE_NO_PAD.decode(pair("Ed25519").jwk["x"].as_str().expect("x")).expect("base64url");
    let mut off_curve = pair("P-256").point.expect("a point");
    off_curve[64] ^= 1;
    for text in [n.as_bytes(), &URL_SAFE_NO_PAD.decode(n).expect("base64url"), &compressed, &ed25519, &off_curve] {
        assert!(refusal(text).is_ok(), "{}", hex(text));
    }
}

/// The margin is far from linear and from quadratic work, so that noise does not matter.
#[test]
fn the_work_is_linear() {
    let nested = |size: usize| {
        let inner = STANDARD.encode(STANDARD.encode("x".repeat(size / 16 * 9)));
        inner[..inner.len().min(size)].to_owned().into_bytes()
    };
    type Text<'a> = (&'a str, &'a dyn Fn(usize) -> Vec<u8>);
    let texts: [Text; 17] = [
        ("kty", &|size| b"kty".repeat(size / 3)),
        ("kty and blanks", &|size| [b"kty", &b" ".repeat(size - 3)[..]].concat()),
        ("\"keys\":[", &|size| b"\"keys\": [".repeat(size / 9)),
        ("open sequences", &|size| b"0\x82\x7f\xff".repeat(size / 4)),
        ("backslashes", &|size| b"\\".repeat(size)),
        ("percents", &|size| b"%25".repeat(size / 3)),
        ("dashes", &|size| b"-----BEGIN".repeat(size / 10)),
        ("points", &|size| ("04".repeat(65) + " ").repeat(size / 131).into_bytes()),
        ("base64 of base64", &nested),
        ("ampersands", &|size| b"&".repeat(size)),
        ("entities of entities", &|size| b"&amp;#38;".repeat(size / 9)),
        ("an entity without an end", &|size| [b"&#", &b"1".repeat(size - 2)[..]].concat()),
        ("dumps", &|size| xxd(&vec![b'7'; size / 20]).into_bytes()),
        ("words of a dump in one line", &|size| b"ab ".repeat(size / 3)),
        ("decimals", &|size| b"48, ".repeat(size / 4)),
        ("maps in CBOR", &|size| b"\xab\x01\x41".repeat(size / 3)),
        ("OpenPGP packets", &|size| b"\x99\x20\x00\x04".repeat(size / 4)),
    ];
    for (name, text) in texts {
        let cost = |size: usize| {
            let text = text(size);
            let once = || {
                let start = Instant::now();
                assert!(refusal(&text).is_ok(), "{name}");
                start.elapsed()
            };
            (0..5).map(|_| once()).min().unwrap_or(Duration::MAX)
        };
        let (small, large) = (cost(1 << 13), cost(1 << 18));
        // A text of 32 times the size needs 32 times the linear work and 1,024 times the quadratic work.
        assert!(large < small * 256 + Duration::from_millis(1), "{name}: {small:?} and {large:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_checked_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = refusal(&bytes);
    }

    /// Truncated and changed material may be accepted, but never causes a panic.
    #[test]
    fn broken_material_is_checked_without_a_panic(
        encoded in any::<Index>(),
        from in any::<Index>(),
        to in any::<Index>(),
        at in any::<Index>(),
        byte in any::<u8>(),
    ) {
        static PAIR: LazyLock<Vec<(String, Encoded)>> = LazyLock::new(|| encodings(&pair("P-256")));
        let mut text = encoded.get(&PAIR).1.bytes().to_vec();
        let place = at.index(text.len());
        text[place] = byte;
        let (from, to) = (from.index(text.len()), to.index(text.len()));
        let _ = refusal(&text[from.min(to)..=from.max(to)]);
    }
}
