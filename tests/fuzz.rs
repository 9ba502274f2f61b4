//! Runs the subjects of fuzz/ on the stable toolchain: the inputs in fuzz/seeds, then random and changed ones. An input
//! that finds a fault is written into fuzz/seeds, so that every run repeats it.
//!
//! `make test` runs a number of inputs for each subject, `make fuzz` runs them for a time.
#![cfg(feature = "tunnel")]

#[path = "../fuzz/subjects/mod.rs"]
mod subjects;

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, Once};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};
use subjects::{Input, SUBJECTS, edited};

/// An input that takes longer has found a loop.
const PATIENCE: Duration = Duration::from_secs(30);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name)
}

/// Returns the inputs of a folder, in the order of names.
fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder(name))
        .unwrap_or_else(|error| panic!("fuzz/seeds/{name}: {error}"))
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.clone(), fs::read(path).expect("a seed")))
        .collect();
    files.sort();
    files
}

// The input that runs now: for the watchdog, and for a process that crashes.

static RUNNING: Mutex<Option<(Instant, &'static str, Vec<u8>)>> = Mutex::new(None);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs one input. The subject's panic is the test's.
fn run(name: &'static str, input: &[u8]) {
    *RUNNING.lock().expect("the watchdog") = Some((Instant::now(), name, input.to_vec()));
    subjects::run(name, input);
    *RUNNING.lock().expect("the watchdog") = None;
}

fn watch() {
    static WATCHDOG: Once = Once::new();
    WATCHDOG.call_once(|| {
        thread::spawn(|| {
            loop {
                thread::sleep(Duration::from_secs(1));
                let running = RUNNING.lock().expect("the watchdog").clone();
                if let Some((_, name, input)) = running.filter(|(since, ..)| since.elapsed() > PATIENCE) {
                    let path = keep(name, &input);
                    eprintln!("fuzz: {name} has not ended after {PATIENCE:?}: {}", path.display());
                    process::exit(1);
                }
            }
        });
    });
}

/// Writes an input into the seeds. Returns its path.
fn keep(name: &str, input: &[u8]) -> PathBuf {
    // FNV-1a: the name of the file, the same for the same input.
    let hash = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let path = folder(name).join(format!("found-{hash:016x}"));
    fs::write(&path, input).expect("the seed is written");
    path
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Keeps the panics of the inputs on the way to the smallest one out of the output.
fn quieten() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_QUIET.get() {
                PLACE.set(info.location().map(ToString::to_string));
            } else {
                usual(info);
            }
        }));
    });
}

/// Returns the inputs of a subject: random ones, and seeds with edits.
fn inputs(name: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let seeds: Vec<_> = seeds(name).into_iter().map(|(_, seed)| seed).collect();
    assert!(!seeds.is_empty(), "fuzz/seeds/{name} is empty");
    let changed = (any::<Index>(), proptest::collection::vec(any::<u8>(), 0..48))
        .prop_map(move |(seed, edits)| edited(seed.get::<Vec<u8>>(&seeds), &mut Input(&edits)));
    let small = proptest::collection::vec(prop_oneof![0..32_u8, any::<u8>()], 0..64);
    prop_oneof![2 => changed, 2 => small, 1 => proptest::collection::vec(any::<u8>(), 0..600)]
}

/// Runs a number of inputs. Returns how to repeat the smallest one that finds a fault.
fn search(name: &'static str, cases: u32) -> Result<(), String> {
    // One subject runs at a time, so that the watchdog sees it and another does not disturb what it measures.
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watch();
    quieten();
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 4096,
        max_shrink_time: 10_000,
        ..ProptestConfig::default()
    };
    let strategy = inputs(name);
    let last = env::var_os("FUZZ_LAST").map(|folder| File::create(Path::new(&folder).join(name)).expect("a file"));
    let found = TestRunner::new(config).run(&strategy, |input| {
        if let Some(last) = &last {
            // A process that crashes leaves its input here, for scripts/fuzz.sh.
            last.set_len(0).and_then(|()| last.write_all_at(&input, 0)).expect("the input is written");
        }
        IS_QUIET.set(true);
        let result = panic::catch_unwind(AssertUnwindSafe(|| run(name, &input)));
        IS_QUIET.set(false);
        result.map_err(|cause| {
            let text = cause.downcast_ref::<String>().cloned();
            let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let place = PLACE.take().unwrap_or_default();
            TestCaseError::fail(format!("{place}: {}", text.unwrap_or_default()))
        })
    });
    *RUNNING.lock().expect("the watchdog") = None;
    if let Some(last) = &last {
        last.set_len(0).expect("the file is emptied");
    }
    match found {
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, input)) => {
            let path = keep(name, &input);
            let shown = STANDARD.encode(&input[..input.len().min(4096)]);
            Err(format!("{name}: {why}\nthe input is in {}; in base64: {shown}", path.display()))
        }
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// Returns the number of inputs for `make test`: what takes about half a second.
fn cases(name: &str) -> u32 {
    match name {
        "costs" => 100,
        "jwk" | "pem" | "secrets" => 1000,
        _ => 6000,
    }
}

#[test]
fn every_input_in_seeds_passes() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    watch();
    for (name, _) in SUBJECTS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "fuzz/seeds/{name} is empty");
        for (path, seed) in seeds {
            println!("{}", path.display());
            run(name, &seed);
        }
    }
}

#[test]
fn cargo_fuzz_has_a_target_for_each_subject() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    let mut targets: Vec<_> = manifest.split("\n[[bin]]\n").skip(1).filter_map(|bin| bin.split('"').nth(1)).collect();
    targets.sort_unstable();
    assert_eq!(targets, SUBJECTS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}

#[test]
fn no_input_finds_a_fault() {
    let faults: Vec<_> = SUBJECTS.iter().filter_map(|(name, _)| search(name, cases(name)).err()).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// `make fuzz`: FUZZ_SECONDS for all subjects together, or for those that FUZZ_TARGET names.
#[test]
#[ignore = "make fuzz runs it"]
fn fuzz_for_a_time() {
    static SECONDS: LazyLock<u64> = LazyLock::new(|| {
        env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).expect("SECONDS is a number")
    });
    let chosen = env::var("FUZZ_TARGET").unwrap_or_default();
    let names: Vec<_> = chosen.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    for name in &names {
        let all: Vec<_> = SUBJECTS.iter().map(|(name, _)| *name).collect();
        assert!(all.contains(name), "fuzz: there is no target {name}, only {}", all.join(", "));
    }
    let chosen: Vec<_> = SUBJECTS.iter().filter(|(name, _)| names.is_empty() || names.contains(name)).collect();
    let share = Duration::from_secs(*SECONDS) / chosen.len() as u32;
    let (mut total, mut faults) = (0, 0);
    for (name, _) in &chosen {
        let (start, mut count) = (Instant::now(), 0);
        let mut fault = None;
        while start.elapsed() < share && fault.is_none() {
            // A few at a time, because the clock is read in between.
            let some = (cases(name) / 20).max(1);
            fault = search(name, some).err();
            count += u64::from(some);
        }
        total += count;
        println!("fuzz: {name}: {count} inputs in {:.1} s", start.elapsed().as_secs_f64());
        if let Some(fault) = fault {
            faults += 1;
            println!("fuzz: {fault}");
        }
    }
    println!("fuzz: {} targets, {total} inputs, {faults} faults", chosen.len());
    assert_eq!(faults, 0, "inputs with faults are in fuzz/seeds");
}
