//! `route-token explain`: the gateway's checks of a token, one by one.
//!
//! Every check is made by the function of the library that the gateway calls, in the gateway's order. Nothing that is
//! printed lets anybody use the token: neither the token nor its signature, its hash or a key.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use clap::Args;
use route_native::credential::{fingerprint, token_of};
use route_native::desktop::hash_claim::HashClaimKey;
use route_native::desktop::resolve::{decrypt_target, hash_of, ttl};
use route_native::desktop::target::Suffix;
use route_native::error::Reason;
use route_native::jwt::{
    Claims, Compact, Header, Parts, Policy, check_expiry, check_issued_at, check_not_before, check_signature,
};
use route_native::keys::KeySet;

use crate::key_files::KeyFiles;
use crate::report::{Check, Report};
use crate::{Failure, now, print};

/// The most that is read of a file or of standard input, in bytes: four times what may be a token.
const MAX_INPUT_BYTES: u64 = 64 * 1024;

/// Says check by check what the gateway thinks of a token, up to the first that fails
#[derive(Args)]
#[command(after_help = "\
Exit status:
  0  every check holds
  1  a check failed
  2  the command is used wrongly, or a key cannot be read
  3  nothing failed, but checks were skipped because their key is not named

Other users of the machine can see a token on the command line, but not one in a pipe.

Examples:
  route-token explain < token.txt
  route-token explain token.txt \\
      --key keys/signing_public.pem --payload-key keys/payload_private.pem
  route-token explain --suffix desktop.svc.cluster.local --leeway 0 < token.txt")]
pub struct Explain {
    /// The token, with or without `Bearer` before it; or a file that holds it; or - for standard input
    #[arg(value_name = "TOKEN|FILE|-", default_value = "-", hide_default_value = true)]
    token: OsString,

    #[command(flatten)]
    files: KeyFiles,

    /// Suffix that targets must have, as ROUTE_TARGET_SUFFIX sets it for the gateway
    #[arg(long, value_name = "HOST", value_parser = suffix)]
    suffix: Option<Suffix>,

    /// Clock skew that is forgiven, as ROUTE_JWT_LEEWAY sets it for the gateway
    #[arg(long, value_name = "SECONDS", default_value_t = Policy::DEFAULT_LEEWAY)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=i64::from(Policy::MAX_LEEWAY)))]
    leeway: u32,
}

impl Explain {
    /// Prints the report and returns its exit status.
    pub fn run(&self) -> Result<u8, Failure> {
        let input = read(&self.token)?;
        let mut examiner = Examiner {
            signing_keys: self.files.signing_keys().map_err(Failure::into_usage)?,
            payload_key: self.files.payload_key().map_err(Failure::into_usage)?,
            policy: Policy { leeway: self.leeway, ..Policy::default() },
            suffix: self.suffix.clone(),
            now: now()?,
            report: Report::default(),
        };
        let target = examiner.examine(&input);
        let status = examiner.report.status();
        let conclusion = match (status, target) {
            (0, Some(target)) => format!("\nThe gateway lets this token in, to {target}\n"),
            (1, _) => "\nThe gateway refuses this token.\n".to_owned(),
            _ => "\nNothing is wrong as far as could be checked; name the missing key for the rest.\n".to_owned(),
        };
        print(&(examiner.report.text() + &conclusion))?;
        Ok(status)
    }
}

/// The gateway's keys and settings, and what came out so far.
struct Examiner {
    signing_keys: Option<KeySet>,
    payload_key: Option<HashClaimKey>,
    policy: Policy,
    suffix: Option<Suffix>,
    now: i64,
    report: Report,
}

impl Examiner {
    /// Makes every check. `None` when one failed or the target could not be decrypted.
    fn examine(&mut self, input: &[u8]) -> Option<String> {
        let token = self.form(input)?;
        let compact = self.parts(token)?;
        self.signature(&compact)?;
        let claims =
            self.report.enter(compact.unverified_claims(), &[("claims", Reason::TokenMalformed, "a JSON object")])?;
        self.times(&claims)?;
        self.target(&claims)
    }

