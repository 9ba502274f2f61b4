//! What of a message's head crosses the tunnel (RFC 9110 §7.6).

use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};
use std::net::IpAddr;

/// Fields that mean something for one connection only, whether or not `Connection` names them.
static HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::TE,
];
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether a field is a list that contains `token`, in any case.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Whether the head asks to switch to WebSocket.
pub(super) fn wants_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, &header::CONNECTION, "upgrade") && has_token(headers, &header::UPGRADE, "websocket")
}

/// Removes what belongs to the connection that the message came on. `TE: trailers` is said again for the next hop.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have none of them, and this finds out without a search for each.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    let trailers = headers.contains_key(header::TE) && has_token(headers, &header::TE, "trailers");
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        // Connection must not be used to take away what the message cannot do without.
        if name != header::HOST && name != header::CONTENT_LENGTH {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Says where a request came from. What an untrusted peer says about that itself is replaced.
pub(super) fn set_forwarded(headers: &mut HeaderMap, peer: IpAddr, tls: bool, trust_peer: bool) {
    let mut chain = String::new();
    if trust_peer {
        for value in headers.get_all(&FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()) {
            chain.push_str(value);
            chain.push_str(", ");
        }
    } else {
        headers.remove(&FORWARDED_PROTO);
        headers.remove(&FORWARDED_HOST);
        headers.remove(header::FORWARDED);
    }
    chain.push_str(&peer.to_canonical().to_string());
    if let Ok(value) = HeaderValue::from_str(&chain) {
        headers.insert(&FORWARDED_FOR, value);
    }
    let proto = HeaderValue::from_static(if tls { "https" } else { "http" });
    headers.entry(&FORWARDED_PROTO).or_insert(proto);
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.entry(&FORWARDED_HOST).or_insert(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_belongs_to_the_connection_stays_on_it() {
        let mut headers = map(&[
            ("connection", "close, X-Secret"),
            ("connection", "host, content-length"),
            ("keep-alive", "5"),
            ("proxy-authorization", "Basic x"),
            ("te", "gzip, Trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-secret", "1"),
            ("host", "h"),
            ("content-length", "3"),
            ("trailer", "x-sum"),
            ("authorization", "Bearer kept"),
        ]);
        strip_hop_by_hop(&mut headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "content-length", "host", "te", "trailer"]);
        assert_eq!(headers["te"], "trailers");
    }

    #[test]
    fn a_viewer_cannot_say_who_it_is() {
        let sent = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "bank"),
            ("host", "h"),
        ];
        let peer = "::ffff:10.0.0.9".parse().unwrap();
        let mut headers = map(&sent);
        set_forwarded(&mut headers, peer, false, false);
        assert_eq!(
            (&headers["x-forwarded-for"], &headers["x-forwarded-proto"]),
            (&HeaderValue::from_static("10.0.0.9"), &HeaderValue::from_static("http"))
        );
        assert_eq!(headers["x-forwarded-host"], "h");
        let mut headers = map(&sent);
        set_forwarded(&mut headers, peer, false, true);
        assert_eq!(headers["x-forwarded-for"], "1.2.3.4, 10.0.0.9");
        assert_eq!(
            (&headers["x-forwarded-proto"], &headers["x-forwarded-host"]),
            (&HeaderValue::from_static("https"), &HeaderValue::from_static("bank"))
        );
    }

    #[test]
    fn an_upgrade_is_asked_for_in_both_fields() {
        assert!(wants_websocket(&map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")])));
        assert!(!wants_websocket(&map(&[("connection", "keep-alive"), ("upgrade", "websocket")])));
        assert!(!wants_websocket(&map(&[("connection", "upgrade"), ("upgrade", "h2c")])));
    }
}
