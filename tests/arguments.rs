//! Invalid arguments of the C ABI: null pointers and impossible values return a status and never crash.

mod support;

use std::os::unix::ffi::OsStrExt as _;
use std::ptr::{null, null_mut};
use std::{fs, mem, slice};

use route_native::error::Reason;
use route_native::ffi::*;
use serde_json::json;
use support::*;

const INVALID: i32 = Reason::InvalidArgument as i32;
/// The identity of a token without names.
const NO_NAMES: [u8; 16] = [0xff; 16];

/// A handle of a gateway, which is released on drop.
struct Handle(*mut rn_gateway);

impl Handle {
    fn get(&self) -> Option<&rn_gateway> {
        // SAFETY: the handle lives until it is dropped.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: `rn_gateway_new` returned it, and only this releases it.
        rn_gateway_free(Some(unsafe { Box::from_raw(self.0) }));
    }
}

/// Returns options in which every pointer is null and every number 0.
fn empty_options() -> rn_gateway_options {
    rn_gateway_options {
        payload_key: null(),
        payload_key_length: 0,
        padding: null(),
        padding_length: 0,
        suffix: null(),
        suffix_length: 0,
        cache_entries: 0,
    }
}

fn empty_answer() -> rn_answer {
    rn_answer {
        token: null(),
        token_length: 0,
        target_length: 0,
        ttl: 0,
        is_name: 0,
        has_another: 0,
        has_protocol: 0,
        fingerprint: [0; RN_FINGERPRINT_BYTES],
        tag: [0; RN_TAG_BYTES],
        target: [0; RN_TARGET_BYTES],
    }
}

/// A policy with its defaults, which is released on drop.
struct PolicyHandle(*mut rn_policy);

impl PolicyHandle {
    fn new() -> Self {
        let mut policy = null_mut();
        // SAFETY: the text has two bytes, and the outputs are writable.
        let status = unsafe { rn_policy_new(b"{}".as_ptr(), 2, Some(&mut policy), null_mut(), 0, Some(&mut 0)) };
        assert_eq!(status, 0);
        PolicyHandle(policy)
    }

