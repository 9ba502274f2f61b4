//! The table of docs/reference/keys.md: each setting treats each key file as documented.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use route_native::desktop::hash_claim::{HashClaimKey, Padding};
use route_native::error::ConfigError;
use route_native::introspection::{ClaimNames, Introspector, Options};
use route_native::keys::{Form, KeySet, Keyring, load};
use serde_json::{Value, json};
use support::{merged, signer};

/// Runs a command and returns what it writes.
fn output(command: &str) -> Vec<u8> {
    let output = Command::new("sh").args(["-ec", command]).stderr(Stdio::null()).output().expect("a shell");
    assert!(output.status.success(), "{command}");
    output.stdout
}

fn private(algorithm: &str) -> Vec<u8> {
    output(&format!("openssl genpkey -algorithm {algorithm}"))
}

fn curve(name: &str) -> Vec<u8> {
    private(&format!("EC -pkeyopt ec_paramgen_curve:{name} -pkeyopt ec_param_enc:named_curve"))
}

/// Passes a key through a command that reads standard input.
fn piped(key: &[u8], command: &str) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&file, key).expect("it is written");
    output(&format!("{command} < {}", file.path().display()))
}

fn public(key: &[u8]) -> Vec<u8> {
    piped(key, "openssl pkey -pubout")
}

fn der(pem: &[u8]) -> Vec<u8> {
    pem::parse(pem).expect("PEM").into_contents()
}

fn oct() -> Value {
    json!({ "kty": "oct", "kid": "s", "k": URL_SAFE_NO_PAD.encode([7; 32]) })
}

/// Returns the private key of RFC 8037 §2 with its public part.
fn private_jwk() -> Value {
    let (private, public) = {
        let key = private("ed25519");
        (der(&key), der(&public(&key)))
    };
    let last_32 = |der: &[u8]| URL_SAFE_NO_PAD.encode(&der[der.len() - 32..]);
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": "p", "x": last_32(&public), "d": last_32(&private) })
}

fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into()
}

/// Returns a key in OpenSSH's wire format (RFC 4251 §5): strings with their lengths.
fn openssh(kind: &str) -> Vec<u8> {
    let strings = [kind.as_bytes(), &[7; 32]];
    strings.iter().flat_map(|text| [&(text.len() as u32).to_be_bytes()[..], text].concat()).collect()
}

fn openssh_line() -> Vec<u8> {
    format!("ssh-ed25519 {} somebody@somewhere\n", STANDARD.encode(openssh("ssh-ed25519"))).into_bytes()
}

/// Returns the files of each row of the table, in its order.
fn rows() -> Vec<Vec<Vec<u8>>> {
    let rsa = signer();
    let curves: Vec<_> = ["P-256", "P-384", "P-521", "secp256k1"].map(curve).into();
    let ed25519 = private("ed25519");
    let certificate = fs::read("tests/data/certificate_ec.pem").expect("a certificate");
    let sec1 = output("openssl ecparam -name prime256v1 -genkey");
    let alone = sec1.windows(7).position(|text| text == b"BEGIN E").and_then(|_| {
        let text = String::from_utf8_lossy(&sec1).into_owned();
        text.find("-----BEGIN EC PRIVATE").map(|start| text.as_bytes()[start..].to_vec())
    });
    let encrypted = piped(&ed25519, "openssl pkcs8 -topk8 -passout pass:x");
    let encrypted_pkcs1 = piped(rsa.private_pem.as_bytes(), "openssl rsa -traditional -aes128 -passout pass:x");
    let public_jwk = rsa.jwk(json!({ "kid": "r" }));
    let unknown = json!({ "kty": "new", "kid": "n" });
    vec![
        vec![rsa.public_pem.clone().into()],
        curves.iter().map(|key| public(key)).collect(),
        vec![public(&ed25519)],
        ["RSA -pkeyopt rsa_keygen_bits:1024", "ed448", "x25519"].map(|name| public(&private(name))).into(),
        vec![rsa.public_pkcs1_pem.clone().into()],
        vec![certificate.clone(), fs::read("tests/data/certificate_rsa.pem").expect("a certificate")],
        vec![rsa.private_pem.clone().into()],
        curves.iter().chain([&ed25519]).cloned().collect(),
        vec![rsa.private_pkcs1_pem.clone().into()],
        vec![alone.expect("a SEC 1 key"), sec1],
        vec![encrypted, encrypted_pkcs1],
        vec![support::pem("OPENSSH PRIVATE KEY", &openssh("openssh-key-v1")).into(), openssh_line()],
        vec![der(rsa.public_pem.as_bytes()), der(&ed25519), der(&certificate)],
        vec![public_jwk.to_string().into()],
        vec![private_jwk().to_string().into()],
        vec![oct().to_string().into()],
        vec![set(&[public_jwk.clone(), merged(public_jwk.clone(), json!({ "kid": "2" })), unknown])],
        vec![set(&[public_jwk.clone(), private_jwk()]), set(&[public_jwk, oct()])],
        vec![secrets(1), secrets(3)],
        vec![b"thirty-one bytes are too few...".to_vec()],
    ]
}

