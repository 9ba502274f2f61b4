//! Key pairs in the encodings of many tools, and the wrappings that people put around them. tests/secrets.rs and the
//! fuzz targets share it.
#![allow(dead_code, reason = "each program uses its part")]

use std::fmt::Write as _;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

fn pem(tag: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(tag, der))
}

/// Returns an object with the members of both.
fn merged(mut object: Value, more: Value) -> Value {
    object.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    object
}

/// The parts of a key pair that its encodings need.
pub struct Pair {
    pub kind: &'static str,
    pub spki: Vec<u8>,
    pub pkcs8: Vec<u8>,
    pub pkcs1: Option<Vec<u8>>,
    pub point: Option<Vec<u8>>,
    pub jwk: Value,
    pub ssh: Option<Vec<u8>>,
}

pub const KINDS: [&str; 7] = ["RSA-2048", "RSA-3072", "P-256", "P-384", "P-521", "secp256k1", "Ed25519"];

pub fn pair(kind: &'static str) -> Pair {
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

pub fn rsa(kind: &'static str, size: KeySize) -> Pair {
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

pub fn curve(kind: &'static str, algorithm: &'static EcdsaSigningAlgorithm, ssh: Option<&str>) -> Pair {
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

pub fn ssh_blob(fields: &[&[u8]]) -> Vec<u8> {
    fields.iter().flat_map(|field| [&(field.len() as u32).to_be_bytes(), *field].concat()).collect()
}

pub fn der(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let size = match content.len() {
        length @ ..=0x7f => vec![length as u8],
        length @ ..=0xff => vec![0x81, length as u8],
        length => vec![0x82, (length >> 8) as u8, length as u8],
    };
    [&[tag], &size[..], &content].concat()
}

/// Returns a certificate with an invalid signature.
pub fn certificate(spki: &[u8]) -> Vec<u8> {
    let algorithm = der(0x30, &[b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"]);
    let name = der(0x30, &[&der(0x31, &[&der(0x30, &[b"\x06\x03\x55\x04\x03", &der(0x0c, &[b"issuer"])])])]);
    let times = der(0x30, &[&der(0x17, &[b"250101000000Z"]), &der(0x17, &[b"350101000000Z"])]);
    let to_sign = der(0x30, &[b"\xa0\x03\x02\x01\x02", b"\x02\x01\x07", &algorithm, &name, &times, &name, spki]);
    der(0x30, &[&to_sign, &algorithm, &der(0x03, &[&[0; 71]])])
}

/// Returns the PKCS#1 or SEC 1 private key in a PKCS#8 key, which is its last octet string.
pub fn traditional(pkcs8: &[u8]) -> Vec<u8> {
    let contents = (1..pkcs8.len()).map(|at| &pkcs8[at..]);
    contents
        .filter(|key| key[0] == 0x30)
        .find(|key| pkcs8.ends_with(&der(0x04, &[key])))
        .expect("an octet string")
        .to_vec()
}

/// A text, or bytes that may be no UTF-8.
#[derive(Clone)]
pub enum Encoded {
    Text(String),
    Bytes(Vec<u8>),
}

pub use Encoded::{Bytes, Text};

impl Encoded {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Text(text) => text.as_bytes(),
            Bytes(bytes) => bytes,
        }
    }
}

pub fn encodings(pair: &Pair) -> Vec<(String, Encoded)> {
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

pub fn number(jwk: &Value, name: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect(name)).expect("base64url")
}

/// Returns a COSE_Key (RFC 9052 §7), as WebAuthn stores it.
pub fn cose(jwk: &Value) -> Vec<u8> {
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

pub fn little(value: usize) -> [u8; 4] {
    (value as u32).to_le_bytes()
}

/// Returns a PUBLICKEYBLOB, as .NET and the Windows CryptoAPI write it.
pub fn capi_blob(jwk: &Value) -> Vec<u8> {
    let n: Vec<u8> = number(jwk, "n").into_iter().rev().collect();
    [b"\x06\x02\0\0\0\xa4\0\0RSA1", &little(8 * n.len())[..], &little(65537), &n].concat()
}

/// Returns a BCRYPT_RSAKEY_BLOB or a BCRYPT_ECCKEY_BLOB.
pub fn cng_blob(jwk: &Value) -> Vec<u8> {
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
pub fn openpgp(pair: &Pair) -> Vec<u8> {
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

pub fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("\\u{byte:04X}")).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub fn lines(text: &str, length: usize) -> String {
    text.as_bytes().chunks(length).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect()
}

// Wrappings.

pub type Wrapping = (&'static str, fn(&Encoded) -> Option<Encoded>);

pub fn of_text(encoded: &Encoded, wrap: impl Fn(&str) -> Encoded) -> Option<Encoded> {
    match encoded {
        Text(text) => Some(wrap(text)),
        Bytes(_) => None,
    }
}

pub fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Encoded {
    Bytes(text.encode_utf16().flat_map(to_bytes).collect())
}

pub fn percent(bytes: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    bytes.iter().map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

pub fn as_json(text: &str) -> String {
    json!(text).to_string()
}

pub const WRAPPINGS: &[Wrapping] = &[
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
pub fn by_signs(text: &str, sign: impl Fn(u8) -> String) -> String {
    let written = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { sign(byte) };
    text.bytes().map(written).collect()
}

/// Returns a dump with one line for each 16 bytes or the rest.
pub fn dump(bytes: &[u8], line: impl Fn(usize, &[u8]) -> String) -> String {
    bytes.chunks(16).enumerate().map(|(at, part)| line(16 * at, part) + "\n").collect()
}

pub fn shown(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' }).collect()
}

pub fn joined(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

pub fn xxd(bytes: &[u8]) -> String {
    dump(bytes, |at, part| {
        let words: Vec<_> = part.chunks(2).map(hex).collect();
        format!("{at:08x}: {:39}  {}", words.join(" "), shown(part))
    })
}

pub fn hexdump(bytes: &[u8]) -> String {
    let lines = dump(bytes, |at, part| {
        let (left, right) = part.split_at(part.len().min(8));
        format!("{at:08x}  {:23}  {:23}  |{}|", joined(left), joined(right), shown(part))
    });
    format!("{lines}{:08x}\n", bytes.len())
}

pub fn openssl_dump(bytes: &[u8]) -> String {
    dump(bytes, |at, part| {
        let (left, right) = part.split_at(part.len().min(8));
        let between = if right.is_empty() { " " } else { "-" };
        format!("{at:04x} - {:23}{between}{:23}   {}", joined(left), joined(right), shown(part))
    })
}

pub fn od(bytes: &[u8], word: impl Fn([u8; 2]) -> String) -> String {
    let words =
        |part: &[u8]| part.chunks(2).map(|pair| word([pair[0], *pair.get(1).unwrap_or(&0)])).collect::<Vec<_>>();
    dump(bytes, |at, part| format!("{at:07o} {}", words(part).join(" "))) + &format!("{:07o}\n", bytes.len())
}

pub fn od_bytes(bytes: &[u8], byte: impl Fn(&u8) -> String) -> String {
    let words = |part: &[u8]| part.iter().map(&byte).collect::<Vec<_>>().join(" ");
    dump(bytes, |at, part| format!("{at:07o} {}", words(part))) + &format!("{:07o}\n", bytes.len())
}

/// Returns true for combinations that are out of scope. A bare point is detected only as a whole text or a word of it,
/// and a dump only with its lines.
pub fn is_out_of_scope(name: &str, wrapping: &str) -> bool {
    let is_among_others = matches!(wrapping, "BOM" | "blanks" | "quotes" | "JSON string" | "cjson's JSON string")
        || wrapping.ends_with("behind a BOM");
    let is_bytes = ["percent", "form", "escaped bytes"].iter().any(|inner| name.ends_with(inner));
    let has_lost_lines = name.contains("dump of") && matches!(wrapping, "blanks for newlines" | "no newlines");
    let is_point = name.contains(": point")
        && (matches!(wrapping, "data URL" | "indented lines" | "JSON member") || (is_bytes && is_among_others));
    is_point || has_lost_lines
}
