//! The metrics: names, types, labels, and the values that a label can have.
//!
//! A key names one series: the family's name without [`PREFIX`] and the labels' values, with [`SEPARATOR`] between. What
//! a label takes from outside is cut, and control characters are replaced. So neither a client nor a configuration can
//! make a line of its own, or a name that is not here.

use crate::error::Reason;

/// The beginning of all names.
pub const PREFIX: &str = "route_native";

/// The byte between the parts of a key.
pub const SEPARATOR: char = '\x1f';

/// The longest value of a label, in bytes.
const MAX_VALUE_BYTES: usize = 200;

/// In place of a value that its label does not have.
pub const OTHER: &str = "other";

/// The upper bounds of the buckets of every histogram, in seconds.
pub const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How the numbers of several workers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows. Those of all workers are added.
    Counter,
    /// Times in [`BUCKETS`].
    Histogram,
    /// A number of each worker. Those of all workers are added.
    Sum,
    /// A number that all workers know, some later than others. The largest counts.
    Max,
}

/// What a label can say.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Why a request is refused: the name of a [`Reason`], or one of [`OTHER_REASONS`]; empty if it passes.
    Reason,
    /// `passed`, or the status with which a request is refused.
    Answer,
    /// A text of the configuration.
    Text,
}

/// A metric with its help.
#[derive(Debug)]
pub struct Family {
    /// The name behind [`PREFIX`].
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The labels' names, in the order of the key, and their values.
    pub labels: &'static [(&'static str, Values)],
    /// One sentence.
    pub help: &'static str,
}

const CAPABILITY: (&str, Values) =
    ("capability", Values::OneOf(&["desktop", "auth", "phantom", "border", "oidc", "tunnel"]));
const TIER: (&str, Values) = ("tier", Values::OneOf(&["worker", "shared", "joined", "miss", "stale"]));
const RESULT: (&str, Values) = ("result", Values::OneOf(&["success", "failure", "limited", "cross_site"]));
const OPERATION: (&str, Values) = ("operation", Values::OneOf(&["get", "add", "set", "swap", "touch", "delete"]));
const STORE: (&str, Values) = ("store", Values::OneOf(&["memory", "memcached", "redis"]));

/// The reasons that are no status of the library: those of requests whose token is fine, or that have none, and of
/// upstreams that fail.
pub const OTHER_REASONS: &[&str] = &[
    "acr_insufficient",
    "authentication_too_old",
    "claim_not_allowed",
    "claim_too_large",
    "client_connections",
    "client_rate",
    "cross_origin",
    "cross_site_link",
    "desktop_answer_invalid",
    "desktop_busy",
    "desktop_refused",
    "desktop_starting",
    "desktop_timeout",
    "desktop_tls_failed",
    "desktop_unreachable",
    "desktop_unresolved",
    "queue_full",
    "scope_missing",
    "service_denied",
    "service_unmapped",
    "service_worker",
    "session_ended",
    "session_expired",
    "session_missing",
    "session_revoked",
    "session_unavailable",
    "target_connections",
    "target_rate",
    "token_connections",
    "token_rate",
    "too_many_headers",
    "too_many_inactive",
    "too_many_requests",
    "unavailable",
    "upgrade_required",
];

/// The metric that counts what found no room.
pub const UNCOUNTED: &str = "uncounted_total";

macro_rules! families {
    ($($name:ident $kind:ident [$($label:expr),*] $help:literal;)+) => {
        /// All metrics, in the order of the text.
        pub const FAMILIES: &[Family] = &[
            $(Family { name: stringify!($name), kind: Kind::$kind, labels: &[$($label),*], help: $help },)+
        ];
    };
}

