//! The `hash` claim: its keys and paddings, and the single error of all failures.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use proptest::prelude::*;
use route_native::desktop::hash_claim::{HashClaimKey, Padding};
use route_native::desktop::resolve::decrypt_target;
use route_native::desktop::target::Suffix;
use route_native::error::Reason;
use rsa::BigUint;
use rsa::traits::PublicKeyParts as _;
use support::*;

const PADDINGS: [&str; 3] = ["pkcs1v15", "oaep-sha1", "oaep-sha256"];

fn key(padding: &str) -> HashClaimKey {
    let padding = Padding::from_name(padding).expect("a padding");
    HashClaimKey::parse(signer().private_pem.as_bytes(), padding).unwrap_or_else(|error| panic!("{error}"))
}

fn key_refusal(text: &str) -> (Reason, String) {
    let error = HashClaimKey::parse(text.as_bytes(), Padding::Pkcs1v15).err().expect("the key is refused");
    (error.reason, error.message)
}

fn target(hash: &str) -> Result<String, Reason> {
    decrypt_target(&key("pkcs1v15"), None, hash.as_bytes())
}

/// Encrypts a block without padding it.
fn encrypt_block(block: &[u8]) -> String {
    let key = &signer().private;
    let bytes = BigUint::from_bytes_be(block).modpow(key.e(), key.n()).to_bytes_be();
    STANDARD.encode([vec![0; 256 - bytes.len()], bytes].concat())
}

/// Returns a PKCS#1 v1.5 block of 256 bytes (RFC 8017 §7.2.1) with a text.
fn pkcs1_block(text: &[u8]) -> Vec<u8> {
    [&[0, 2], &vec![0xaa; 253 - text.len()][..], &[0], text].concat()
}

#[test]
fn ciphertexts_of_another_implementation_are_decrypted() {
    for padding in PADDINGS {
        for text in ["", "desktop.example", &"a".repeat(190)] {
            let hash = signer().encrypt(padding, text.as_bytes());
            assert_eq!(key(padding).decrypt(hash.as_bytes()), Ok(text.as_bytes().to_vec()), "{padding}");
        }
    }
    assert_eq!(target(&encrypt_block(&pkcs1_block(b"Desktop.example"))).as_deref(), Ok("desktop.example"));
}

#[test]
fn a_key_in_pkcs1_is_the_same_key() {
    for padding in PADDINGS {
        let name = Padding::from_name(padding).expect("a padding");
        let key = HashClaimKey::parse(signer().private_pkcs1_pem.as_bytes(), name).expect("a PKCS#1 key");
        assert_eq!(key.decrypt(signer().encrypt(padding, b"x").as_bytes()), Ok(b"x".to_vec()));
    }
}

#[test]
fn base64_with_and_without_padding_characters_is_read() {
    let hash = signer().encrypt("pkcs1v15", b"a");
    assert!(hash.ends_with('='));
    assert_eq!(target(&hash).as_deref(), Ok("a"));
    assert_eq!(target(hash.trim_end_matches('=')).as_deref(), Ok("a"));
}

#[test]
fn a_payload_under_another_padding_or_key_is_refused() {
    for padding in PADDINGS {
        for other in PADDINGS.into_iter().filter(|other| *other != padding) {
            let hash = signer().encrypt(other, b"desktop");
            assert_eq!(
                decrypt_target(&key(padding), None, hash.as_bytes()),
                Err(Reason::PayloadInvalid),
                "{other} as {padding}"
            );
        }
        let hash = stranger().encrypt(padding, b"desktop");
        assert_eq!(decrypt_target(&key(padding), None, hash.as_bytes()), Err(Reason::PayloadInvalid), "{padding}");
    }
}

/// Different errors for different faults of a PKCS#1 v1.5 block would be an oracle.
#[test]
fn every_fault_of_a_block_gives_the_same_error() {
    let good = pkcs1_block(b"desktop");
    let changed = |at: usize, value: u8| {
        let mut block = good.clone();
        block[at] = value;
        block
    };
    let unseparated = good.iter().enumerate().map(|(at, byte)| if at > 1 && *byte == 0 { 1 } else { *byte }).collect();
    for block in [changed(0, 1), changed(1, 1), changed(1, 0), changed(5, 0), changed(9, 0), unseparated, vec![0; 256]]
    {
        assert_eq!(target(&encrypt_block(&block)), Err(Reason::PayloadInvalid));
    }
}