    fn form<'a>(&mut self, input: &'a [u8]) -> Option<&'a [u8]> {
        let checks = [("token", Reason::TokenMissing, "there is one"), ("size", Reason::TokenTooLarge, "")];
        let token = self.report.enter(token_of(input), &checks)?;
        let fingerprint = fingerprint(token);
        self.report.say(format!("{} bytes, fingerprint {}", token.len(), String::from_utf8_lossy(&fingerprint)));
        Some(token)
    }

    fn parts<'a>(&mut self, token: &'a [u8]) -> Option<Compact<'a>> {
        let parts = match Parts::split(token) {
            Ok(parts) => parts,
            Err(reason) => {
                self.report.fail("three parts", reason, "a signed token is three parts with dots between them");
                return None;
            }
        };
        self.report.ok("three parts", "header, claims and signature");
        let checks = [
            ("header", Reason::TokenMalformed, "a JSON object with an alg"),
            ("extensions", Reason::HeaderUnsupported, "none of crit, b64, zip and enc"),
        ];
        let header = self.report.enter(parts.header(), &checks)?;
        let compact =
            self.report.enter(Compact::parse(token), &[("encoding", Reason::TokenMalformed, "canonical base64url")])?;
        let algorithm = header.algorithm.ok_or(Reason::AlgorithmNotAllowed);
        self.report.enter(algorithm, &[("algorithm", Reason::AlgorithmNotAllowed, "")])?;
        self.report.say(describe(&header));
        Some(compact)
    }

    fn signature(&mut self, compact: &Compact) -> Option<()> {
        const CHECKS: [Check; 3] = [
            ("kid", Reason::KeyNotFound, "a key answers to it"),
            ("key", Reason::AlgorithmNotAllowed, "of a kind that the algorithm is for"),
            ("signature", Reason::SignatureInvalid, "made by the key, nothing changed since"),
        ];
        let Some(keys) = &self.signing_keys else {
            for (check, ..) in CHECKS {
                self.report.skip(check, "the signing key is not named");
            }
            return Some(());
        };
        self.report.enter(check_signature(compact, keys, &self.policy), &CHECKS)
    }

    fn times(&mut self, claims: &Claims) -> Option<()> {
        let (now, leeway) = (self.now, self.policy.leeway);
        match check_expiry(claims, &self.policy, now) {
            Err(Reason::TokenExpired) => {
                let ago = duration(now.saturating_sub(claims.expires_at().ok()??));
                self.report.fail("exp", Reason::TokenExpired, format!("expired {ago} ago; {leeway} s are forgiven"));
                return None;
            }
            result => self.report.enter(result, &[("exp", Reason::ClaimMissing, "")])?,
        }
        let left = claims.expires_at().ok()??.saturating_sub(now);
        self.report.say(match left {
            1.. => format!("expires in {}", duration(left)),
            _ => format!("expired {} ago, which the leeway of {leeway} s forgives", duration(-left)),
        });
        match check_not_before(claims, &self.policy, now) {
            Err(Reason::TokenNotYetValid) => {
                let wait = duration(claims.not_before().ok()??.saturating_sub(now));
                let text = format!("valid in {wait} only; {leeway} s are forgiven");
                self.report.fail("nbf", Reason::TokenNotYetValid, text);
                return None;
            }
            result => self.report.enter(result, &[("nbf", Reason::ClaimMalformed, "valid already, or absent")])?,
        }
        self.report.enter(check_issued_at(claims), &[("iat", Reason::ClaimMalformed, "a time, or absent")])
    }

    fn target(&mut self, claims: &Claims) -> Option<String> {
        let hash = self.report.enter(hash_of(claims), &[("hash", Reason::ClaimMissing, "a string")])?;
        let target = match &self.payload_key {
            Some(key) => {
                let opened = decrypt_target(key, self.suffix.as_ref(), hash.as_bytes());
                Some(self.report.enter(opened, &[("target", Reason::PayloadInvalid, "decrypts to an allowed host")])?)
            }
            None => {
                self.report.skip("target", "the payload key is not named");
                None
            }
        };
        let seconds = self.report.enter(ttl(claims, self.now), &[("cache", Reason::ClaimMalformed, "")])?;
        self.report.say(match seconds {
            0 => "the answer is not kept: 1 s or less is left".to_owned(),
            seconds => format!("the answer is kept for {}", duration(seconds.into())),
        });
        target
    }
}

/// The header's algorithm and key id. The sender writes the id, so that it may hold anything: control characters are
/// escaped and the length is bounded.
fn describe(header: &Header) -> String {
    let algorithm = header.algorithm.map_or("", |algorithm| algorithm.name());
    match &header.key_id {
        Some(id) => format!("{algorithm}, kid {:?}", id.chars().take(64).collect::<String>()),
        None => format!("{algorithm}, no kid"),
    }
}

/// The two largest units of a time, such as `3 min 2 s`.
fn duration(seconds: i64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let largest = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let (mut rest, mut parts) = (seconds, Vec::new());
    for (size, unit) in units.into_iter().skip(largest).take(2) {
        if rest >= size || parts.is_empty() {
            parts.push(format!("{} {unit}", rest / size));
        }
        rest %= size;
    }
    parts.join(" ")
}

/// Reads what the argument names: standard input, a file, or the token itself.
fn read(argument: &OsStr) -> Result<Vec<u8>, Failure> {
    if argument == "-" {
        return bounded(io::stdin().lock()).map_err(|error| unreadable("standard input", &error));
    }
    let path = Path::new(argument);
    if path.exists() {
        let text = File::open(path).and_then(bounded);
        return text.map_err(|error| unreadable(&path.display().to_string(), &error));
    }
    Ok(argument.as_bytes().to_vec())
}

/// Reads no more than is needed to see that it is too much.
fn bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    reader.take(MAX_INPUT_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

fn unreadable(what: &str, error: &io::Error) -> Failure {
    Failure::usage(format!("{what} cannot be read: {error}"))
}

fn suffix(text: &str) -> Result<Suffix, String> {
    Suffix::parse(text).ok_or_else(|| "it must be a host name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_two_largest_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (182, "3 min 2 s"),
            (3_600, "1 h"),
            (3_601, "1 h"),
            (90_000, "1 d 1 h"),
            (86_401, "1 d"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn what_the_sender_calls_its_key_cannot_reach_the_terminal() {
        let of = |id: &str| {
            describe(&Header { algorithm: None, key_id: Some(id.to_owned()), token_type: None, json: Vec::new() })
        };
        assert_eq!(of("\x1b[2J\n"), ", kid \"\\u{1b}[2J\\n\"");
        assert!(of(&"a".repeat(9999)).len() < 100);
    }
}
