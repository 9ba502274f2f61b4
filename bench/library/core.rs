//! Criterion benchmarks of the pure core: what one call costs, followed over time. `cargo bench --bench core`
#![allow(missing_docs, reason = "criterion's macro writes a public function")]

use std::hint::black_box;

use aws_lc_rs::rsa::KeySize;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

use route_native::revocation::live;

mod support;
use support::{Keys, NOW, TARGET};

/// The RSA work, by key size.
fn rsa(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rsa");
    for (bits, size) in [(2048, KeySize::Rsa2048), (3072, KeySize::Rsa3072), (4096, KeySize::Rsa4096)] {
        let keys = Keys::generate(size);
        let (gateway, token, hash) = (keys.gateway(0), keys.token(), keys.hash());
        let token = token.as_bytes();
        group.bench_function(BenchmarkId::new("verify", bits), |bencher| {
            bencher.iter(|| gateway.verify(black_box(token), NOW).unwrap());
        });
        group.bench_function(BenchmarkId::new("decrypt", bits), |bencher| {
            bencher.iter(|| gateway.decrypt(black_box(hash.as_bytes())).unwrap());
        });
        group.bench_function(BenchmarkId::new("resolve", bits), |bencher| {
            bencher.iter(|| gateway.resolve(black_box(token), NOW).unwrap());
        });
    }
    group.finish();
}

/// What a request with a known token costs, and what refuses one before any RSA.
fn known(criterion: &mut Criterion) {
    let keys = Keys::generate(KeySize::Rsa2048);
    let (gateway, token) = (keys.gateway(50_000), keys.token());
    let token = token.as_bytes();
    gateway.remember(token, TARGET, NOW, 600);
    criterion.bench_function("cache hit", |bencher| {
        bencher.iter(|| gateway.cached(black_box(token), NOW, |target, _| target.len()).unwrap());
    });
    // The last ones stay in the table. The hit then compares two numbers, and the first one checks the names.
    (0..100_000).for_each(|id| {
        let record = format!(r#"{{"sub":"user {id}","before":{NOW},"ends":{}}}"#, NOW + 600);
        live().add(id, record.as_bytes(), NOW).expect("a record");
    });
    gateway.resolve(token, NOW).expect("a valid token");
    criterion.bench_function("cache hit, 100,000 revocations", |bencher| {
        bencher.iter(|| gateway.cached(black_box(token), NOW, |target, _| target.len()).unwrap());
    });
    criterion.bench_function("cache hit, just after a revocation", |bencher| {
        bencher.iter(|| {
            live().remove(u64::MAX);
            gateway.cached(black_box(token), NOW, |target, _| target.len()).unwrap()
        });
    });
    criterion.bench_function("cache miss", |bencher| {
        let stranger = &token[1..];
        bencher.iter(|| assert!(gateway.cached(black_box(stranger), NOW, |_, _| ()).is_none()));
    });
    criterion.bench_function("remember", |bencher| {
        bencher.iter(|| gateway.remember(black_box(token), TARGET, NOW, 600));
    });
    criterion.bench_function("shared key", |bencher| bencher.iter(|| gateway.shared_key(black_box(token))));
    criterion.bench_function("refuse a malformed token", |bencher| {
        let malformed = &token[..token.len() - 1];
        bencher.iter(|| gateway.verify(black_box(malformed), NOW).unwrap_err());
    });
}

criterion_group!(benches, rsa, known);
criterion_main!(benches);
