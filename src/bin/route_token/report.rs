//! What `explain` says: one line a check, up to the first that fails.

use std::fmt::Write as _;

use route_native::error::Reason;

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Failed,
    Skipped,
}

/// A check's name, the reason that it fails with, and what to say when it holds.
pub type Check = (&'static str, Reason, &'static str);

/// The lines so far.
#[derive(Default)]
pub struct Report {
    lines: Vec<(Verdict, &'static str, String)>,
}

impl Report {
    /// Says that a check holds.
    pub fn ok(&mut self, check: &'static str, text: impl Into<String>) {
        self.lines.push((Verdict::Ok, check, text.into()));
    }

    /// Says that a check cannot be made.
    pub fn skip(&mut self, check: &'static str, text: impl Into<String>) {
        self.lines.push((Verdict::Skipped, check, text.into()));
    }

    /// Says that a check does not hold, under the reason's name in logs.
    pub fn fail(&mut self, check: &'static str, reason: Reason, text: impl Into<String>) {
        self.lines.push((Verdict::Failed, check, format!("{} ({reason})", text.into())));
    }

    /// Enters a call of the core that makes several checks, in their order and each known by the reason that it fails
    /// with. `None` when one failed.
    pub fn enter<T>(&mut self, result: Result<T, Reason>, checks: &[Check]) -> Option<T> {
        for (at, (check, reason, holds)) in checks.iter().enumerate() {
            match &result {
                // The last check answers for a reason that none is known by.
                Err(found) if found == reason || at + 1 == checks.len() => {
                    self.fail(check, *found, sentence(*found));
                    return None;
                }
                _ => self.ok(check, *holds),
            }
        }
        result.ok()
    }

    /// Changes what the last line says.
    pub fn say(&mut self, text: impl Into<String>) {
        if let Some((_, _, last)) = self.lines.last_mut() {
            *last = text.into();
        }
    }

    /// 0 when every check holds, 1 when one does not, 3 when none failed but some could not be made.
    pub fn status(&self) -> u8 {
        let any = |verdict| self.lines.iter().any(|(each, _, _)| *each == verdict);
        match (any(Verdict::Failed), any(Verdict::Skipped)) {
            (true, _) => 1,
            (false, true) => 3,
            (false, false) => 0,
        }
    }

    /// The report as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (verdict, check, what) in &self.lines {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Failed => "FAILED",
                Verdict::Skipped => "skipped",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", format!("{verdict:<8} {check:<16} {what}").trim_end());
        }
        text
    }
}

/// What a reason means to whoever looks into a refused token.
fn sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::TokenMissing => "there is no token",
        Reason::TokenTooLarge => "it is longer than the 16 KiB that the gateway looks at",
        Reason::TokenMalformed => "it is not canonical base64url, or not one JSON object without duplicate members",
        Reason::HeaderUnsupported => "the header holds crit, b64, zip or enc, all of which are refused",
        Reason::AlgorithmNotAllowed => "the token's alg is not one that the key allows; none never is",
        Reason::KeyNotFound => "none of the keys has the token's kid",
        Reason::SignatureInvalid => {
            "the signature is not that of the key: another key signed, or the token was changed"
        }
        Reason::ClaimMalformed => "the claim has the wrong type or lies out of range",
        Reason::ClaimMissing => "the claim is absent",
        Reason::TokenExpired => "the token has expired",
        Reason::TokenNotYetValid => "the token is not valid yet",
        Reason::PayloadInvalid => {
            "it does not decrypt to an allowed target: another payload key or padding, \
             no bare host name or address, or a host outside the suffix"
        }
        _ => "the check could not be made",
    }
}