    fn get(&self) -> Option<&rn_policy> {
        // SAFETY: the handle lives until it is dropped.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for PolicyHandle {
    fn drop(&mut self) {
        // SAFETY: `rn_policy_new` returned it, and only this releases it.
        rn_policy_free(Some(unsafe { Box::from_raw(self.0) }));
    }
}

fn open(options: &rn_gateway_options) -> Result<Handle, (i32, String)> {
    let (mut handle, mut error, mut length) = (null_mut(), [0u8; 512], 0);
    let policy = PolicyHandle::new();
    // SAFETY: the options' texts and the outputs outlive the call.
    let status = unsafe {
        rn_gateway_new(
            Some(options),
            policy.get(),
            Some(&mut handle),
            error.as_mut_ptr(),
            error.len(),
            Some(&mut length),
        )
    };
    if status == 0 {
        return Ok(Handle(handle));
    }
    assert!(handle.is_null());
    Err((status, String::from_utf8_lossy(&error[..length]).into_owned()))
}

fn gateway() -> Handle {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let payload = directory.path().join("payload");
    fs::write(&payload, &stranger().private_pem).expect("the key can be written");
    let payload = payload.as_os_str().as_bytes();
    let options = rn_gateway_options {
        payload_key: payload.as_ptr(),
        payload_key_length: payload.len(),
        cache_entries: 10,
        ..empty_options()
    };
    let gateway = open(&options).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(use_keys(&gateway, &signer().public_pem), 1);
    gateway
}

/// Makes a gateway use the keys of a text. Returns what it writes to `changed`.
fn use_keys(gateway: &Handle, text: &str) -> u32 {
    let (mut keys, mut changed) = (null_mut(), 7);
    let text = rn_key_text { form: RN_KEY_FORM_PUBLIC, data: text.as_ptr(), length: text.len() };
    // SAFETY: the text outlives the call, the outputs are writable, and the keys are released once, at the end.
    unsafe {
        assert_eq!(rn_keys_new(&raw const text, 1, Some(&mut keys), null_mut(), 0, Some(&mut 0)), 0);
        assert_eq!(rn_gateway_use_keys(gateway.get(), keys.as_ref(), Some(&mut changed)), 0);
        rn_keys_free(Some(Box::from_raw(keys)));
    }
    changed
}

fn good_token() -> String {
    let hash = stranger().encrypt("pkcs1v15", b"pod");
    signer().token("RS256", &merged(claims(), json!({ "hash": hash })))
}

fn lookup(gateway: &Handle, headers: &[rn_header], answer: &mut rn_answer) -> i32 {
    // SAFETY: the handle is live, the headers outlive the call, and the answer is writable.
    unsafe { rn_gateway_lookup(gateway.get(), headers.as_ptr(), headers.len(), NOW, Some(answer)) }
}

fn header(name: &str, data: *const u8, length: i32) -> rn_header {
    let name_length = i32::try_from(name.len()).expect("a short name");
    rn_header { name: rn_string { length: name_length, data: name.as_ptr() }, value: rn_string { length, data } }
}

#[test]
fn a_null_pointer_is_an_invalid_argument() {
    let gateway = gateway();
    let (g, n, t) = (gateway.get(), 0usize, b"t".as_ptr());
    let (mut answer, mut bytes, mut length) = (empty_answer(), [0u8; 64], 0usize);
    let (a, b, l) = (&raw mut answer, bytes.as_mut_ptr(), &raw mut length);
    let policy = PolicyHandle::new();
    let p = policy.get();
    // SAFETY: pointers are null or valid for their length. The test is that null is refused.
    let statuses = unsafe {
        [
            rn_reason_name(100, b, 64, None),
            rn_reason_name(100, null_mut(), 64, l.as_mut()),
            rn_gateway_new(None, p, Some(&mut null_mut()), b, 64, l.as_mut()),
            rn_gateway_new(Some(&empty_options()), None, Some(&mut null_mut()), b, 64, l.as_mut()),
            rn_gateway_new(Some(&empty_options()), p, None, b, 64, l.as_mut()),
            rn_gateway_new(Some(&empty_options()), p, Some(&mut null_mut()), b, 64, None),
            rn_gateway_new(Some(&empty_options()), p, Some(&mut null_mut()), null_mut(), 64, l.as_mut()),
            rn_gateway_use_keys(None, None, Some(&mut 0)),
            rn_gateway_use_keys(g, None, Some(&mut 0)),
            rn_gateway_lookup(None, null(), n, NOW, a.as_mut()),
            rn_gateway_lookup(g, null(), 1, NOW, a.as_mut()),
            rn_gateway_lookup(g, null(), n, NOW, None),
            rn_gateway_lookup_token(None, t, 1, NOW, a.as_mut()),
            rn_gateway_lookup_token(g, null(), 1, NOW, a.as_mut()),
            rn_gateway_lookup_token(g, t, 1, NOW, None),
            rn_gateway_resolve(None, t, 1, NOW, a.as_mut()),
            rn_gateway_resolve(g, null(), 1, NOW, a.as_mut()),
            rn_gateway_resolve(g, t, 1, NOW, None),
            rn_gateway_check(None, t, 1, NOW, a.as_mut(), b, 64, l.as_mut(), b, 64, Some(&mut 0)),
            rn_gateway_check(g, null(), 1, NOW, a.as_mut(), b, 64, l.as_mut(), b, 64, Some(&mut 0)),
            rn_gateway_check(g, t, 1, NOW, None, b, 64, l.as_mut(), b, 64, Some(&mut 0)),
            rn_gateway_remember(None, a.as_mut(), t, 1, NO_NAMES.as_ptr(), 16, NOW, 1),
            rn_gateway_remember(g, None, t, 1, NO_NAMES.as_ptr(), 16, NOW, 1),
            rn_gateway_remember(g, a.as_mut(), null(), 1, NO_NAMES.as_ptr(), 16, NOW, 1),
            rn_gateway_shared_key(None, a.as_mut(), b),
            rn_gateway_shared_key(g, None, b),
            rn_gateway_shared_key(g, a.as_mut(), null_mut()),
            rn_encryption_keys_new(0, null(), 1, Some(&mut null_mut()), b, 64, l.as_mut()),
            rn_encryption_keys_new(0, t, 1, None, b, 64, l.as_mut()),
            rn_encryption_keys_new(2, t, 1, Some(&mut null_mut()), b, 64, l.as_mut()),
            rn_jwe_decrypt(None, t, 1, b, 64, None),
            rn_jwe_encrypt(None, t, 1, t, 1, b, 64, l.as_mut()),
            rn_token_fingerprint(null(), 1, b),
            rn_token_fingerprint(t, 1, null_mut()),
            rn_gateway_verify(None, t, 1, NOW, b, 64, l.as_mut()),
            rn_gateway_verify(g, null(), 1, NOW, b, 64, l.as_mut()),
            rn_gateway_decrypt(None, t, 1, b, 64, l.as_mut()),
            rn_gateway_decrypt(g, null(), 1, b, 64, l.as_mut()),
        ]
    };
    for (at, status) in statuses.into_iter().enumerate() {
        assert_eq!(status, INVALID, "call {at}");
    }
}

#[test]
fn a_null_handle_is_released_without_effect_and_has_no_entries() {
    rn_gateway_free(None);
    rn_encryption_keys_free(None);
    assert_eq!(rn_gateway_cached_entries(None), 0);
}

/// An impossible length must be refused before a slice is created, which would be undefined behaviour.
#[test]
fn an_impossible_length_is_an_invalid_argument() {
    let gateway = gateway();
    let (g, t) = (gateway.get(), b"t".as_ptr());
    let (mut answer, mut bytes) = (empty_answer(), [0u8; 64]);
    for length in [usize::MAX, isize::MAX as usize + 1] {
        // SAFETY: the length is wrong. The test is that no memory of that length is read.
        let statuses = unsafe {
            [
                rn_gateway_lookup_token(g, t, length, NOW, Some(&mut answer)),
                rn_gateway_resolve(g, t, length, NOW, Some(&mut answer)),
                rn_gateway_lookup(g, null::<rn_header>().wrapping_add(1), length / 16, NOW, Some(&mut answer)),
                rn_token_fingerprint(t, length, bytes.as_mut_ptr()),
                rn_gateway_decrypt(g, t, length, bytes.as_mut_ptr(), 64, Some(&mut 0)),
            ]
        };
        assert_eq!(statuses, [INVALID; 5], "{length}");
    }
}

#[test]
fn a_header_with_a_negative_length_or_no_bytes_reads_as_empty() {
    let gateway = gateway();
    for (data, length) in [(null(), 5), (b"x".as_ptr(), -1), (b"x".as_ptr(), i32::MIN), (null(), 0)] {
        let status = lookup(&gateway, &[header("Authorization", data, length)], &mut empty_answer());
        assert_eq!(status, Reason::TokenMissing.code(), "{length}");
    }
    let nameless = rn_header {
        name: rn_string { length: i32::MIN, data: null() },
        value: rn_string { length: 1, data: b"x".as_ptr() },
    };
    assert_eq!(lookup(&gateway, &[nameless], &mut empty_answer()), Reason::TokenMissing.code());
    assert_eq!(lookup(&gateway, &[], &mut empty_answer()), Reason::TokenMissing.code());
}

#[test]
fn any_time_is_accepted() {
    let gateway = gateway();
    let token = good_token();
    for now in [i64::MIN, -1, 0, i64::MAX] {
        let mut answer = empty_answer();
        // SAFETY: the handle is live, the token has that length, and the answer is writable.
        let (resolved, remembered, found) = unsafe {
            (
                rn_gateway_resolve(gateway.get(), token.as_ptr(), token.len(), now, Some(&mut answer)),
                rn_gateway_remember(
                    gateway.get(),
                    Some(&mut answer),
                    b"pod".as_ptr(),
                    3,
                    NO_NAMES.as_ptr(),
                    16,
                    now,
                    u32::MAX,
                ),
                rn_gateway_lookup_token(gateway.get(), token.as_ptr(), token.len(), now, Some(&mut answer)),
            )
        };
        let expected = if now == i64::MAX { Reason::TokenExpired } else { Reason::TokenNotYetValid };
        assert_eq!((resolved, remembered, found), (expected.code(), 0, Reason::NotCached.code()), "{now}");
    }
}

#[test]
fn a_target_that_is_no_host_name_is_not_cached() {
    let gateway = gateway();
    let long = [b'a'; 254];
    for target in [&long[..], b"caf\xe9", b"127.0.0.1:22", b"a/../b", b"a\r\nb", b""] {
        // SAFETY: the handle is live, and the texts have these lengths.
        let status = unsafe {
            rn_gateway_remember(
                gateway.get(),
                Some(&mut empty_answer()),
                target.as_ptr(),
                target.len(),
                NO_NAMES.as_ptr(),
                16,
                NOW,
                60,
            )
        };
        assert_eq!(status, INVALID, "{:?}", String::from_utf8_lossy(target));
    }
    assert_eq!(rn_gateway_cached_entries(gateway.get()), 0);
}

#[test]
fn the_result_of_another_worker_is_found_only_by_its_token() {
    let gateway = gateway();
    let (mut answer, mut key) = (empty_answer(), [0u8; 32]);
    let find = |token: &[u8], answer: &mut rn_answer| {
        // SAFETY: the handle is live, the token has that length, and the answer is writable.
        unsafe { rn_gateway_lookup_token(gateway.get(), token.as_ptr(), token.len(), NOW, Some(answer)) }
    };
    assert_eq!(find(b"other", &mut answer), Reason::NotCached.code());
    assert_eq!(find(b"abc", &mut answer), Reason::NotCached.code());
    // SAFETY: the lookup has written the answer, and the key has 32 bytes.
    let statuses = unsafe {
        [
            rn_gateway_shared_key(gateway.get(), Some(&mut answer), key.as_mut_ptr()),
            rn_gateway_remember(gateway.get(), Some(&mut answer), b"pod".as_ptr(), 3, NO_NAMES.as_ptr(), 16, NOW, 60),
        ]
    };
    assert_eq!(statuses, [0, 0]);
    assert_eq!((&answer.fingerprint, &answer.target[..3], answer.is_name), (b"ba7816bf8f01", &b"pod"[..], 1));
    let mut found = empty_answer();
    assert_eq!(find(b"abc", &mut found), 0);
    assert_eq!((&found.fingerprint, &found.target[..3], found.is_name), (b"ba7816bf8f01", &b"pod"[..], 1));
    assert_eq!(find(b"other", &mut found), Reason::NotCached.code());
}

#[test]
fn a_buffer_that_is_too_small_stays_unchanged_and_the_needed_size_is_returned() {
    let gateway = gateway();
    let token = signer().token("RS256", &claims());
    let hash = stranger().encrypt("pkcs1v15", b"pod.example");
    let (g, claims) = (gateway.get(), claims().to_string());
    for (expected, call) in [
        (
            claims.as_str(),
            // SAFETY: the buffer has that capacity.
            &(|out, capacity, length: &mut usize| unsafe {
                rn_gateway_verify(g, token.as_ptr(), token.len(), NOW, out, capacity, Some(length))
            }) as &dyn Fn(*mut u8, usize, &mut usize) -> i32,
        ),
        (
            "pod.example",
            // SAFETY: the buffer has that capacity.
            &|out, capacity, length: &mut usize| unsafe {
                rn_gateway_decrypt(g, hash.as_ptr(), hash.len(), out, capacity, Some(length))
            },
        ),
        (
            "token_expired",
            // SAFETY: the buffer has that capacity.
            &|out, capacity, length: &mut usize| unsafe { rn_reason_name(109, out, capacity, Some(length)) },
        ),
    ] {
        let mut length = 0;
        assert_eq!(call(null_mut(), 0, &mut length), Reason::BufferTooSmall.code());
        assert_eq!(length, expected.len());
        let mut buffer = vec![0x55u8; length];
        assert_eq!(call(buffer.as_mut_ptr(), length - 1, &mut length), Reason::BufferTooSmall.code());
        assert!(buffer.iter().all(|byte| *byte == 0x55));
        assert_eq!(call(buffer.as_mut_ptr(), buffer.len(), &mut length), 0);
        assert_eq!(buffer, expected.as_bytes());
    }
}

#[test]
fn cookies_and_arguments_are_found_within_their_lengths() {
    let text = b"a=1; __Host-s=2&s=3";
    let mut found = rn_found { is_there: 7, value_start: 0, value_end: 0, start: 0, stop: 0 };
    let (t, n) = (text.as_ptr(), text.len());
    // SAFETY: pointers are null or valid for their length, and so are the outputs.
    unsafe {
        for find in [rn_cookie_find, rn_argument_find] {
            assert_eq!(find(null(), 1, t, 1, 0, Some(&mut found)), INVALID);
            assert_eq!(find(t, n, null(), 1, 0, Some(&mut found)), INVALID);
            assert_eq!(find(t, n, t, 1, 0, None), INVALID);
            assert_eq!(find(t, usize::MAX, t, 1, 0, Some(&mut found)), INVALID);
            assert_eq!(find(null(), 0, null(), 0, usize::MAX, Some(&mut found)), 0);
            assert_eq!(find(t, n, t, 1, n + 1, Some(&mut found)), 0);
            assert_eq!(found.is_there, 0);
        }
        assert_eq!(rn_cookie_find(t, n, t, 1, 0, Some(&mut found)), 0);
        assert_eq!((found.is_there, found.value_start, found.value_end, found.start, found.stop), (1, 2, 3, 0, 3));
        assert_eq!(rn_argument_find(t, n, b"s".as_ptr(), 1, 0, Some(&mut found)), 0);
        assert_eq!((found.is_there, found.value_start, found.value_end, found.start, found.stop), (1, 18, 19, 16, 19));
        let named = b"?token=0123456789abcdef&a";
        assert_eq!(rn_token_scan(null(), 1, 0, Some(&mut found)), INVALID);
        assert_eq!(rn_token_scan(named.as_ptr(), usize::MAX, 0, Some(&mut found)), INVALID);
        assert_eq!(rn_token_scan(named.as_ptr(), named.len(), 0, None), INVALID);
        assert_eq!(rn_token_scan(named.as_ptr(), named.len(), 0, Some(&mut found)), 0);
        assert_eq!((found.is_there, found.start, found.stop), (1, 7, 23));
        assert_eq!(rn_token_scan(named.as_ptr(), named.len(), 23, Some(&mut found)), 0);
        assert_eq!(found.is_there, 0);

        let (mut rest, mut length) = ([0x55u8; 8], 0);
        let without = |header, prefix, out, capacity, length: Option<&mut usize>| {
            rn_cookies_without(header, n, b"s".as_ptr(), 1, prefix, out, capacity, length)
        };
        assert_eq!(without(null(), 1, rest.as_mut_ptr(), 8, Some(&mut length)), INVALID);
        assert_eq!(without(t, 1, null_mut(), 8, Some(&mut length)), INVALID);
        assert_eq!(without(t, 1, rest.as_mut_ptr(), usize::MAX, Some(&mut length)), INVALID);
        assert_eq!(without(t, 1, rest.as_mut_ptr(), 8, None), INVALID);
        assert_eq!(without(t, 1, null_mut(), 0, Some(&mut length)), Reason::BufferTooSmall.code());
        assert_eq!(length, 3);
        assert_eq!(without(t, 0, rest.as_mut_ptr(), 8, Some(&mut length)), Reason::BufferTooSmall.code());
        assert_eq!(length, n);
        rest = [0x55; 8];
        assert_eq!(without(t, 1, rest.as_mut_ptr(), 3, Some(&mut length)), 0);
        assert_eq!((&rest, length), (b"a=1\x55\x55\x55\x55\x55", 3));
    }
}

/// A private key does what a private key does, and every missing or unknown argument is a status.
#[test]
fn the_half_of_an_rsa_key_that_a_call_needs_is_checked() {
    let (private, public) = (&signer().private_pem, &signer().public_pem);
    let parse = |is_private, padding, text: &str| {
        let (mut key, mut error, mut length) = (null_mut(), [0u8; RN_ERROR_BYTES], 0);
        let (data, out) = (text.as_ptr(), error.as_mut_ptr());
        // SAFETY: the text has that length, and the outputs are writable.
        let status = unsafe {
            rn_rsa_new(is_private, padding, data, text.len(), Some(&mut key), out, RN_ERROR_BYTES, Some(&mut length))
        };
        // SAFETY: on 0 the call has made the handle.
        (status, (status == 0).then(|| unsafe { Box::from_raw(key) }))
    };
    assert_eq!(parse(1, RN_RSA_PKCS1, public).0, Reason::KeyUnsupported.code());
    assert_eq!(parse(0, RN_RSA_PKCS1, private).0, Reason::KeyUnsupported.code());
    for padding in [0, 2, 3, 5, u32::MAX] {
        assert_eq!(parse(1, padding, private).0, INVALID, "{padding}");
    }
    let (private, public) = (parse(1, RN_RSA_OAEP, private).1, parse(0, RN_RSA_OAEP, public).1);
    let (mut out, mut length, text) = ([0u8; RN_RSA_BYTES], 0, [7u8; 300]);
    let (private, public, data) = (private.as_deref(), public.as_deref(), text.as_ptr());
    for key in [None, private] {
        // SAFETY: the text and the buffer have these lengths.
        let status = unsafe { rn_rsa_encrypt(key, data, 1, out.as_mut_ptr(), out.len(), Some(&mut length)) };
        assert_eq!(status, INVALID);
        // SAFETY: the texts have these lengths.
        assert_eq!(unsafe { rn_rsa_verify(key, 256, data, 1, data, 1) }, INVALID);
    }
    for key in [None, public] {
        // SAFETY: the text and the buffer have these lengths.
        let status = unsafe { rn_rsa_decrypt(key, data, 256, out.as_mut_ptr(), out.len(), Some(&mut length)) };
        assert_eq!(status, INVALID);
        // SAFETY: the text and the buffer have these lengths.
        let status = unsafe { rn_rsa_sign(key, 256, data, 1, out.as_mut_ptr(), out.len(), Some(&mut length)) };
        assert_eq!(status, INVALID);
    }
    for hash in [0, 1, 224, u32::MAX] {
        // SAFETY: the text and the buffer have these lengths.
        let status = unsafe { rn_rsa_sign(private, hash, data, 1, out.as_mut_ptr(), out.len(), Some(&mut length)) };
        assert_eq!(status, INVALID, "{hash}");
    }
    // SAFETY: the text and the buffer have these lengths.
    unsafe {
        assert_eq!(rn_rsa_encrypt(public, data, 300, out.as_mut_ptr(), out.len(), Some(&mut length)), INVALID);
        assert_eq!(rn_rsa_encrypt(public, null(), 1, out.as_mut_ptr(), out.len(), Some(&mut length)), INVALID);
        let status = rn_rsa_encrypt(public, data, 1, out.as_mut_ptr(), 8, Some(&mut length));
        assert_eq!((status, length), (Reason::BufferTooSmall.code(), 256));
        assert_eq!(rn_rsa_verify(public, 256, data, 1, data, 256), Reason::SignatureInvalid.code());
        let status = rn_rsa_decrypt(private, data, 256, out.as_mut_ptr(), out.len(), Some(&mut length));
        assert_eq!(status, Reason::DecryptionFailed.code());
    }
}

#[test]
fn an_unknown_status_has_no_name() {
    for status in [0, -1, 5, 99, i32::MIN, i32::MAX] {
        // SAFETY: the buffer has that capacity.
        assert_eq!(unsafe { rn_reason_name(status, [0u8; 64].as_mut_ptr(), 64, Some(&mut 0)) }, INVALID, "{status}");
    }
}

#[test]
fn invalid_options_return_one_message() {
    let file = b"/nonexistent/key";
    let named = || rn_gateway_options { payload_key: file.as_ptr(), payload_key_length: file.len(), ..empty_options() };
    let bad = b"caf\xe9";
    for (options, reason, expected) in [
        (empty_options(), Reason::KeyUnreadable, "the key file  cannot be read"),
        (named(), Reason::KeyUnreadable, "the key file /nonexistent/key cannot be read"),
        (
            rn_gateway_options { payload_key_length: 7, ..empty_options() },
            Reason::SettingInvalid,
            "a text of the options is null",
        ),
        (
            rn_gateway_options { padding: bad.as_ptr(), padding_length: bad.len(), ..named() },
            Reason::SettingInvalid,
            "a text of the options is not UTF-8",
        ),
        (
            rn_gateway_options { padding: file.as_ptr(), padding_length: file.len(), ..named() },
            Reason::SettingInvalid,
            "payload_padding must be pkcs1v15, oaep-sha1 or oaep-sha256",
        ),
        (
            rn_gateway_options { suffix: file.as_ptr(), suffix_length: file.len(), ..named() },
            Reason::SettingInvalid,
            "target_suffix must be a host name",
        ),
    ] {
        let (status, message) = open(&options).err().expect("the options are refused");
        assert_eq!(status, reason.code(), "{message}");
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_message_is_truncated_to_its_buffer() {
    let (mut handle, mut error, mut length) = (null_mut(), [0x55u8; 16], 0);
    let policy = PolicyHandle::new();
    // SAFETY: the outputs are valid for their lengths.
    let status = unsafe {
        rn_gateway_new(
            Some(&empty_options()),
            policy.get(),
            Some(&mut handle),
            error.as_mut_ptr(),
            8,
            Some(&mut length),
        )
    };
    assert_eq!((status, length), (Reason::KeyUnreadable.code(), 8));
    assert_eq!(&error[..9], b"the key \x55");
}

#[test]
fn other_signing_keys_end_all_cached_answers_and_the_same_keys_none() {
    let gateway = gateway();
    let token = good_token();
    let (mut answer, mut before, mut after) = (empty_answer(), [0u8; 32], [0u8; 32]);
    let lookup = |answer: &mut rn_answer| {
        // SAFETY: the handle is live, the token has that length, and the answer is writable.
        unsafe { rn_gateway_lookup_token(gateway.get(), token.as_ptr(), token.len(), NOW, Some(answer)) }
    };
    let shared_key = |answer: &mut rn_answer, key: &mut [u8; 32]| {
        assert_eq!(lookup(answer), Reason::NotCached.code());
        // SAFETY: the lookup has written the answer, and the key has 32 bytes.
        assert_eq!(unsafe { rn_gateway_shared_key(gateway.get(), Some(answer), key.as_mut_ptr()) }, 0);
    };
    let resolve = |answer: &mut rn_answer| {
        // SAFETY: the handle is live, the token has that length, and the answer is writable.
        unsafe { rn_gateway_resolve(gateway.get(), token.as_ptr(), token.len(), NOW, Some(answer)) }
    };
    shared_key(&mut answer, &mut before);
    assert_eq!((resolve(&mut answer), lookup(&mut answer)), (0, 0));
    assert_eq!((use_keys(&gateway, &signer().public_pem), lookup(&mut answer)), (0, 0));
    // The token's own key is gone: neither cache may answer for it.
    assert_eq!(use_keys(&gateway, &stranger().public_pem), 1);
    shared_key(&mut answer, &mut after);
    assert_ne!(before, after);
    assert_eq!(resolve(&mut answer), Reason::SignatureInvalid.code());
    // Also not when the key comes back, because what happened in between is not known.
    assert_eq!((use_keys(&gateway, &signer().public_pem), lookup(&mut answer)), (1, Reason::NotCached.code()));
    shared_key(&mut answer, &mut after);
    assert_eq!(before, after);
}

#[test]
fn a_gateway_without_signing_keys_blames_no_token() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let payload = directory.path().join("payload");
    fs::write(&payload, &stranger().private_pem).expect("the key can be written");
    let payload = payload.as_os_str().as_bytes();
    let options =
        rn_gateway_options { payload_key: payload.as_ptr(), payload_key_length: payload.len(), ..empty_options() };
    let gateway = open(&options).unwrap_or_else(|error| panic!("{error:?}"));
    let token = good_token();
    // SAFETY: the handle is live, the token has that length, and the answer is writable.
    let status =
        unsafe { rn_gateway_resolve(gateway.get(), token.as_ptr(), token.len(), NOW, Some(&mut empty_answer())) };
    assert_eq!(status, Reason::KeyUnreadable.code());
}

#[test]
fn a_hit_returns_the_same_answer_as_the_resolution() {
    let gateway = gateway();
    let token = good_token();
    let headers = [header("authorization", token.as_ptr(), i32::try_from(token.len()).expect("a short token"))];
    let (mut miss, mut resolved, mut hit) = (empty_answer(), empty_answer(), empty_answer());
    assert_eq!(lookup(&gateway, &headers, &mut miss), Reason::NotCached.code());
    // SAFETY: on NotCached the answer points to the token within the headers.
    let place = unsafe { slice::from_raw_parts(miss.token, miss.token_length as usize) };
    assert_eq!(place, token.as_bytes());
    // SAFETY: the handle is live, the token has that length, and the answer is writable.
    let status = unsafe { rn_gateway_resolve(gateway.get(), place.as_ptr(), place.len(), NOW, Some(&mut resolved)) };
    assert_eq!((status, resolved.ttl), (0, 600));
    assert_eq!(lookup(&gateway, &headers, &mut hit), 0);
    for answer in [&resolved, &hit] {
        assert_eq!(&answer.target[..answer.target_length as usize], b"pod");
        assert_eq!(answer.fingerprint, route_native::credential::fingerprint(token.as_bytes()));
    }
}

/// Lua and C read these fields by their offsets.
#[test]
fn the_structs_have_the_layout_of_nginx_and_the_declarations() {
    assert_eq!(mem::size_of::<rn_string>(), 16);
    assert_eq!(mem::offset_of!(rn_string, data), 8);
    assert_eq!(mem::size_of::<rn_header>(), 32);
    assert_eq!(mem::offset_of!(rn_header, value), 16);
}

#[test]
fn proofs_refuse_null_and_impossible_arguments() {
    let json = br#"{"origins":"https://a.example"}"#;
    let (mut policy, mut error, mut length) = (null_mut(), [0; RN_ERROR_BYTES], 0);
    let (mut out, mut names) = ([0; 64], [0; 256]);
    // SAFETY: each pointer is null or valid for its length.
    unsafe {
        assert_eq!(rn_proof_policy_new(null(), 3, Some(&mut policy), error.as_mut_ptr(), 9, None), INVALID);
        assert_eq!(rn_proof_policy_new(json.as_ptr(), json.len(), None, error.as_mut_ptr(), 9, None), INVALID);
        let written = Some(&mut length);
        assert_eq!(
            rn_proof_policy_new(json.as_ptr(), json.len(), Some(&mut policy), error.as_mut_ptr(), 9, written),
            0
        );
        let short = rn_proof_policy_algorithms(policy.as_ref(), names.as_mut_ptr(), 3, Some(&mut length));
        assert_eq!((short, length > 3), (Reason::BufferTooSmall.code(), true));

        let empty: rn_proof_request = mem::zeroed();
        let mut proof: rn_proof = mem::zeroed();
        let text = b"a.b.c";
        let (handle, data) = (policy.as_ref(), text.as_ptr());
        assert_eq!(rn_proof_check(None, data, 5, Some(&empty), 0, Some(&mut proof)), INVALID);
        assert_eq!(rn_proof_check(handle, data, 5, None, 0, Some(&mut proof)), INVALID);
        assert_eq!(rn_proof_check(handle, data, 5, Some(&empty), 0, None), INVALID);
        assert_eq!(rn_proof_check(handle, null(), 5, Some(&empty), 0, Some(&mut proof)), INVALID);
        let missing = rn_proof_check(handle, null(), 0, Some(&empty), 0, Some(&mut proof));
        assert_eq!(missing, Reason::ProofMissing.code());
        let no_secret = rn_proof_request { secret: data, secret_length: 5, ..mem::zeroed() };
        assert_eq!(rn_proof_check(handle, data, 5, Some(&no_secret), 0, Some(&mut proof)), INVALID);
        rn_proof_policy_free(Some(Box::from_raw(policy)));
        rn_proof_policy_free(None);

        assert_eq!(rn_nonce_write(text.as_ptr(), 5, 0, 300, out.as_mut_ptr()), INVALID);
        assert_eq!(rn_nonce_secret_new(null_mut()), INVALID);
        assert_eq!(rn_certificate_thumbprint(9, text.as_ptr(), 5, out.as_mut_ptr()), INVALID);
        let refused = rn_certificate_thumbprint(RN_CERTIFICATE_PEM, text.as_ptr(), 5, out.as_mut_ptr());
        assert_eq!(refused, Reason::CertificateMismatch.code());
        let bound = rn_proof_bind(b"{}".as_ptr(), 2, text.as_ptr(), 5, out.as_mut_ptr(), 3, Some(&mut length));
        assert_eq!((bound, length), (Reason::BufferTooSmall.code(), r#"{"cnf":{"jkt":"a.b.c"}}"#.len()));
        assert_eq!(
            rn_proof_bind(b"{}".as_ptr(), 2, [0xff].as_ptr(), 1, out.as_mut_ptr(), 64, Some(&mut length)),
            INVALID
        );
    }
}
