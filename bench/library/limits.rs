//! The library against its limits, as JSON on standard output: for `make bench`, which runs it and draws the figures.
//!
//!     cargo bench --bench limits -- ROUNDS
//!
//! What is compared is measured in turns within each round, so that a busy machine slows all of it alike; each round
//! gives one median for each arm, in nanoseconds.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::rsa::{KeySize, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

mod caches;
mod support;
use support::{Keys, NOW, TARGET};

/// The default of `ROUTE_CACHE_ENTRIES`.
const SESSIONS: usize = 50_000;

fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(5);
    // Memory comes first: later, what others have freed would hide growth.
    let memory = memory();
    let sizes = [(2048, KeySize::Rsa2048, 100), (3072, KeySize::Rsa3072, 40), (4096, KeySize::Rsa4096, 20)];
    let rsa: Map<_, _> =
        sizes.map(|(bits, size, calls)| (bits.to_string(), rsa(size, calls, rounds))).into_iter().collect();
    let answer = json!({ "rounds": rounds, "memory": memory, "rsa": rsa, "lookup": lookup(rounds) });
    println!("{answer:#}");
}

/// What is measured in turns with others: its name, the median of each round, and one call.
type Arm<'a> = (&'static str, Vec<u128>, &'a dyn Fn());

/// RSA work with one key: ours, and the same calls of aws-lc with the key parsed and the base64 decoded beforehand.
fn rsa(size: KeySize, calls: usize, rounds: usize) -> Value {
    let keys = Keys::generate(size);
    let (gateway, token) = (keys.gateway(SESSIONS), keys.token());
    let limit = Limit::new(&keys, &token);
    let token = token.as_bytes();
    let mut arms: [Arm; 4] = [
        ("aws_lc_verify_and_decrypt", Vec::new(), &|| {
            limit.verify();
            limit.decrypt();
        }),
        ("resolve", Vec::new(), &|| assert_eq!(gateway.resolve(black_box(token), NOW).unwrap().target, TARGET)),
        ("aws_lc_verify", Vec::new(), &|| limit.verify()),
        ("verify", Vec::new(), &|| drop(black_box(gateway.verify(black_box(token), NOW).unwrap()))),
    ];
    for _ in 0..rounds {
        let mut times = [const { Vec::new() }; 4];
        for _ in 0..calls {
            for (times, (_, _, call)) in times.iter_mut().zip(&arms) {
                let start = Instant::now();
                call();
                times.push(start.elapsed().as_nanos());
            }
        }
        for (times, (_, medians, _)) in times.iter_mut().zip(&mut arms) {
            medians.push(median(times));
        }
    }
    arms.iter().map(|(name, medians, _)| (name.to_string(), json!(medians))).collect()
}

/// What any implementation has to do with a token.
struct Limit {
    public: ParsedPublicKey,
    private: Pkcs1PrivateDecryptingKey,
    message: Vec<u8>,
    signature: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Limit {
    fn new(keys: &Keys, token: &str) -> Limit {
        let (message, signature) = token.rsplit_once('.').unwrap();
        Limit {
            public: ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, keys.spki()).unwrap(),
            private: Pkcs1PrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(&keys.pkcs8()).unwrap()).unwrap(),
            message: message.into(),
            signature: URL_SAFE_NO_PAD.decode(signature).unwrap(),
            ciphertext: STANDARD.decode(keys.hash()).unwrap(),
        }
    }

    fn verify(&self) {
        self.public.verify_sig(black_box(&self.message), &self.signature).unwrap();
    }

    fn decrypt(&self) {
        let mut plaintext = [0; 1024];
        assert_eq!(self.private.decrypt(black_box(&self.ciphertext), &mut plaintext).unwrap(), TARGET.as_bytes());
    }
}

/// Memory of the first tier as the kernel counts it, and of the cache that could stand in its place, in bytes.
fn memory() -> Value {
    let keys = Keys::generate(KeySize::Rsa2048);
    let gateway = keys.gateway(SESSIONS);
    let (before, mut seen) = (resident(), 0);
    let growth = [1_000, 2_000, 5_000, 10_000, 20_000, SESSIONS, 100_000, 4 * SESSIONS].map(|sessions| {
        (seen..sessions).for_each(|number| gateway.remember(&made_up_token(number), TARGET, NOW, 600));
        seen = sessions;
        json!({ "sessions": sessions, "bytes": resident() - before })
    });
    assert_eq!(gateway.cached_entries(), SESSIONS);

    let before = resident();
    let other = caches::Quick::new(SESSIONS);
    caches::fill(&other, SESSIONS);
    let quick_cache = resident() - before;
    json!({ "growth": growth, "quick_cache_bytes": quick_cache })
}

/// Resident memory of this process, in bytes.
fn resident() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<i64>().unwrap() * 4096
}

/// Bytes as long as a token of the reference, another for each number.
fn made_up_token(number: usize) -> Vec<u8> {
    format!("{number:0>876}").into_bytes()
}

/// Time of a hit by the number of sessions: with a token, and for the map alone and its alternative.
fn lookup(rounds: usize) -> Value {
    let keys = Keys::generate(KeySize::Rsa2048);
    let counts = [1, 10, 100, 1_000, 10_000, 100_000];
    let points = counts.map(|sessions| {
        let gateway = keys.gateway(sessions);
        let tokens: Vec<_> = (0..sessions).map(made_up_token).collect();
        tokens.iter().for_each(|token| gateway.remember(token, TARGET, NOW, 600));
        let (map, quick) = (caches::Ours::new(sessions), caches::Quick::new(sessions));
        caches::fill(&map, sessions);
        caches::fill(&quick, sessions);
        let mut times = [const { Vec::new() }; 5];
        for _ in 0..rounds {
            let sample = [
                hits(&tokens, &gateway),
                caches::hits(&map, sessions),
                caches::hits(&quick, sessions),
                caches::replacements(&map, sessions),
                caches::replacements(&quick, sessions),
            ];
            times.iter_mut().zip(sample).for_each(|(times, sample)| times.push(sample));
        }
        json!({
            "sessions": sessions, "hit": times[0], "dashmap_hit": times[1], "quick_cache_hit": times[2],
            "dashmap_insert_when_full": times[3], "quick_cache_insert_when_full": times[4],
        })
    });
    json!(points)
}

/// Nanoseconds of a hit in the first tier. The token is copied first, as if it had come from the network; what the copying
/// costs is measured alone and taken off.
fn hits(tokens: &[Vec<u8>], gateway: &route_native::desktop::gateway::Gateway) -> f64 {
    let mut buffer = tokens[0].clone();
    let mut pass = |found: &dyn Fn(&[u8]) -> bool| {
        caches::timed(tokens.len(), |number| {
            buffer.copy_from_slice(&tokens[number]);
            assert!(found(black_box(&buffer)));
        })
    };
    let copying = pass(&|token| !token.is_empty());
    pass(&|token| gateway.cached(token, NOW, |target, _| black_box(target).len()).is_some()) - copying
}

fn median(times: &mut [u128]) -> u128 {
    times.sort_unstable();
    times[times.len() / 2]
}