fn secrets(count: usize) -> Vec<u8> {
    let line = |_| STANDARD.encode(rand::random::<[u8; 32]>());
    (0..count).map(line).collect::<Vec<_>>().join("\n").into_bytes()
}

fn keyring(path: &Path, form: Form) -> Result<String, ConfigError> {
    let current = Keyring::from_file(path, form)?.current();
    Ok(if current.signing.is_some() { "verifies, signs" } else { "verifies" }.to_owned())
}

fn phantom<'a>(verify_key: Option<&'a Path>, signing_key: Option<&'a Path>) -> Result<Introspector, ConfigError> {
    Introspector::new(Options {
        identity: b"",
        verify_key,
        issuers: None,
        audiences: None,
        signing_key,
        signing_key_id: None,
        claims: ClaimNames::default(),
        lifetime: 300,
    })
}

/// Reads a file with the settings of a column. Returns the use of its keys.
fn read(column: &str, path: &Path) -> Result<String, ConfigError> {
    let says = |what: &str| what.to_owned();
    match column {
        "verifies" => {
            let gateways = load(path, KeySet::parse).map(|_| says("verifies"));
            let phantoms = phantom(Some(path), None).map(|_| says("verifies"));
            assert_eq!(gateways.is_ok(), phantoms.is_ok());
            gateways
        }
        "keyring" => keyring(path, Form::Key),
        "signs" => phantom(None, Some(path)).map(|_| says("signs")),
        "decrypts" => load(path, |text| HashClaimKey::parse(text, Padding::default())).map(|_| says("decrypts")),
        "secrets" => keyring(path, Form::Secrets),
        other => panic!("no setting makes {other}"),
    }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn each_setting_treats_each_key_file_as_the_table_says() {
    let text = fs::read_to_string("docs/reference/keys.md").expect("the page");
    let table: Vec<_> = text.lines().filter(|line| line.starts_with('|')).map(cells).collect();
    let (columns, documented) = (&table[0], &table[2..]);
    let rows = rows();
    assert_eq!(documented.len(), rows.len());
    let directory = tempfile::tempdir().expect("a directory");
    let mut wrong = Vec::new();
    for (row, files) in documented.iter().zip(rows) {
        for (number, file) in files.iter().enumerate() {
            let path: PathBuf = directory.path().join("key");
            fs::write(&path, file).expect("the file is written");
            for (column, cell) in columns.iter().zip(row).skip(1) {
                let found = read(column, &path).unwrap_or_else(|error| {
                    let message = error.to_string();
                    assert!(message.starts_with("the key file ") && message.contains("key "), "{message}");
                    "refused".to_owned()
                });
                if found != *cell {
                    wrong.push(format!("{}, file {number}, {column}: {found}, and not {cell}", row[0]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
