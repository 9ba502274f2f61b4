//! `route-token explain`: runs the gateway's checks on a token, one by one.
//!
//! It calls the gateway's own functions in the gateway's order. It prints nothing that lets anybody use the token: not
//! the token, its signature or its hash, and no key.

mod proof;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use clap::Args;
use route_native::credential::{fingerprint, token_of};
use route_native::desktop::hash_claim::HashClaimKey;
use route_native::desktop::resolve::{decrypt_target, hash_of, ttl};
use route_native::desktop::target::Suffix;
use route_native::error::Reason;
use route_native::jwt::{
    Claims, Compact, Header, Parts, Policy, check_expiry, check_issued_at, check_not_before, check_requirements,
    check_signature,
};
use route_native::keys::{Algorithm, KeySet};

use crate::key_files::{KeyFiles, SigningKeys};
use crate::report::{Check, Report};
use crate::{Failure, input, now, print};

/// Runs the gateway's checks on a token, one by one, up to the first that fails
#[derive(Args)]
#[command(after_help = "\
Exit status:
  0  all checks passed
  1  a check failed
  2  usage error, or a key cannot be read
  3  no check failed, but some were skipped for lack of a key

A DPoP proof is explained without a key: it has its own.
With a secret file as --key, the checks are those of route_native.auth: the signature and the times.

Other users of the machine can see a token on the command line, but not in a pipe.

Examples:
  route-token explain < token.txt
  route-token explain token.txt \\
      --key keys/signing_public.pem --payload-key keys/payload_private.pem
  route-token explain --suffix desktop.svc.cluster.local --leeway 0 < token.txt")]
pub struct Explain {
    /// Token, with or without Bearer; file with the token; or - for standard input
    #[arg(value_name = "TOKEN|FILE|-", default_value = "-", hide_default_value = true)]
    token: OsString,

    #[command(flatten)]
    files: KeyFiles,

    /// Domain suffix that targets must have, the gateway's ROUTE_TARGET_SUFFIX
    #[arg(long, value_name = "HOST", value_parser = suffix)]
    suffix: Option<Suffix>,

    /// Tolerated clock skew, the gateway's ROUTE_JWT_LEEWAY
    #[arg(long, value_name = "SECONDS", default_value_t = Policy::DEFAULT_LEEWAY)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=i64::from(Policy::MAX_LEEWAY)))]
    leeway: u32,

    /// Allowed algorithm, one of the gateway's ROUTE_JWT_ALGORITHMS; repeat it for several
    #[arg(long, value_name = "ALGORITHM", value_parser = algorithm)]
    allow: Vec<Algorithm>,

    /// Allowed issuer, one of the gateway's ROUTE_JWT_ISSUER; repeat it for several
    #[arg(long, value_name = "ISS")]
    issuer: Vec<String>,

    /// Audience of the gateway, one of its ROUTE_JWT_AUDIENCE; repeat it for several
    #[arg(long, value_name = "AUD")]
    audience: Vec<String>,

    /// Longest time from iat to exp, the gateway's ROUTE_JWT_MAX_LIFETIME
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    max_lifetime: Option<u32>,
}

impl Explain {
    fn policy(&self) -> Policy {
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        Policy {
            leeway: self.leeway,
            algorithms: (!self.allow.is_empty()).then(|| self.allow.clone()),
            issuers: some(&self.issuer),
            audiences: some(&self.audience),
            max_lifetime: self.max_lifetime,
            ..Policy::default()
        }
    }

    /// Prints the report and returns its exit status.
    pub fn run(&self) -> Result<u8, Failure> {
        let input = read(&self.token)?;
        let mut examiner = Examiner {
            signing_keys: self.files.explaining_keys().map_err(Failure::into_usage)?,
            hash_claim_key: self.files.hash_claim_key().map_err(Failure::into_usage)?,
            policy: self.policy(),
            suffix: self.suffix.clone(),
            now: now()?,
            report: Report::default(),
            is_proof: false,
        };
        let target = examiner.examine(&input);
        let status = examiner.report.status();
        let conclusion = match (status, target) {
            (0, _) if examiner.is_proof => "\nThis proof is good for its request, once.\n".to_owned(),
            (1, _) if examiner.is_proof => "\nEvery server refuses this proof.\n".to_owned(),
            (0, _) if examiner.has_secrets() => {
                "\nSignature and times are valid: route_native.auth accepts this token \
                with this secret_file, unless its\npolicy or rules refuse it. The desktop gateway takes no secret file.\n"
                    .to_owned()
            }
            (1, _) if examiner.has_secrets() => "\nroute_native.auth refuses this token with this file.\n".to_owned(),
            (0, Some(target)) => format!("\nThe gateway accepts this token and routes it to {target}\n"),
            (1, _) => "\nThe gateway refuses this token.\n".to_owned(),
            _ => "\nNo check failed. Pass the missing key to run the skipped checks.\n".to_owned(),
        };
        print(&(examiner.report.text() + &conclusion))?;
        Ok(status)
    }
}