#[test]
fn a_text_that_is_no_ciphertext_of_the_key_is_refused() {
    let hash = signer().encrypt("pkcs1v15", b"desktop");
    let raw = STANDARD.decode(&hash).expect("base64");
    let of = |bytes: &[u8]| STANDARD.encode(bytes);
    let mut trailing_bits = STANDARD_NO_PAD.encode(&raw);
    assert!(["A", "Q", "g", "w"].iter().any(|last| trailing_bits.ends_with(last)), "256 bytes leave four spare bits");
    let last = trailing_bits.pop().expect("a digit");
    trailing_bits.push(char::from(last as u8 + 1));
    for bad in [
        String::new(),
        "=".into(),
        "not base64!".into(),
        trailing_bits,
        of(&raw[..255]),
        of(&raw[1..]),
        of(&[&raw[..], b"\0"].concat()),
        of(&[b"\0", &raw[..]].concat()),
        of(&[0; 256]),
        of(&[0xff; 256]),
        of(&[0xff; 1024]),
        of(&[0xff; 1025]),
        "A".repeat(1 << 20),
        format!("{hash}\n"),
        format!(" {hash}"),
        format!("{hash}\0"),
        format!("{hash}="),
        hash.replacen(|c: char| c.is_ascii_alphabetic(), "-", 1),
        URL_SAFE.encode([0xff; 256]),
    ] {
        for padding in PADDINGS {
            assert_eq!(key(padding).decrypt(bad.as_bytes()), Err(Reason::PayloadInvalid), "{padding} {bad:.40}");
        }
    }
}

#[test]
fn a_plaintext_that_is_no_host_is_refused_like_a_bad_ciphertext() {
    for bad in [
        "",
        "127.0.0.1:22",
        "127.0.0.1:22/..",
        "a/../b",
        "a b",
        "a\r\nX-Injected: 1",
        "a\n",
        "a\0",
        "user@host",
        "[::1]:80",
        "a;b",
        "$host",
        &"a".repeat(240),
    ] {
        assert_eq!(target(&signer().encrypt("pkcs1v15", bad.as_bytes())), Err(Reason::PayloadInvalid), "{bad:?}");
    }
    assert_eq!(target(&signer().encrypt("pkcs1v15", b"caf\xe9")), Err(Reason::PayloadInvalid));
}

/// A plaintext of 300 characters needs a larger key than that of the other tests.
#[test]
fn a_host_of_300_characters_is_refused() {
    let large = RsaKey::generate(3072);
    let key = HashClaimKey::parse(large.private_pem.as_bytes(), Padding::Pkcs1v15).expect("a private key");
    let labels = vec!["a".repeat(59); 5].join(".");
    let text = format!("{labels}a");
    assert_eq!(text.len(), 300);
    let hash = large.encrypt("pkcs1v15", text.as_bytes());
    assert_eq!(key.decrypt(hash.as_bytes()), Ok(text.into_bytes()));
    assert_eq!(decrypt_target(&key, None, hash.as_bytes()), Err(Reason::PayloadInvalid));
}

#[test]
fn a_suffix_restricts_targets_to_its_domain() {
    let suffix = Suffix::parse("desktop.svc").expect("a host name");
    let open =
        |text: &[u8]| decrypt_target(&key("pkcs1v15"), Some(&suffix), signer().encrypt("pkcs1v15", text).as_bytes());
    assert_eq!(open(b"Pod.Desktop.SVC").as_deref(), Ok("pod.desktop.svc"));
    for outside in [&b"desktop.svc"[..], b"evildesktop.svc", b"desktop.svc.evil", b"127.0.0.1", b"[::1]"] {
        assert_eq!(open(outside), Err(Reason::PayloadInvalid));
    }
}

#[test]
fn a_file_that_is_no_private_key_is_refused() {
    let weak = RsaKey::generate(1024);
    for (text, message) in [
        ("", "is not PEM"),
        ("{}", "is not PEM"),
        (signer().public_pem.as_str(), "does not hold a private key"),
        (&pem("EC PRIVATE KEY", b"x"), "holds a private key that is not RSA"),
        (&pem("ENCRYPTED PRIVATE KEY", b"x"), "is encrypted with a passphrase; store it without one"),
        (&p256().private_pem, "is not an RSA private key of 2048 to 8192 bits"),
        (&ed25519().private_pem, "is not an RSA private key of 2048 to 8192 bits"),
        (&weak.private_pem, "is not an RSA private key of 2048 to 8192 bits"),
        (&weak.private_pkcs1_pem, "is not an RSA private key of 2048 to 8192 bits"),
        (&pem("PRIVATE KEY", b"x"), "is not an RSA private key of 2048 to 8192 bits"),
        (&pem("RSA PRIVATE KEY", b"x"), "is not an RSA private key of 2048 to 8192 bits"),
    ] {
        assert_eq!(key_refusal(text), (Reason::KeyUnsupported, message.into()), "{text:.40}");
    }
}

/// The traditional format of OpenSSL marks an encrypted PKCS#1 key by a header inside the PEM block, with the tag of a
/// plain key.
#[test]
fn a_pkcs1_key_with_a_passphrase_is_named_as_that() {
    let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    assert_eq!(key_refusal(encrypted).1, "is encrypted with a passphrase; store it without one");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any bytes give a target or the single error, and never a panic.
    #[test]
    fn random_texts_never_decrypt(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert_eq!(target(&STANDARD.encode(&bytes)), Err(Reason::PayloadInvalid));
        prop_assert_eq!(key("oaep-sha256").decrypt(&bytes), Err(Reason::PayloadInvalid));
    }
}
