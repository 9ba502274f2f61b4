//! The metrics, in the text format of Prometheus.
//!
//! Each has two names for one release: the older one begins with `websocktunnel`, the newer as all metrics here do.

use crate::metrics::families::PREFIX;
use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

macro_rules! metrics {
    ($($name:ident: $kind:literal, $help:literal;)+) => {
        /// The metrics of a server.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $help] pub $name: AtomicU64,)+
        }

        impl Metrics {
            /// Returns all metrics as text.
            pub fn render(&self) -> String {
                let mut out = String::new();
                for prefix in ["websocktunnel", &format!("{PREFIX}_tunnel")] {
                    $(
                        let name = format!("{prefix}_{}", stringify!($name));
                        let value = self.$name.load(Relaxed);
                        _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {}\n{name} {value}", $help, $kind);
                    )+
                }
                out
            }
        }
    };
}

metrics! {
    clients: "gauge", "Clients that are connected now.";
    streams: "gauge", "Streams in use now.";
    buffered_bytes: "gauge", "Bytes received from clients that no viewer has taken yet.";
    revocations: "gauge", "Revocations that are known and have not ended.";
    revocations_age_seconds: "gauge", "Seconds since all revocations were known.";
    registrations_total: "counter", "Registrations that succeeded.";
    registrations_refused_total: "counter", "Registrations that were refused.";
    registrations_replaced_total: "counter", "Sessions that a newer registration of their ID ended.";
    sessions_expired_total: "counter", "Sessions that ended with their token.";
    sessions_revoked_total: "counter", "Sessions that ended because their token was revoked.";
    sessions_violated_total: "counter", "Sessions that ended because the client broke a rule.";
    sessions_lost_total: "counter", "Sessions whose connection broke.";
    streams_cut_total: "counter", "Streams that a limit of this server or of the client ended.";
    viewer_requests_total: "counter", "Requests of viewers.";
    viewer_websockets_total: "counter", "WebSockets of viewers.";
    viewer_unknown_total: "counter", "Requests of viewers for an ID that is not connected.";
    viewer_bad_gateway_total: "counter", "Requests of viewers that were answered 502.";
    viewer_refused_total: "counter", "Requests of viewers that were answered 503, because the client had too many.";
    viewer_timeout_total: "counter", "Requests of viewers that were answered 504.";
    viewer_revoked_total: "counter", "Requests of viewers whose token was revoked.";
    viewer_truncated_total: "counter", "Responses that broke off after their head.";
}

/// Increments a counter.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_help_a_type_and_a_value() {
        let metrics = Metrics::default();
        count(&metrics.registrations_total);
        let text = metrics.render();
        for name in ["websocktunnel_registrations_total", "route_native_tunnel_registrations_total"] {
            assert!(text.contains(&format!("# TYPE {name} counter\n{name} 1\n")), "{name}");
        }
        assert_eq!(text.lines().count() % 3, 0);
    }
}