/// The gateway's keys and settings, and the report.
struct Examiner {
    signing_keys: Option<SigningKeys>,
    hash_claim_key: Option<HashClaimKey>,
    policy: Policy,
    suffix: Option<Suffix>,
    now: i64,
    report: Report,
    /// Whether the token is a DPoP proof, which has its key in itself.
    is_proof: bool,
}

impl Examiner {
    /// Runs all checks. Returns `None` when one failed or was skipped.
    fn examine(&mut self, input: &[u8]) -> Option<String> {
        let token = self.find_token(input)?;
        let compact = self.parse(token)?;
        self.is_proof = proof::is_proof(&compact);
        if self.is_proof {
            proof::explain(&mut self.report, token, &compact, self.now);
            return None;
        }
        self.check_signature(&compact)?;
        let claims =
            self.report.record(compact.unverified_claims(), &[("claims", Reason::TokenMalformed, "a JSON object")])?;
        self.check_times(&claims)?;
        self.check_requirements(&claims)?;
        if self.has_secrets() { None } else { self.decrypt_target(&claims) }
    }

    fn has_secrets(&self) -> bool {
        matches!(self.signing_keys, Some(SigningKeys::Secrets(_)))
    }

    /// Returns the keys that check signatures.
    fn key_set(&self) -> Option<&KeySet> {
        match self.signing_keys.as_ref()? {
            SigningKeys::Public(keys) => Some(keys),
            SigningKeys::Secrets(keys) => Some(&keys.verifying),
        }
    }

