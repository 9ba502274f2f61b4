//! Public key material is never accepted as a shared secret, in any wrapping and by any interface. All other texts are
//! accepted.

#[path = "support/material.rs"]
mod material;
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use material::*;
use proptest::prelude::*;
use proptest::sample::Index;
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use route_native::error::{ConfigError, Reason};
use route_native::keys::{EncryptionKeys, Form, Key, KeySet, Keyring, SigningKey};
use serde_json::json;
use support::NOW;

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
