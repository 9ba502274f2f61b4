//! Encrypted tokens: each algorithm with each content encryption, what is refused, and which keys may do what.

mod support;

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use route_native::error::Reason;
use route_native::jwt::{MAX_TOKEN_BYTES, jwe};
use route_native::keys::{EncryptionKeys, Management};
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use serde_json::{Value, json};
use support::{RsaKey, merged, signer, stranger};

const CONTENTS: [(&str, usize); 6] = [
    ("A128GCM", 16),
    ("A192GCM", 24),
    ("A256GCM", 32),
    ("A128CBC-HS256", 32),
    ("A192CBC-HS384", 48),
    ("A256CBC-HS512", 64),
];

fn keys(text: impl AsRef<[u8]>) -> EncryptionKeys {
    EncryptionKeys::parse(text.as_ref()).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(text: impl AsRef<[u8]>) -> String {
    EncryptionKeys::parse(text.as_ref()).err().map(|error| error.message).unwrap_or_default()
}

fn secret(size: usize) -> EncryptionKeys {
    EncryptionKeys::from_secret(&vec![7; size]).unwrap()
}

/// Returns a private key of openssl, and its public key.
fn openssl(algorithm: &str) -> (String, String) {
    let run = |command: &str| {
        let output = Command::new("sh").args(["-ec", command]).output().expect("a shell");
        String::from_utf8(output.stdout).expect("PEM")
    };
    let private = run(&format!("openssl genpkey -algorithm {algorithm} 2>/dev/null"));
    let public = run(&format!("printf '%s' '{private}' | openssl pkey -pubout"));
    (private, public)
}

fn curve(name: &str) -> (String, String) {
    openssl(&match name {
        "X25519" => name.to_owned(),
        _ => format!("EC -pkeyopt ec_paramgen_curve:{name} -pkeyopt ec_param_enc:named_curve"),
    })
}

/// Returns the keys that encrypt and those that decrypt with an algorithm, and those of a stranger.
fn pairs(management: Management, size: usize) -> Vec<[EncryptionKeys; 3]> {
    let other = |size| EncryptionKeys::from_secret(&vec![8; size]).unwrap();
    match management {
        Management::Direct => vec![[secret(size), secret(size), other(size)]],
        Management::KeyWrap(size) | Management::GcmKeyWrap(size) => vec![[secret(size), secret(size), other(size)]],
        Management::RsaOaep(_) => {
            vec![[keys(&signer().public_pem), keys(&signer().private_pem), keys(&stranger().private_pem)]]
        }
        Management::Agreement(_) => ["P-256", "P-384", "P-521", "X25519"]
            .map(|name| {
                let (private, public) = curve(name);
                [keys(public), keys(private), keys(curve(name).0)]
            })
            .into(),
    }
}

#[test]
fn every_algorithm_encrypts_for_its_own_key_only() {
    let mut checked = 0;
    for (alg, management) in Management::ALL {
        for (enc, size) in CONTENTS {
            let header = json!({ "alg": alg, "enc": enc, "cty": "JWT", "apu": "QQ" });
            for [encrypting, decrypting, other] in pairs(management, size) {
                for text in [&b""[..], b"{}", &[9; 64]] {
                    let token = jwe::encrypt(header.to_string().as_bytes(), text, &encrypting).unwrap();
                    let (found, plaintext) = jwe::decrypt(token.as_bytes(), &decrypting).unwrap();
                    assert_eq!(plaintext, text, "{alg} {enc}");
                    let found: Value = serde_json::from_slice(&found).unwrap();
                    for name in ["alg", "enc", "cty", "apu"] {
                        assert_eq!(found[name], header[name], "{alg} {enc}");
                    }
                    let refused = jwe::decrypt(token.as_bytes(), &other);
                    assert_eq!(refused, Err(Reason::DecryptionFailed), "{alg} {enc}");
                    assert_ne!(token, jwe::encrypt(header.to_string().as_bytes(), text, &encrypting).unwrap());
                }
                checked += 1;
            }
        }
    }
    // Four curves for each of the four agreements.
    assert_eq!(checked, 6 * (11 + 4 * 4));
}

/// Each part of the token is authenticated, and each failure is the same.
#[test]
fn a_modified_token_does_not_decrypt() {
    for (alg, management) in Management::ALL {
        for (enc, size) in CONTENTS {
            let [encrypting, decrypting, _] = pairs(management, size).remove(0);
            let header = json!({ "alg": alg, "enc": enc }).to_string();
            let token = jwe::encrypt(header.as_bytes(), b"{\"sub\":\"ada\"}", &encrypting).unwrap();
            let parts: Vec<_> = token.split('.').map(str::to_owned).collect();
            for touched in 1..5 {
                let bytes = URL_SAFE_NO_PAD.decode(&parts[touched]).unwrap();
                let Some(last) = bytes.len().checked_sub(1) else { continue };
                let flipped = |at: usize| {
                    let mut copy = bytes.clone();
                    copy[at] ^= 1;
                    copy
                };
                let changes = [
                    flipped(0),
                    flipped(last),
                    bytes[1..].to_vec(),
                    bytes[..last].to_vec(),
                    [&bytes[..], b"x"].concat(),
                ];
                for change in changes {
                    let mut copy = parts.clone();
                    copy[touched] = URL_SAFE_NO_PAD.encode(change);
                    let refused = jwe::decrypt(copy.join(".").as_bytes(), &decrypting);
                    assert_eq!(refused, Err(Reason::DecryptionFailed), "{alg} {enc} {touched}");
                }
            }
            // The header is authenticated, also in what has no meaning.
            let mut members: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&parts[0]).unwrap()).unwrap();
            members["x"] = json!(1);
            let mut copy = parts.clone();
            copy[0] = URL_SAFE_NO_PAD.encode(members.to_string());
            let refused = jwe::decrypt(copy.join(".").as_bytes(), &decrypting);
            assert_eq!(refused, Err(Reason::DecryptionFailed), "{alg} {enc}");
        }
    }
}