families! {
    build_info Max [("version", Values::Text), ("nginx", Values::Text), ("lua_module", Values::Text)]
        "Names the versions that run.";
    ready Max [] "Whether /readyz answers 200.";
    workers Sum [] "Workers that reported within the last seconds.";
    requests_total Counter [CAPABILITY, ("endpoint", Values::Text), ("answer", Values::Answer), ("reason", Values::Reason)]
        "Requests that were checked, by answer and reason.";
    upstream_errors_total Counter [("endpoint", Values::Text), ("status", Values::Answer), ("reason", Values::Reason)]
        "Checked requests that an upstream answered with 502, 503 or 504, or not at all.";
    cache_answers_total Counter [CAPABILITY, TIER] "Valid tokens by the cache that knew them.";
    cache_entries Sum [CAPABILITY] "Entries in the caches of all workers.";
    resolve_seconds Histogram [] "Time to resolve a desktop's token that no cache knew.";
    introspection_seconds Histogram [] "Time of an introspection at the authorization server.";
    store_seconds Histogram [STORE, OPERATION] "Time of a call to the session store.";
    thread_pool_jobs Sum [] "Jobs in the thread pool, waiting or running.";
    logins_total Counter [CAPABILITY, RESULT] "Logins by result.";
    border_events_total Counter [("event", Values::Text)] "Events of border sessions.";
    oidc_events_total Counter [("event", Values::Text)] "Events of logins and sessions of OpenID Connect.";
    open_connections Sum [] "Open long connections that end with their token or session.";
    connections_ended_total Counter [] "Long connections that ended with their token or session.";
    jwks_fetches_total Counter [("url", Values::Text), ("result", Values::Text)] "Fetches of a JWK Set by result.";
    jwks_last_success_timestamp_seconds Max [("url", Values::Text)] "When a JWK Set was last fetched.";
    jwks_age_seconds Max [("url", Values::Text)] "Time since a JWK Set was last fetched.";
    key_last_used_timestamp_seconds Max [("kid", Values::Text)] "When a key last verified a token; 0 if it has not yet.";
    key_file_modified_timestamp_seconds Max [("file", Values::Text)] "When a key file in use was last changed.";
    certificate_expiry_timestamp_seconds Max [("file", Values::Text)] "When the first certificate of a file in use expires.";
    revocations Max [] "Revocations in force.";
    revocations_age_seconds Max [] "Age of what is known of the revocations.";
    dictionary_free_bytes Max [("dictionary", Values::Text)] "Free whole pages of a shared dictionary.";
    dictionary_capacity_bytes Max [("dictionary", Values::Text)] "Size of a shared dictionary.";
    uncounted_total Counter [] "Events that found no room for a series of their own.";
}

/// Returns the family with that name and its place in [`FAMILIES`].
pub fn find(name: &str) -> Option<(usize, &'static Family)> {
    FAMILIES.iter().enumerate().find(|(_, family)| family.name == name)
}

impl Values {
    /// Returns the value that stands for `value`.
    fn bounded(self, value: &str) -> String {
        let is_known = match self {
            Values::OneOf(known) => known.contains(&value),
            Values::Reason => {
                value.is_empty()
                    || OTHER_REASONS.contains(&value)
                    || Reason::ALL.iter().any(|reason| reason.name() == value)
            }
            Values::Answer => value == "passed" || value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_digit()),
            Values::Text => return text(value),
        };
        if is_known { value.to_owned() } else { OTHER.to_owned() }
    }
}

/// Returns a text without control characters, cut to a bounded length.
fn text(value: &str) -> String {
    let mut end = value.len().min(MAX_VALUE_BYTES);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value[..end].chars().map(|letter| if letter.is_control() { '_' } else { letter }).collect()
}

/// Reads a key. Returns the place of its family and the labels' bounded values, or `None` for a key of no family.
pub fn read(key: &[u8]) -> Option<(usize, Vec<String>)> {
    let key = String::from_utf8_lossy(key);
    let mut parts = key.split(SEPARATOR);
    let (index, family) = find(parts.next()?)?;
    let values: Vec<_> = parts.collect();
    let bounded = || family.labels.iter().zip(&values).map(|((_, allowed), value)| allowed.bounded(value)).collect();
    (values.len() == family.labels.len()).then(|| (index, bounded()))
}

/// Writes a key.
pub fn key(name: &str, values: &[String]) -> String {
    values.iter().fold(name.to_owned(), |key, value| format!("{key}{SEPARATOR}{value}"))
}

impl Family {
    /// Returns the key of the series for values that get none of their own: every text is [`OTHER`].
    pub fn overflow(&self, values: &[String]) -> String {
        let is_text = |index: usize| matches!(self.labels[index].1, Values::Text);
        let values: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(index, value)| if is_text(index) { OTHER.to_owned() } else { value.clone() })
            .collect();
        key(self.name, &values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_only_its_values_and_no_line_of_its_own() {
        let read = |text: &str| read(text.replace('|', "\x1f").as_bytes()).map(|(_, values)| values.join("|"));
        for (key, values) in [
            ("requests_total|desktop|filer|401|token_expired", Some("desktop|filer|401|token_expired")),
            ("requests_total|desktop|filer|passed|", Some("desktop|filer|passed|")),
            ("requests_total|x|a\nb\"|40|my own reason", Some("other|a_b\"|other|other")),
            ("requests_total|desktop|filer|401", None),
            ("requests_total|desktop|filer|401||", None),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(read(key).as_deref(), values, "{key}");
        }
        let long = read(&format!("border_events_total|{}", "ä".repeat(150))).unwrap();
        assert_eq!(long, "ä".repeat(100));
    }

    #[test]
    fn every_name_is_there_once_and_says_its_type() {
        for (index, family) in FAMILIES.iter().enumerate() {
            assert_eq!(find(family.name).map(|(found, _)| found), Some(index), "{}", family.name);
            assert_eq!(family.kind == Kind::Counter, family.name.ends_with("_total"), "{}", family.name);
            assert!(family.help.ends_with('.') && !family.help.contains('\n'), "{}", family.name);
        }
    }
}
