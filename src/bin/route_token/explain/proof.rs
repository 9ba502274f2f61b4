//! The part of `explain` that is about DPoP proofs (RFC 9449).

use route_native::bound::{ProofPolicy, Request, check};
use route_native::error::Reason;
use route_native::jwt::Compact;
use serde_json::json;

use crate::report::{Check, Report};

/// The checks of a proof, in the library's order.
const CHECKS: [Check; 4] = [
    ("proof", Reason::ProofMalformed, "jti, htm, htu and iat are there"),
    ("key", Reason::ProofKeyRefused, "a public key that may sign proofs"),
    ("signature", Reason::ProofSignatureInvalid, "valid: the sender has the key"),
    ("time", Reason::ProofExpired, "iat is recent, and not in the future"),
];

/// Returns whether a token is a proof.
pub fn is_proof(compact: &Compact) -> bool {
    compact.header.media_type().as_deref() == Some("dpop+jwt")
}

/// Runs the checks of a proof that need no request, and says which request the proof is for.
pub fn explain(report: &mut Report, text: &[u8], compact: &Compact, now: i64) -> Option<()> {
    let claims = report.record(compact.unverified_claims(), &[("claims", Reason::TokenMalformed, "a JSON object")])?;
    let claim = |name| claims.string(name).ok().flatten().unwrap_or_default().to_owned();
    let (method, uri) = (claim("htm"), claim("htu"));
    let scheme_end = uri.find("://").map_or(0, |at| at + 3);
    let path = uri[scheme_end..].find(['/', '?', '#']).map_or(uri.len(), |at| scheme_end + at);
    let (origin, target) = uri.split_at(path);
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let settings = json!({ "origins": [origin] }).to_string();
    let Ok(policy) = ProofPolicy::from_json(settings.as_bytes()) else {
        report.fail("htu", Reason::ProofMalformed, "it is no http or https URI");
        return None;
    };
    let request = Request { method: method.as_bytes(), target: target.as_bytes(), token: None, key: None };
    let proof = report.record(check(text, &request, &policy, None, now), &CHECKS)?;
    let left = proof.ends_at.saturating_sub(now);
    report.set_detail(format!("good for another {left} s, if max_age is {}", policy.max_age));
    report.ok("request", format!("{} {}", shown(&method), shown(&uri)));
    report.ok("jkt", String::from_utf8_lossy(&proof.thumbprint));
    report.ok("ath", if claim("ath").is_empty() { "none: for a token endpoint" } else { "for one access token" });
    report.ok("nonce", if claim("nonce").is_empty() { "none" } else { "one of the server's" });
    Some(())
}

/// Returns a claim, whose sender chose it: its control characters are escaped and its length is bounded.
fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}