    fn find_token<'a>(&mut self, input: &'a [u8]) -> Option<&'a [u8]> {
        let checks = [("token", Reason::TokenMissing, "present"), ("size", Reason::TokenTooLarge, "")];
        let token = self.report.record(token_of(input), &checks)?;
        let fingerprint = fingerprint(token);
        self.report.set_detail(format!("{} bytes, fingerprint {}", token.len(), String::from_utf8_lossy(&fingerprint)));
        Some(token)
    }

    fn parse<'a>(&mut self, token: &'a [u8]) -> Option<Compact<'a>> {
        let parts = match Parts::split(token) {
            Ok(parts) => parts,
            Err(reason) => {
                self.report.fail("three parts", reason, "a signed token has three parts, separated by dots");
                return None;
            }
        };
        self.report.ok("three parts", "header, claims and signature");
        let checks = [
            ("header", Reason::TokenMalformed, "a JSON object with an alg"),
            ("extensions", Reason::HeaderUnsupported, "no crit, b64, zip or enc"),
        ];
        let header = self.report.record(parts.header(), &checks)?;
        let compact = self
            .report
            .record(Compact::parse(token), &[("encoding", Reason::TokenMalformed, "canonical base64url")])?;
        let algorithm = header.algorithm.ok_or(Reason::AlgorithmNotAllowed);
        self.report.record(algorithm, &[("algorithm", Reason::AlgorithmNotAllowed, "")])?;
        self.report.set_detail(describe(&header));
        Some(compact)
    }

    fn check_signature(&mut self, compact: &Compact) -> Option<()> {
        const CHECKS: [Check; 3] = [
            ("kid", Reason::KeyNotFound, "a key matches"),
            ("key", Reason::AlgorithmNotAllowed, "its type fits the algorithm"),
            ("signature", Reason::SignatureInvalid, "valid"),
        ];
        let Some(keys) = self.key_set() else {
            for (check, ..) in CHECKS {
                self.report.skip(check, "no signing key is configured");
            }
            return Some(());
        };
        let result = check_signature(compact, keys, &self.policy).map(|_| ());
        self.report.record(result, &CHECKS)
    }

    fn check_times(&mut self, claims: &Claims) -> Option<()> {
        let (now, leeway) = (self.now, self.policy.leeway);
        match check_expiry(claims, &self.policy, now) {
            Err(Reason::TokenExpired) => {
                let ago = duration(now.saturating_sub(claims.expires_at().ok()??));
                self.report.fail("exp", Reason::TokenExpired, format!("expired {ago} ago; the leeway is {leeway} s"));
                return None;
            }
            result => self.report.record(result, &[("exp", Reason::ClaimMissing, "")])?,
        }
        let left = claims.expires_at().ok()??.saturating_sub(now);
        self.report.set_detail(match left {
            1.. => format!("expires in {}", duration(left)),
            _ => format!("expired {} ago, within the leeway of {leeway} s", duration(-left)),
        });
        match check_not_before(claims, &self.policy, now) {
            Err(Reason::TokenNotYetValid) => {
                let wait = duration(claims.not_before().ok()??.saturating_sub(now));
                let text = format!("not valid for another {wait}; the leeway is {leeway} s");
                self.report.fail("nbf", Reason::TokenNotYetValid, text);
                return None;
            }
            result => self.report.record(result, &[("nbf", Reason::ClaimMalformed, "reached, or absent")])?,
        }
        self.report.record(check_issued_at(claims), &[("iat", Reason::ClaimMalformed, "a time, or absent")])
    }

    /// Checks what the policy asks for besides the times, one requirement at a time.
    fn check_requirements(&mut self, claims: &Claims) -> Option<()> {
        let Policy { issuers, audiences, max_lifetime, leeway, .. } = self.policy.clone();
        let none = Policy { leeway, ..Policy::default() };
        let checks = [
            (issuers.is_some(), "iss", Policy { issuers, ..none.clone() }),
            (audiences.is_some(), "aud", Policy { audiences, ..none.clone() }),
            (max_lifetime.is_some(), "lifetime", Policy { max_lifetime, ..none }),
        ];
        for (_, check, policy) in checks.iter().filter(|(is_asked, ..)| *is_asked) {
            let result = check_requirements(claims, policy, self.now);
            self.report.record(result, &[(*check, Reason::ClaimMissing, "allowed")])?;
        }
        Some(())
    }

    fn decrypt_target(&mut self, claims: &Claims) -> Option<String> {
        let hash = self.report.record(hash_of(claims), &[("hash", Reason::ClaimMissing, "a string")])?;
        let target = match &self.hash_claim_key {
            Some(key) => {
                let result = decrypt_target(key, self.suffix.as_ref(), hash.as_bytes());
                Some(self.report.record(result, &[("target", Reason::PayloadInvalid, "decrypts to an allowed host")])?)
            }
            None => {
                self.report.skip("target", "no payload key is configured");
                None
            }
        };
        let seconds = self.report.record(ttl(claims, self.now), &[("cache", Reason::ClaimMalformed, "")])?;
        self.report.set_detail(match seconds {
            0 => "the target is not cached: 1 s or less is left".to_owned(),
            seconds => format!("the target is cached for {}", duration(seconds.into())),
        });
        target
    }
}

/// Returns the header's algorithm and key id. The sender chooses the id, so that its control characters are escaped and
/// its length is bounded.
fn describe(header: &Header) -> String {
    let algorithm = header.algorithm.map_or("", |algorithm| algorithm.name());
    match &header.key_id {
        Some(id) => format!("{algorithm}, kid {:?}", id.chars().take(64).collect::<String>()),
        None => format!("{algorithm}, no kid"),
    }
}

/// Returns a duration in its two largest units, such as `3 min 2 s`.
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

/// Reads the token from standard input for `-`, from a file if it exists, or from the argument itself.
pub fn read(argument: &OsStr) -> Result<Vec<u8>, Failure> {
    if argument == "-" || Path::new(argument).exists() {
        return input::read(argument);
    }
    Ok(argument.as_bytes().to_vec())
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    Algorithm::from_name(text).ok_or_else(|| "it must be the name of a signature algorithm, such as RS256".to_owned())
}

fn suffix(text: &str) -> Result<Suffix, String> {
    Suffix::parse(text).ok_or_else(|| "it must be a host name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_its_two_largest_units() {
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
    fn a_key_id_is_escaped_and_bounded() {
        let of = |id: &str| {
            let (json, members) = Default::default();
            describe(&Header { algorithm: None, key_id: Some(id.to_owned()), token_type: None, json, members })
        };
        assert_eq!(of("\x1b[2J\n"), ", kid \"\\u{1b}[2J\\n\"");
        assert!(of(&"a".repeat(9999)).len() < 100);
    }
}
