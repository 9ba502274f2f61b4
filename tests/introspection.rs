//! Token introspection: responses of authorization servers, and the values for the API.

mod support;

use std::path::Path;

use route_native::error::Reason;
use route_native::introspection::{
    ClaimNames, Introspector, MAX_ANSWER_BYTES, MAX_JWT_BYTES, Options, Verdict, malformed_member,
};
use route_native::jwt::{Policy, verify};
use route_native::keys::KeySet;
use route_native::revocation::Names;
use serde_json::{Value, json};
use support::{NOW, RsaKey};

const JWT: &str = "application/jwt";
const SIGNED: &str = "application/token-introspection+jwt; charset=utf-8";
const JSON: &str = "Application/JSON;charset=UTF-8";

struct Files {
    directory: tempfile::TempDir,
    key: RsaKey,
}

impl Files {
    fn new() -> Files {
        let files = Files { directory: tempfile::tempdir().unwrap(), key: RsaKey::generate(2048) };
        std::fs::write(files.path("public.pem"), &files.key.public_pem).unwrap();
        std::fs::write(files.path("private.pem"), &files.key.private_pem).unwrap();
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }
}

fn options(identity: &[u8]) -> Options<'_> {
    Options {
        identity,
        verify_key: None,
        issuers: None,
        audiences: None,
        signing_key: None,
        signing_key_id: None,
        claims: ClaimNames::default(),
        lifetime: 300,
    }
}

fn plain() -> Introspector {
    Introspector::new(options(b"a")).unwrap()
}

/// Returns a JWT without a valid signature.
fn unsigned(header: Value, claims: &Value) -> String {
    support::token(&header, claims, |_| b"sig".to_vec())
}

#[test]
fn a_jwt_is_forwarded_unchanged_with_its_scope_and_expiry() {
    let token = unsigned(json!({ "alg": "RS256" }), &json!({ "scope": "read write", "exp": NOW + 60 }));
    let expected = Verdict {
        scope: "read write".into(),
        expires_at: Some(NOW + 60),
        forward: format!("Bearer {token}"),
        identity: Names { expires_at: Some(NOW + 60), ..Names::default() }.identity(),
        confirmation: String::new(),
    };
    assert_eq!(plain().read(JWT, format!(" {token}\n").as_bytes(), None, NOW), Ok(expected));
    let listed = unsigned(json!({ "alg": "RS256" }), &json!({ "scope": ["read", "write"] }));
    assert_eq!(plain().read(JWT, listed.as_bytes(), None, NOW).unwrap().scope, "read write");
}

