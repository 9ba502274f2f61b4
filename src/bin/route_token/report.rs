//! The report of `explain`: one line per check, up to the first that fails.

use std::fmt::Write as _;

use route_native::error::Reason;

/// The outcome of a check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Failed,
    Skipped,
}

/// A check's name, the reason of its failure, and the detail of its success.
pub type Check = (&'static str, Reason, &'static str);

/// The lines of a report: outcome, check and detail.
#[derive(Default)]
pub struct Report {
    lines: Vec<(Outcome, &'static str, String)>,
}

impl Report {
    /// Adds a check that passed.
    pub fn ok(&mut self, check: &'static str, text: impl Into<String>) {
        self.lines.push((Outcome::Ok, check, text.into()));
    }

    /// Adds a check that cannot run.
    pub fn skip(&mut self, check: &'static str, text: impl Into<String>) {
        self.lines.push((Outcome::Skipped, check, text.into()));
    }

    /// Adds a check that failed, with the reason's name in logs.
    pub fn fail(&mut self, check: &'static str, reason: Reason, text: impl Into<String>) {
        self.lines.push((Outcome::Failed, check, format!("{} ({reason})", text.into())));
    }

    /// Adds the checks that one call of the library makes, in their order. The reason tells which of them failed.
    /// Returns `None` when one did.
    pub fn record<T>(&mut self, result: Result<T, Reason>, checks: &[Check]) -> Option<T> {
        for (at, (check, reason, detail)) in checks.iter().enumerate() {
            match &result {
                // A reason of no check belongs to the last.
                Err(found) if found == reason || at + 1 == checks.len() => {
                    self.fail(check, *found, explanation(*found));
                    return None;
                }
                _ => self.ok(check, *detail),
            }
        }
        result.ok()
    }

    /// Replaces the detail of the last line.
    pub fn set_detail(&mut self, text: impl Into<String>) {
        if let Some((_, _, last)) = self.lines.last_mut() {
            *last = text.into();
        }
    }

    /// Returns the exit status: 0 when all checks passed, 1 when one failed, 3 when none failed and some were skipped.
    pub fn status(&self) -> u8 {
        let any = |outcome| self.lines.iter().any(|(each, _, _)| *each == outcome);
        match (any(Outcome::Failed), any(Outcome::Skipped)) {
            (true, _) => 1,
            (false, true) => 3,
            (false, false) => 0,
        }
    }

    /// Returns the report as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (outcome, check, detail) in &self.lines {
            let outcome = match outcome {
                Outcome::Ok => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "skipped",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", format!("{outcome:<8} {check:<16} {detail}").trim_end());
        }
        text
    }
}

/// Returns the explanation of a reason for an operator.
fn explanation(reason: Reason) -> &'static str {
    match reason {
        Reason::TokenMissing => "there is no token",
        Reason::TokenTooLarge => "it is longer than the gateway's limit of 16 KiB",
        Reason::TokenMalformed => "it is not canonical base64url, or not one JSON object without duplicate members",
        Reason::HeaderUnsupported => "the header holds crit, b64, zip or enc, all of which are refused",
        Reason::AlgorithmNotAllowed => "the key does not allow the token's alg; alg \"none\" is never allowed",
        Reason::KeyNotFound => "none of the keys has the token's kid",
        Reason::SignatureInvalid => {
            "the signature does not match the key: another key signed, or the token was modified"
        }
        Reason::ClaimMalformed => "the claim has the wrong type or is out of range",
        Reason::ClaimMissing => "the claim is absent",
        Reason::TokenExpired => "the token has expired",
        Reason::TokenNotYetValid => "the token is not valid yet",
        Reason::PayloadInvalid => {
            "it does not decrypt to an allowed target: the payload key or the padding is another, \
             or the target is not a host, or not below the suffix"
        }
        Reason::ProofMalformed => {
            "it is no proof of at most 8 KiB, or jti, htm, htu or iat is absent or of the wrong type"
        }
        Reason::ProofKeyRefused => "jwk is absent, private or unsupported, or alg is none that a proof may have",
        Reason::ProofSignatureInvalid => "the signature does not match the key in the header",
        Reason::ProofExpired => "iat is too old or in the future, or exp has passed",
        _ => "the check could not run",
    }
}
