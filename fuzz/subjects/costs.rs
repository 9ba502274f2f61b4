//! The cost of the readers of foreign bytes: twice the text never costs more than twice the time.
//! spec/linear_spec.lua measures the readers in Lua.

use std::sync::LazyLock;
use std::time::Duration;

use route_native::credential::{bearer, from_headers};
use route_native::introspection::{ClaimNames, Introspector, Options};
use route_native::json::try_parse_object;
use route_native::jwt::Compact;
use route_native::keys::{Form, Key, Keyring};
use route_native::{border, scan};

use super::{Input, claims};

/// A name and a reader.
type Reader = (&'static str, fn(&[u8]));

const READERS: &[Reader] = &[
    ("a token in a URL", |text| {
        let mut from = 0;
        while let Some(found) = scan::token(text, from) {
            from = found.end;
        }
    }),
    ("a cookie", |text| {
        let mut from = 0;
        while let Some(found) = scan::cookie(text, b"s", from) {
            from = found.whole.end + 1;
        }
    }),
    ("a Cookie header without some", |text| {
        let mut out = vec![0; text.len() * 2];
        scan::without_cookies(text, b"s;s_login", true, &mut out);
    }),
    ("an argument", |text| {
        let mut from = 0;
        while let Some(found) = scan::argument(text, b"t", from) {
            from = found.whole.end + 1;
        }
    }),
    ("an Authorization header", |text| {
        let headers = || std::iter::once((&b"authorization"[..], text));
        let _ = (from_headers(headers()).is_ok(), bearer(headers()));
    }),
    ("a token", |text| drop(Compact::parse_within(text, usize::MAX).and_then(|token| token.unverified_claims()))),
    ("a JSON object", |text| drop(try_parse_object(text))),
    ("a key file", |text| drop(Keyring::from_texts(&[(Form::Key, text)]))),
    ("a secret", |text| drop(Key::from_short_secret(text))),
    ("a file of secrets", |text| drop(Keyring::from_texts(&[(Form::Secrets, text)]))),
    ("a published JWK Set", |text| drop(Keyring::from_texts(&[(Form::Published, text)]))),
    ("an introspection answer", |text| {
        for media_type in ["application/json", "application/jwt", "application/token-introspection+jwt"] {
            drop(INTROSPECTOR.read(media_type, text, None, super::NOW));
        }
    }),
    ("a user name", |text| _ = border::login_name::digest_of(text)),
    ("a local path", |text| _ = border::redirect::is_local_path(text)),
    ("claims in Lua", |text| {
        // The library checks a text before Lua reads it.
        if try_parse_object(text).is_ok() {
            drop(claims::call::<mlua::Value>("again", text_of(text)));
            drop(claims::call::<mlua::Value>("header", text_of(text)));
        }
    }),
];

fn text_of(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

static INTROSPECTOR: LazyLock<Introspector> = LazyLock::new(|| {
    let options = Options {
        identity: b"costs",
        verify_key: None,
        issuers: None,
        audiences: None,
        signing_key: None,
        signing_key_id: None,
        claims: ClaimNames::parse("claim"),
        lifetime: 300,
    };
    Introspector::new(options).expect("an introspector")
});

const PIECES: &[&str] = &[
    "{\"claim\":[",
    "{\"keys\":[",
    "1,",
    "{},",
    "\"",
    "]}",
    "9007199254740993,",
    "{\"kty\":\"oct\",\"k\":\"AAAA\"},",
    "%25",
    "%2E",
    "aaaaaaaaaaaaaaaa.",
    "token=",
    "s=1;",
    "t=1&",
    "=",
    ";",
    " ",
    "\\",
    "&#38;",
    "-----BEGIN PUBLIC KEY-----\n",
    "-----END PUBLIC KEY-----\n",
    "kty",
    "0123456789abcdef",
    "MIIB",
    "\n",
    "Bearer ",
    "[",
    "{\"a\":",
    ",",
    "\u{fdfa}",
];

const SMALL: usize = 1 << 11;
const LARGE: usize = SMALL * 32;
/// Linear work grows 32 times from the small text to the large one, quadratic work 1,024 times. The limit is far from
/// both.
const LIMIT: u32 = 256;
/// A shorter time delays no other request, and is noise.
const FLOOR: Duration = Duration::from_micros(500);

/// Measures a reader with a text that repeats a piece between a beginning and an end.
pub fn costs(input: &[u8]) {
    let mut input = Input(input);
    let (name, read) = READERS[input.below(READERS.len())];
    let (before, piece) = (input.below(4), input.below(6) + 1);
    let (before, piece, after) = (input.text(PIECES, before), input.text(PIECES, piece), input.text(PIECES, 4));
    if piece.is_empty() {
        return;
    }
    let text = |size: usize| [&before, &piece.repeat(size / piece.len() + 1), &after[..]].concat();
    // Noise does not repeat.
    let grows = || {
        let large = cost(read, &text(LARGE), 2);
        large > FLOOR && large > cost(read, &text(SMALL), 5).max(Duration::from_nanos(500)) * LIMIT
    };
    assert!(!(0..4).all(|_| grows()), "{name}: the cost of {piece:?} between {before:?} and {after:?} is not linear");
}

/// Returns the least processor time of several calls, which other load on the machine does not change.
fn cost(read: fn(&[u8]), text: &[u8], times: usize) -> Duration {
    let once = || {
        let start = processor_time();
        read(text);
        processor_time().saturating_sub(start)
    };
    (0..times).map(|_| once()).min().unwrap_or_default()
}

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

/// Returns the processor time of this thread.
fn processor_time() -> Duration {
    const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: the pointer is valid for the call, and the struct is that of 64-bit Linux.
    assert_eq!(unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0, "a clock of the thread");
    Duration::new(time.seconds as u64, time.nanoseconds as u32)
}