#[test]
fn an_expired_token_is_the_tokens_fault_and_other_errors_are_the_servers() {
    let read =
        |claims: Value| plain().read(JWT, unsigned(json!({ "alg": "RS256" }), &claims).as_bytes(), None, NOW).err();
    assert_eq!(read(json!({ "exp": NOW - 5 })), Some(Reason::TokenExpired));
    assert_eq!(read(json!({ "exp": NOW - 4 })), None);
    assert_eq!(read(json!({ "nbf": NOW + 6 })), Some(Reason::TokenNotYetValid));
    for claims in [json!({ "exp": "never" }), json!({ "exp": null }), json!({ "nbf": -1 }), json!({ "scope": 1 })] {
        assert_eq!(read(claims.clone()), Some(Reason::ServerAnswerInvalid), "{claims}");
    }
    let whole = unsigned(json!({ "alg": "RS256" }), &json!({ "fill": "x".repeat(MAX_JWT_BYTES * 3 / 4 - 200) }));
    assert!(whole.len() <= MAX_JWT_BYTES && plain().read(JWT, whole.as_bytes(), None, NOW).is_ok());
    let large = unsigned(json!({ "alg": "RS256" }), &json!({ "fill": "x".repeat(MAX_JWT_BYTES * 3 / 4) }));
    for (media_type, body) in [
        (JWT, "a.b.c"),
        (JWT, large.as_str()),
        (JWT, &" ".repeat(MAX_ANSWER_BYTES + 1)),
        (JSON, "{}"),
        (JSON, r#"{"active":"true"}"#),
        (JSON, r#"{"active":false,"active":true}"#),
        (JSON, r#"{"active":true} x"#),
        ("text/html", r#"{"active":true}"#),
        ("", r#"{"active":true}"#),
        (SIGNED, r#"{"active":true}"#),
    ] {
        assert_eq!(
            plain().read(media_type, body.as_bytes(), None, NOW),
            Err(Reason::ServerAnswerInvalid),
            "{media_type}"
        );
    }
}

#[test]
fn an_inactive_token_is_inactive_in_both_formats() {
    assert_eq!(plain().read(JSON, br#"{"active":false,"exp":"never"}"#, None, NOW), Err(Reason::TokenInactive));
    let header = json!({ "alg": "RS256", "typ": "application/Token-Introspection+JWT" });
    let signed = unsigned(header, &json!({ "token_introspection": { "active": false } }));
    assert_eq!(plain().read(SIGNED, signed.as_bytes(), None, NOW), Err(Reason::TokenInactive));
}

/// Each row: members of an active token's answer, and the member that makes the answer malformed.
#[test]
fn null_is_absent_and_a_malformed_member_is_named() {
    let read = Introspector::new(Options { claims: ClaimNames::parse("sub"), ..options(b"a") }).unwrap();
    for (members, malformed) in [
        (json!({ "scope": null, "exp": null, "nbf": null, "scp": null, "aud": null, "iss": null }), None),
        (json!({ "exp": NOW + 9, "nbf": NOW - 9, "scope": "read", "scp": ["a"], "aud": ["b"], "iss": "c" }), None),
        (json!({ "exp": (NOW + 9).to_string() }), Some("exp")),
        (json!({ "exp": (NOW + 9) * 1000 }), Some("exp")),
        (json!({ "exp": -1 }), Some("exp")),
        (json!({ "nbf": "now" }), Some("nbf")),
        (json!({ "nbf": (NOW - 9) * 1000 }), Some("nbf")),
        (json!({ "scope": 1 }), Some("scope")),
        (json!({ "scope": [null] }), Some("scope")),
        (json!({ "scp": {} }), Some("scp")),
        (json!({ "active": "true" }), Some("active")),
        (json!({ "active": null }), Some("active")),
    ] {
        let mut answer = json!({ "active": true, "sub": "s" });
        answer.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let body = answer.to_string();
        let signed = unsigned(
            json!({ "alg": "RS256", "typ": "token-introspection+jwt" }),
            &json!({ "token_introspection": answer }),
        );
        for (media_type, body) in [(JSON, &body), (SIGNED, &signed)] {
            let verdict = read.read(media_type, body.as_bytes(), None, NOW);
            assert_eq!(verdict.is_err(), malformed.is_some(), "{body}: {verdict:?}");
            assert_eq!(malformed_member(media_type, body.as_bytes()), malformed, "{body}");
        }
    }
    let jwt = |claims| unsigned(json!({ "alg": "RS256" }), &claims);
    assert_eq!(malformed_member(JWT, jwt(json!({ "exp": null })).as_bytes()), Some("exp"));
    assert_eq!(malformed_member(SIGNED, jwt(json!({})).as_bytes()), Some("token_introspection"));
    for (media_type, body) in [(JWT, "a.b.c"), (JWT, ""), (SIGNED, ""), (JSON, "["), ("", "\0"), (JSON, "{} x")] {
        assert_eq!(malformed_member(media_type, body.as_bytes()), None);
    }
}

#[test]
fn a_signed_response_needs_its_typ() {
    let claims = json!({ "token_introspection": { "active": true, "scope": "read", "exp": NOW + 9 } });
    let read = |header: Value| plain().read(SIGNED, unsigned(header, &claims).as_bytes(), None, NOW);
    let verdict = read(json!({ "alg": "RS256", "typ": "token-introspection+jwt" })).unwrap();
    assert_eq!((verdict.scope.as_str(), verdict.expires_at), ("read", Some(NOW + 9)));
    for header in [json!({ "alg": "RS256" }), json!({ "alg": "RS256", "typ": "at+jwt" })] {
        assert_eq!(read(header), Err(Reason::ServerAnswerInvalid));
    }
}

#[test]
fn an_unsigned_response_is_refused_if_a_key_is_configured() {
    let files = Files::new();
    let path = files.path("public.pem");
    let introspector = Introspector::new(Options { verify_key: Some(&path), ..options(b"a") }).unwrap();
    let claims = json!({ "sub": "s" });
    assert!(introspector.read(JWT, files.key.token("RS256", &claims).as_bytes(), None, NOW).is_ok());
    let others = RsaKey::generate(2048).token("RS256", &claims);
    let none = unsigned(json!({ "alg": "none" }), &claims);
    for token in [others, none] {
        assert_eq!(introspector.read(JWT, token.as_bytes(), None, NOW), Err(Reason::ServerAnswerInvalid));
    }
}

#[test]
fn the_callers_keys_verify_a_response_and_a_missing_kid_has_its_own_reason() {
    let files = Files::new();
    let introspector = plain();
    let claims = json!({ "sub": "s" });
    let set = |kid: &str| {
        KeySet::parse(json!({ "keys": [files.key.jwk(json!({ "kid": kid }))] }).to_string().as_bytes()).unwrap()
    };
    let token =
        support::token(&json!({ "alg": "RS256", "kid": "one" }), &claims, |input| files.key.sign("RS256", input));
    let read = |keys: &KeySet, token: &str| introspector.read(JWT, token.as_bytes(), Some(keys), NOW).err();
    assert_eq!(read(&set("one"), &token), None);
    assert_eq!(read(&set("two"), &token), Some(Reason::KeyNotFound));
    let forged = support::token(&json!({ "alg": "RS256", "kid": "one" }), &claims, |_| vec![0; 256]);
    assert_eq!(read(&set("one"), &forged), Some(Reason::ServerAnswerInvalid));
    assert_eq!(read(&set("one"), &unsigned(json!({ "alg": "none" }), &claims)), Some(Reason::ServerAnswerInvalid));
}

#[test]
fn issuer_and_audience_are_checked_in_the_token_or_the_signed_response() {
    let demanding = Options {
        issuers: Some(vec!["https://as".into()]),
        audiences: Some(vec!["api".into(), "other".into()]),
        claims: ClaimNames::parse("sub"),
        ..options(b"a")
    };
    let introspector = Introspector::new(demanding).unwrap();
    let as_jwt = |claims: &Value| {
        introspector.read(JWT, unsigned(json!({ "alg": "RS256" }), claims).as_bytes(), None, NOW).err()
    };
    let as_json = |claims: &Value| {
        let mut claims = claims.clone();
        claims["active"] = true.into();
        introspector.read(JSON, claims.to_string().as_bytes(), None, NOW).err()
    };
    let as_signed = |claims: &Value| {
        let mut claims = claims.clone();
        claims["token_introspection"] = json!({ "active": true, "aud": "elsewhere" });
        let header = json!({ "alg": "RS256", "typ": "token-introspection+jwt" });
        introspector.read(SIGNED, unsigned(header, &claims).as_bytes(), None, NOW).err()
    };
    let server = Some(Reason::ServerAnswerInvalid);
    for (claims, of_token) in [
        (json!({ "iss": "https://as", "aud": ["x", "api"] }), None),
        (json!({ "iss": "https://other", "aud": "api" }), Some(Reason::IssuerNotAllowed)),
        (json!({ "iss": "https://as", "aud": "x" }), Some(Reason::AudienceNotAllowed)),
        (json!({ "iss": "https://as" }), server),
        (json!({ "aud": "api" }), server),
        (json!({ "iss": "https://as", "aud": 7 }), server),
    ] {
        assert_eq!(as_jwt(&claims), of_token, "{claims}");
        assert_eq!(as_json(&claims), of_token, "{claims}");
        assert_eq!(as_signed(&claims), of_token.and(server), "{claims}");
    }
    assert_eq!(introspector.read(JSON, br#"{"active":false}"#, None, NOW), Err(Reason::TokenInactive));
}

#[test]
fn plain_json_requires_a_setting_for_the_api() {
    let files = Files::new();
    let body = br#"{"active":true,"sub":"s","scope":"read"}"#;
    assert_eq!(plain().read(JSON, body, None, NOW), Err(Reason::KeyUnsupported));

    let path = files.path("private.pem");
    let signing = Options { signing_key: Some(&path), signing_key_id: Some("k1"), ..options(b"a") };
    let verdict = Introspector::new(signing).unwrap().read(JSON, body, None, NOW).unwrap();
    assert_eq!(verdict.expires_at, Some(NOW + 300));
    let token = verdict.forward.strip_prefix("Bearer ").unwrap();
    let keys = KeySet::parse(files.key.public_pem.as_bytes()).unwrap();
    let claims = verify(token.as_bytes(), &keys, &Policy::default(), NOW).unwrap().members;
    let expected = json!({ "sub": "s", "scope": "read", "iat": NOW, "exp": NOW + 300 });
    assert_eq!(Value::Object(claims), expected);

    let claims = ClaimNames::parse("sub");
    let verdict = Introspector::new(Options { claims, ..options(b"a") }).unwrap().read(JSON, body, None, NOW).unwrap();
    assert_eq!(verdict.forward, r#"{"sub":"s"}"#);
}

#[test]
fn another_configuration_or_key_gives_another_cache_name() {
    let files = Files::new();
    let (public, private) = (files.path("public.pem"), files.path("private.pem"));
    let key = |options| Introspector::new(options).unwrap().cache_key(b"token");
    let names = [
        key(options(b"a")),
        key(options(b"b")),
        key(Options { verify_key: Some(&public), ..options(b"a") }),
        key(Options { signing_key: Some(&private), ..options(b"a") }),
    ];
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{at}");
    }
    assert_eq!(plain().cache_key(b"token"), names[0]);
    assert_ne!(plain().cache_key(b"token2"), names[0]);
}

#[test]
fn an_unusable_key_file_returns_one_message() {
    let files = Files::new();
    let public = files.path("public.pem");
    for options in [
        Options { verify_key: Some(Path::new("/no/such/file")), ..options(b"a") },
        Options { signing_key: Some(&public), ..options(b"a") },
    ] {
        let error = Introspector::new(options).err().expect("refused");
        assert!(error.message.starts_with("the key file /"), "{error}");
    }
}

/// RFC 9449 §6.2 and RFC 8705 §3.2: what binds a token to its holder is read from every kind of answer.
#[test]
fn a_verdict_holds_what_the_token_is_bound_to() {
    let claims = Introspector::new(Options { claims: ClaimNames::parse("sub"), ..options(b"a") }).unwrap();
    let of = |media_type, body: &str| {
        claims.read(media_type, body.as_bytes(), None, NOW).map(|verdict| verdict.confirmation).unwrap()
    };
    let cnf = json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" });
    assert_eq!(of(JSON, &json!({ "active": true, "cnf": cnf }).to_string()), cnf.to_string());
    assert_eq!(of(JWT, &unsigned(json!({ "alg": "RS256" }), &json!({ "cnf": cnf }))), cnf.to_string());
    let signed = unsigned(
        json!({ "alg": "RS256", "typ": "token-introspection+jwt" }),
        &json!({ "token_introspection": { "active": true, "cnf": cnf }, "cnf": "of the answer" }),
    );
    assert_eq!(of(SIGNED, &signed), cnf.to_string());
    for (answer, text) in [
        (json!({ "active": true }), ""),
        (json!({ "active": true, "cnf": null }), ""),
        (json!({ "active": true, "cnf": 7 }), "7"),
        (json!({ "active": true, "cnf": { "jkt": "a".repeat(2000) } }), "false"),
    ] {
        assert_eq!(of(JSON, &answer.to_string()), text);
    }
}