/// Builds a token of these header texts around parts that decrypt to nothing.
fn reason_of(header: &str, encrypted: &str, keys: &EncryptionKeys) -> Reason {
    let header = URL_SAFE_NO_PAD.encode(header);
    let token = format!("{header}.{encrypted}.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA");
    jwe::decrypt(token.as_bytes(), keys).unwrap_err()
}

#[test]
fn unsupported_algorithms_and_headers_are_refused() {
    let of = |json: &str| reason_of(json, "", &secret(32));
    let enc = r#""enc":"A256GCM""#;
    for alg in ["RSA1_5", "PBES2-HS256+A128KW", "PBES2-HS384+A192KW", "PBES2-HS512+A256KW", "none", "HS256", "Dir", ""]
    {
        let header = format!(r#"{{"alg":"{alg}",{enc},"p2c":1,"p2s":"AAAA"}}"#);
        assert_eq!(of(&header), Reason::AlgorithmNotAllowed, "{alg}");
        assert_eq!(jwe::encrypt(header.as_bytes(), b"", &secret(32)), Err(Reason::AlgorithmNotAllowed), "{alg}");
    }
    assert_eq!(of(r#"{"alg":"dir","enc":"A512GCM"}"#), Reason::AlgorithmNotAllowed);
    for extra in [r#""zip":"DEF""#, r#""crit":["x"]"#, r#""b64":true"#, r#""p2c":1"#, r#""p2s":"AA""#] {
        assert_eq!(of(&format!(r#"{{"alg":"dir",{enc},{extra}}}"#)), Reason::HeaderUnsupported, "{extra}");
    }
    for header in [
        r#"{"alg":"dir"}"#,
        r#"{"enc":"A256GCM"}"#,
        r#"{"alg":7,"enc":"A256GCM"}"#,
        r#"{"alg":"dir","enc":"A256GCM","alg":"dir"}"#,
        r#"{"alg":"dir","enc":"A256GCM","kid":[]}"#,
        "[]",
        "",
    ] {
        assert_eq!(of(header), Reason::TokenMalformed, "{header}");
    }
    // Members without a meaning here, and those that would choose a key, are ignored.
    assert_eq!(of(&format!(r#"{{"alg":"dir",{enc},"jku":"https://x","jwk":{{}},"x":[1]}}"#)), Reason::DecryptionFailed);
}

#[test]
fn the_parameters_of_a_key_management_are_needed_and_bounded() {
    let private = keys(curve("P-256").0);
    let agreed = |rest: &str| reason_of(&format!(r#"{{"alg":"ECDH-ES","enc":"A256GCM"{rest}}}"#), "", &private);
    let epk = r#","epk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#;
    for rest in ["", r#","epk":null"#, r#","epk":"x""#, &format!(r#"{epk},"apu":7"#), &format!(r#"{epk},"apv":"=""#)] {
        assert_eq!(agreed(rest), Reason::TokenMalformed, "{rest}");
    }
    // A bad point is no worse than a bad tag.
    for rest in [epk, r#","epk":{}"#, r#","epk":{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}"#] {
        assert_eq!(agreed(rest), Reason::DecryptionFailed, "{rest}");
    }
    let wrapped = |rest: &str| reason_of(&format!(r#"{{"alg":"A256GCMKW","enc":"A256GCM"{rest}}}"#), "AA", &secret(32));
    let (iv, tag) = (r#","iv":"AAAAAAAAAAAAAAAA""#, r#","tag":"AAAAAAAAAAAAAAAAAAAAAA""#);
    for rest in ["", iv, tag, r#","iv":"AAAA","tag":"AAAAAAAAAAAAAAAAAAAAAA""#, &format!(r#"{iv},"tag":"AAAA""#)] {
        assert_eq!(wrapped(rest), Reason::TokenMalformed, "{rest}");
    }
    assert_eq!(wrapped(&format!("{iv}{tag}")), Reason::DecryptionFailed);
    // A part that must be empty, or must not.
    assert_eq!(reason_of(r#"{"alg":"dir","enc":"A256GCM"}"#, "AA", &secret(32)), Reason::TokenMalformed);
    assert_eq!(reason_of(r#"{"alg":"A256KW","enc":"A256GCM"}"#, "", &secret(32)), Reason::TokenMalformed);
}

#[test]
fn tokens_have_five_parts_and_a_bounded_size() {
    let header = br#"{"alg":"dir","enc":"A256GCM"}"#;
    let token = jwe::encrypt(header, b"{}", &secret(32)).unwrap();
    assert_eq!(jwe::decrypt(b"", &secret(32)), Err(Reason::TokenMissing));
    for bad in
        [format!("{token}."), format!("{token}.AA"), token.replacen("..", ".", 1), format!("{token}="), "....".into()]
    {
        assert_eq!(jwe::decrypt(bad.as_bytes(), &secret(32)), Err(Reason::TokenMalformed), "{bad}");
    }
    assert_eq!(jwe::decrypt(&vec![b'A'; MAX_TOKEN_BYTES + 1], &secret(32)), Err(Reason::TokenTooLarge));
    assert_eq!(jwe::encrypt(header, &vec![b'x'; MAX_TOKEN_BYTES - 40], &secret(32)), Err(Reason::TokenTooLarge));
    let largest = (1..)
        .take(MAX_TOKEN_BYTES)
        .map(|cut| MAX_TOKEN_BYTES - cut)
        .find_map(|size| jwe::encrypt(header, &vec![b'x'; size], &secret(32)).ok());
    assert!(jwe::decrypt(largest.expect("a token").as_bytes(), &secret(32)).is_ok());
}

// Which keys may do what.

fn rsa_jwk(key: &RsaKey, more: Value) -> Value {
    let text = |number: &rsa::BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
    let key = &key.private;
    let qi = key.qinv().and_then(|number| number.to_biguint()).expect("a number");
    merged(
        json!({
            "kty": "RSA", "n": text(key.n()), "e": text(key.e()), "d": text(key.d()), "p": text(&key.primes()[0]),
            "q": text(&key.primes()[1]), "dp": text(key.dp().unwrap()), "dq": text(key.dq().unwrap()), "qi": text(&qi),
        }),
        more,
    )
}

fn oct(size: usize, more: Value) -> String {
    merged(json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(vec![7; size]) }), more).to_string()
}

fn can_encrypt(keys: &EncryptionKeys, alg: &str, enc: &str) -> bool {
    jwe::encrypt(json!({ "alg": alg, "enc": enc }).to_string().as_bytes(), b"{}", keys).is_ok()
}

fn can_decrypt(keys: &EncryptionKeys, from: &EncryptionKeys, alg: &str, enc: &str) -> bool {
    let token = jwe::encrypt(json!({ "alg": alg, "enc": enc }).to_string().as_bytes(), b"{}", from).unwrap();
    jwe::decrypt(token.as_bytes(), keys).is_ok()
}

#[test]
fn a_public_key_encrypts_and_a_private_key_decrypts() {
    let key = signer();
    let private = [key.private_pem.clone(), key.private_pkcs1_pem.clone(), rsa_jwk(key, json!({})).to_string()];
    let certificate = std::fs::read_to_string("tests/data/certificate_rsa.pem").unwrap();
    let public = [key.public_pem.clone(), key.public_pkcs1_pem.clone(), key.jwk(json!({})).to_string(), certificate];
    for text in &public {
        assert!(can_encrypt(&keys(text), "RSA-OAEP-256", "A256GCM"), "{text}");
        for private in &private[..if text.contains("CERTIFICATE") { 0 } else { 3 }] {
            assert!(can_decrypt(&keys(private), &keys(text), "RSA-OAEP-256", "A256GCM"), "{text}");
        }
        assert!(!can_decrypt(&keys(text), &keys(&public[0]), "RSA-OAEP-256", "A256GCM"), "{text}");
    }
    for text in private {
        assert!(!can_encrypt(&keys(text), "RSA-OAEP-256", "A256GCM"));
    }
    for name in ["P-256", "X25519"] {
        let (private, public) = curve(name);
        assert!(
            !can_encrypt(&keys(private), "ECDH-ES", "A256GCM") && !can_encrypt(&keys(&public), "RSA-OAEP", "A256GCM")
        );
        assert!(can_encrypt(&keys(public), "ECDH-ES", "A256GCM"));
    }
}

#[test]
fn a_jwk_is_restricted_by_its_use_alg_and_key_ops() {
    let rsa = |more| signer().jwk(more).to_string();
    let allowed = |more| can_encrypt(&keys(rsa(more)), "RSA-OAEP-256", "A256GCM");
    assert!(allowed(json!({ "use": "enc", "alg": "RSA-OAEP-256", "key_ops": ["wrapKey"] })));
    assert!(allowed(json!({ "use": null, "alg": null, "key_ops": null })));
    assert!(allowed(json!({ "key_ops": ["encrypt"] })));
    assert!(!allowed(json!({ "alg": "RSA-OAEP" })));
    for more in [
        json!({ "use": "sig" }),
        json!({ "use": 7 }),
        json!({ "alg": "RS256" }),
        json!({ "alg": "RSA1_5" }),
        json!({ "alg": "A256GCM" }),
        json!({ "alg": "dir" }),
        json!({ "alg": 7 }),
        json!({ "key_ops": ["verify"] }),
        json!({ "key_ops": ["unwrapKey"] }),
        json!({ "key_ops": [] }),
        json!({ "key_ops": "wrapKey" }),
    ] {
        assert!(refusal(rsa(more.clone())).starts_with("is a JWK whose "), "{more}");
    }
    // A key for `dir` may name the content encryption, as in RFC 7520 §5.6.
    let named = keys(oct(32, json!({ "alg": "A256GCM" })));
    assert!(can_encrypt(&named, "dir", "A256GCM"));
    assert!(!can_encrypt(&named, "dir", "A128CBC-HS256") && !can_encrypt(&named, "A256KW", "A256GCM"));
    let wraps = keys(oct(32, json!({ "key_ops": ["wrapKey", "unwrapKey"] })));
    assert!(can_encrypt(&wraps, "A256KW", "A128GCM") && can_decrypt(&wraps, &secret(32), "A256GCMKW", "A128GCM"));
    assert!(!can_encrypt(&wraps, "dir", "A256GCM") && !can_decrypt(&wraps, &secret(32), "dir", "A256GCM"));
    let only = keys(oct(32, json!({ "key_ops": ["unwrapKey"] })));
    assert!(!can_encrypt(&only, "A256KW", "A128GCM") && can_decrypt(&only, &secret(32), "A256KW", "A128GCM"));
}

#[test]
fn a_secret_has_the_size_that_its_algorithm_needs() {
    for (enc, size) in CONTENTS {
        for other in [16, 24, 32, 48, 64] {
            assert_eq!(can_encrypt(&secret(other), "dir", enc), other == size, "{enc} {other}");
        }
    }
    for (alg, size) in [("A128KW", 16), ("A192KW", 24), ("A256KW", 32), ("A128GCMKW", 16), ("A256GCMKW", 32)] {
        for other in [16, 24, 32, 48, 64] {
            assert_eq!(can_encrypt(&secret(other), alg, "A128GCM"), other == size, "{alg} {other}");
        }
    }
    for size in [0, 1, 15, 17, 31, 33, 63, 65] {
        assert!(EncryptionKeys::from_secret(&vec![7; size]).is_err(), "{size}");
    }
}

#[test]
fn a_kid_selects_keys_and_a_token_gets_that_of_its_key() {
    let (own, other) = (rsa_jwk(signer(), json!({ "kid": "a" })), rsa_jwk(stranger(), json!({ "kid": "b" })));
    let both = keys(json!({ "keys": [own, other] }).to_string());
    let seal = |key: &RsaKey, kid: Value| {
        let header = merged(json!({ "alg": "RSA-OAEP", "enc": "A128GCM" }), json!({ "kid": kid })).to_string();
        jwe::encrypt(header.as_bytes(), b"{}", &keys(&key.public_pem)).unwrap()
    };
    for (key, kid, expected) in [
        (signer(), json!("a"), Ok(())),
        (stranger(), json!("b"), Ok(())),
        (stranger(), json!(null), Ok(())),
        (stranger(), json!("a"), Err(Reason::DecryptionFailed)),
        (signer(), json!("c"), Err(Reason::KeyNotFound)),
    ] {
        assert_eq!(jwe::decrypt(seal(key, kid.clone()).as_bytes(), &both).map(drop), expected, "{kid}");
    }
    let named = keys(signer().jwk(json!({ "kid": "a" })).to_string());
    let token = jwe::encrypt(br#"{"alg":"RSA-OAEP","enc":"A128GCM"}"#, b"{}", &named).unwrap();
    let (header, _) = jwe::decrypt(token.as_bytes(), &both).unwrap();
    assert!(String::from_utf8(header).unwrap().contains(r#""kid":"a""#));
    assert_eq!(
        jwe::encrypt(br#"{"alg":"RSA-OAEP","enc":"A128GCM","kid":"z"}"#, b"{}", &named),
        Err(Reason::KeyUnsupported)
    );
}

#[test]
fn keys_that_cannot_encrypt_are_refused_or_skipped() {
    let weak = RsaKey::generate(1024);
    for text in [
        weak.public_pem.clone(),
        weak.private_pem.clone(),
        openssl("ed25519").1,
        openssl("ed25519").0,
        curve("secp256k1").1,
        curve("secp256k1").0,
        oct(31, json!({})),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }).to_string(),
        json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }).to_string(),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([7; 32]) }).to_string(),
        json!({ "kty": "new" }).to_string(),
        String::new(),
        "secret".into(),
        "{}".into(),
    ] {
        assert!(!refusal(&text).is_empty(), "{text}");
    }
    let good = signer().jwk(json!({ "kid": "good" }));
    let set =
        json!({ "keys": [signer().jwk(json!({ "use": "sig", "kid": "s" })), { "kty": "new" }, good] }).to_string();
    let found = keys(&set);
    assert_eq!(found.notes()[0], "key 1 (kid \"s\") of the set is skipped: it is a JWK whose use is not enc");
    assert_eq!(found.notes().len(), 2);
    assert!(can_encrypt(&found, "RSA-OAEP", "A128GCM"));
    let many = |count| json!({ "keys": vec![signer().jwk(json!({})); count] }).to_string();
    assert_eq!(refusal(many(8)), "");
    assert_eq!(refusal(many(9)), "holds more than 8 keys that can encrypt or decrypt");
}

/// The members of a private JWK must belong together: another public point would be agreed with.
#[test]
fn a_private_jwk_with_the_public_half_of_another_is_refused() {
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "x": "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
        "y": "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck", "d": "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw",
    });
    assert_eq!(refusal(jwk.to_string()), "");
    let other = json!({ "d": "0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo" });
    assert_eq!(refusal(merged(jwk, other).to_string()), "is a private JWK whose members do not make a key");
}
