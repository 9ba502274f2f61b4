//! Answers of authorization servers: src/introspection.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use route_native::introspection::{ClaimNames, Introspector, Options, Verdict, malformed_member};

use super::json::{self, Json, keeps_digits};
use super::{Input, NOW, edited};

static INTROSPECTOR: LazyLock<Introspector> = LazyLock::new(|| {
    let options = Options {
        identity: b"fuzz",
        verify_key: None,
        issuers: None,
        audiences: None,
        signing_key: None,
        signing_key_id: None,
        claims: ClaimNames::parse("sub\nid"),
        lifetime: 300,
    };
    Introspector::new(options).expect("an introspector")
});

const TYPES: &[&str] = &[
    "application/json",
    "application/jwt",
    "application/token-introspection+jwt",
    "Application/JSON; charset=utf-8",
    "",
    "text/plain",
];
const MEMBERS: &[&str] = &[
    r#""active":true"#,
    r#""active":true"#,
    r#""active":false"#,
    r#""active":"true""#,
    r#""exp":1700000300"#,
    r#""exp":1600000000"#,
    r#""exp":null"#,
    r#""exp":"1700000300""#,
    r#""exp":1700000300000"#,
    r#""nbf":1600000000"#,
    r#""nbf":1800000000.5"#,
    r#""scope":"read write""#,
    r#""scope":["read"]"#,
    r#""scope":null"#,
    r#""scp":"a b""#,
    r#""scp":[1]"#,
    r#""sub":"ada""#,
    r#""iss":"x""#,
    r#""aud":["a","b"]"#,
    r#""id":9007199254740993"#,
    r#""id":1e20"#,
];

/// Checks that an answer's order of members does not matter, that a name twice is refused in either order, that a claim
/// has the digits of the answer, and that any other text is read without a panic.
pub fn introspection(input: &[u8]) {
    let mut input = Input(input);
    match input.below(4) {
        0 => {
            let media_type = input.pick(TYPES);
            let _ = read(media_type, input.rest());
        }
        1 => {
            let media_type = input.pick(TYPES);
            let text = written(media_type, "\"active\":true,\"scope\":\"read\",\"exp\":1700000300,\"sub\":\"ada\"");
            let _ = read(media_type, &edited(text.as_bytes(), &mut input));
        }
        2 => check_digits(&mut input),
        _ => check_order(&mut input),
    }
}

fn read(media_type: &str, body: &[u8]) -> Option<Verdict> {
    let verdict = INTROSPECTOR.read(media_type, body, None, NOW);
    // A verdict of another time differs in nothing but the times.
    let later = INTROSPECTOR.read(media_type, body, None, NOW);
    assert_eq!(verdict, later);
    let malformed = malformed_member(media_type, body);
    verdict.ok().inspect(|_| assert_eq!(malformed, None, "an answer that is read has no malformed member"))
}

/// Returns the answer of a media type with those members.
fn written(media_type: &str, members: &str) -> String {
    let of = |header: &str, payload: &str| {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    };
    match media_type {
        "application/jwt" => of(r#"{"alg":"RS256"}"#, &format!("{{{members}}}")),
        "application/token-introspection+jwt" => of(
            r#"{"alg":"RS256","typ":"token-introspection+jwt"}"#,
            &format!(r#"{{"token_introspection":{{{members}}}}}"#),
        ),
        _ => format!("{{{members}}}"),
    }
}

fn check_order(input: &mut Input) {
    let media_type = input.pick(TYPES);
    let mut members: Vec<_> = (0..input.below(6) + 1).map(|_| *input.pick(MEMBERS)).collect();
    let of =
        |members: &[&str]| INTROSPECTOR.read(media_type, written(media_type, &members.join(",")).as_bytes(), None, NOW);
    let first = of(&members);
    members.reverse();
    assert_eq!(first, of(&members), "the verdict depends on the order of {members:?}");
    let name = |member: &&str| member.split(':').next().map(str::to_owned);
    let is_twice =
        members.iter().enumerate().any(|(at, member)| members[..at].iter().any(|one| name(one) == name(member)));
    assert!(!is_twice || first.is_err(), "a name is read that is there twice: {members:?}");
}

fn check_digits(input: &mut Input) {
    let media_type = TYPES[input.below(3)];
    let id = match input.byte() & 1 {
        0 => Json::Number(json::number(input)),
        _ => json::value(input, 3),
    };
    let members = format!(r#""active":true,"id":{}"#, id.write(false));
    let Some(verdict) = read(media_type, written(media_type, &members).as_bytes()) else {
        assert!(!id.is_short(), "an answer with {members} is refused");
        return;
    };
    let Json::Object(forwarded) = Json::parse(&verdict.forward) else { panic!("an object: {}", verdict.forward) };
    let found = forwarded.iter().find(|(name, _)| name == "id").map(|(_, value)| value);
    let is_kept = match (&id, found) {
        (Json::Null, None) => true,
        (Json::List(items), None) => items.is_empty(),
        (Json::Object(members), None) => members.is_empty(),
        (Json::List(items), Some(Json::List(texts))) => {
            let items: Vec<_> = items.iter().filter(|item| !is_left_out(item)).collect();
            items.len() == texts.len() && items.iter().zip(texts).all(|(item, text)| is_text_of(item, text))
        }
        (id, Some(text)) => is_text_of(id, text),
        _ => false,
    };
    assert!(is_kept, "{members} became {}", verdict.forward);
}

fn is_left_out(item: &Json) -> bool {
    match item {
        Json::Null => true,
        Json::List(items) => items.is_empty(),
        Json::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Returns whether a text is what a claim becomes.
fn is_text_of(claim: &Json, text: &Json) -> bool {
    let Json::Text(text) = text else { return false };
    match claim {
        Json::Number(signed) => keeps_digits(signed, text),
        Json::Text(claim) => claim == text,
        Json::Bool(value) => value.to_string() == *text,
        claim => claim.is_kept_in(&Json::parse(text), false),
    }
}
