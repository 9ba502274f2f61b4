//! The header fields that cross the tunnel (RFC 9110 §7.6).

use hyper::{
    HeaderMap, Method, Request, Version,
    body::Body,
    header::{self, HeaderName, HeaderValue},
    http::uri::Authority,
};
use std::net::IpAddr;

use crate::tunnel::wire;

/// The fields that belong to one connection, whether or not `Connection` names them.
static HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    HeaderName::from_static("http2-settings"),
];
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The number of fields in a head, of a viewer or of a target. hyper's own limit is 100.
pub(super) const MAX_FIELDS: usize = 256;

/// Returns true for a registration: the path is `/`, and the request has an ID.
pub(super) fn is_registration<B>(request: &Request<B>) -> bool {
    let named = request.headers().get(wire::ID_HEADER).is_some_and(|id| !id.is_empty());
    request.uri().path() == "/" && named
}

/// Returns true if a request names its host as RFC 9112 §3.2 requires: in one valid Host field. HTTP/1.0 may omit it.
pub(super) fn has_valid_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_valid_host(host.as_bytes()),
        (None, _) => request.version() == Version::HTTP_10,
        _ => false,
    }
}

/// Returns true for a host with an optional port. A host may be empty.
fn is_valid_host(host: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(host) else { return false };
    let name_end = text.rfind(']').map_or(0, |end| end + 1);
    let port = text[name_end..].rfind(':').map_or("", |colon| &text[name_end + colon + 1..]);
    let is_host = |text: &str| !text.contains('@') && text.parse::<Authority>().is_ok();
    text.is_empty() || is_host(text) && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Replaces the Host field by the authority of an absolute target, which takes precedence (RFC 9112 §3.2.2).
pub(super) fn set_host_of_target(headers: &mut HeaderMap, target: Option<&Authority>) {
    let Some(authority) = target else { return };
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(header::HOST, host);
    }
}

/// Returns true if a field is a list that contains `token`, in any case.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Returns true for a WebSocket handshake, which is a GET of HTTP/1.1 without a body (RFC 6455 §4.1).
pub(super) fn is_handshake<B: Body>(request: &Request<B>) -> bool {
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && request.body().is_end_stream()
        && wants_websocket(request.headers())
        && request.headers().get_all(header::UPGRADE).iter().count() == 1
        && request.headers()[header::UPGRADE].as_bytes().eq_ignore_ascii_case(b"websocket")
}

/// Returns true if a request or a response authenticates its connection, as NTLM and Negotiate do (RFC 4559 §6). Such a
/// connection must never carry another viewer's request.
pub(super) fn authenticates_connection(headers: &HeaderMap) -> bool {
    let fields = [header::AUTHORIZATION, header::WWW_AUTHENTICATE];
    fields.iter().flat_map(|name| headers.get_all(name)).any(|value| {
        let schemes = value.as_bytes().split(|byte| *byte == b',');
        schemes
            .filter_map(|scheme| scheme.trim_ascii().split(u8::is_ascii_whitespace).next())
            .any(|scheme| scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate"))
    })
}

/// Removes from a request's trailers the fields that belong to its head (RFC 9110 §6.5.1). A service that merges
/// trailers into the head would otherwise trust a viewer's `X-Forwarded-For` or `Authorization`.
pub(super) fn strip_trailers(trailers: &mut HeaderMap) {
    let refused = |name: &HeaderName| {
        let name = name.as_str();
        let head_only = [
            "host",
            "content-length",
            "content-type",
            "content-encoding",
            "trailer",
            "expect",
            "forwarded",
            "cookie",
            "authorization",
            "x-real-ip",
        ];
        head_only.contains(&name) || name.starts_with("x-forwarded-") || name.starts_with("x-websocktunnel-")
    };
    let names: Vec<HeaderName> =
        trailers.keys().filter(|name| HOP_BY_HOP.contains(name) || refused(name)).cloned().collect();
    for name in names {
        trailers.remove(name);
    }
}

/// Returns true if a head requests an upgrade to WebSocket.
pub(super) fn wants_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, &header::CONNECTION, "upgrade") && has_token(headers, &header::UPGRADE, "websocket")
}

/// Returns true if the head of a 101 switches to WebSocket and to no other protocol.
pub(super) fn switches_to_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(header::UPGRADE).iter();
    has_token(headers, &header::CONNECTION, "upgrade")
        && protocols.next().is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && protocols.next().is_none()
}

/// Removes the fields that belong to the connection of the message. Keeps `TE: trailers` for the next hop.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have none of these fields. One pass finds out faster than a search for each.
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
        // Connection must not remove fields that the message requires.
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

/// Returns true if a body has a transfer coding other than a single `chunked`.
pub(super) fn has_unsupported_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) => !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        _ => true,
    }
}

/// Sets the framing fields of a request to those of its body, whatever the viewer sent.
pub(super) fn frame_request(headers: &mut HeaderMap, body: &impl Body) {
    let had_length = headers.remove(header::CONTENT_LENGTH).is_some();
    headers.remove(header::TRANSFER_ENCODING);
    match body.size_hint().exact() {
        // Keeps a `Content-Length: 0`, which the method may require.
        Some(0) if !had_length => {}
        Some(length) => _ = headers.insert(header::CONTENT_LENGTH, length.into()),
        // hyper sends a GET without framing fields as one without a body.
        None => _ = headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
    }
}

/// Keeps the `Content-Length` of a response if it is valid and the body has that framing. `chunked` takes precedence
/// (RFC 9112 §6.3). The response to a HEAD has the length of a body that does not follow.
pub(super) fn frame_response(headers: &mut HeaderMap, body: &impl Body) {
    let chunked = headers.remove(header::TRANSFER_ENCODING).is_some();
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return };
    let valid = !first.is_empty() && first.as_bytes().iter().all(u8::is_ascii_digit) && lengths.all(|one| one == first);
    let first = first.clone();
    if chunked || !valid || body.size_hint().exact().is_none() {
        headers.remove(header::CONTENT_LENGTH);
    } else {
        // Replaces repeated equal fields by one.
        headers.insert(header::CONTENT_LENGTH, first);
    }
}

/// Sets the `X-Forwarded-*` fields. Replaces those of an untrusted peer.
pub(super) fn set_forwarded(headers: &mut HeaderMap, peer: IpAddr, tls: bool, trust_peer: bool) {
    let mut chain = String::new();
    if trust_peer {
        for value in headers.get_all(&FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()) {
            chain.push_str(value);
            chain.push_str(", ");
        }
    } else {
        let is_claim = |name: &HeaderName| name.as_str().starts_with("x-forwarded-");
        let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
        for name in claims {
            headers.remove(name);
        }
        headers.remove(header::FORWARDED);
        headers.remove("x-real-ip");
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
    let port = forwarded_port(headers);
    headers.entry(&FORWARDED_PORT).or_insert(port);
}

/// The port that the viewer named, or the one of its scheme.
fn forwarded_port(headers: &HeaderMap) -> HeaderValue {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let authority = text(&FORWARDED_HOST).and_then(|host| host.parse::<Authority>().ok());
    let default = if text(&FORWARDED_PROTO) == Some("https") { 443 } else { 80 };
    authority.and_then(|authority| authority.port_u16()).unwrap_or(default).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use std::convert::Infallible;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn hop_by_hop_fields_are_removed() {
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
    fn a_handshake_is_a_get_of_http_1_1_without_a_body() {
        let request = |method: &str, version, body: &'static str| {
            let request = Request::builder().method(method).version(version);
            let request = request.header("connection", "upgrade").header("upgrade", "websocket");
            request.body(Full::new(Bytes::from(body))).unwrap()
        };
        assert!(is_handshake(&request("GET", Version::HTTP_11, "")));
        assert!(!is_handshake(&request("GET", Version::HTTP_11, "x")));
        assert!(!is_handshake(&request("GET", Version::HTTP_10, "")));
        for method in ["POST", "HEAD", "PUT", "OPTIONS", "get"] {
            assert!(!is_handshake(&request(method, Version::HTTP_11, "")), "{method}");
        }
    }

    #[test]
    fn a_handshake_upgrades_to_websocket_and_to_nothing_else() {
        for (fields, expected) in [
            (&["websocket"][..], true),
            (&["WebSocket"], true),
            (&["h2c, websocket"], false),
            (&["websocket, h2c"], false),
            (&["h2c", "websocket"], false),
            (&["websocket", "websocket"], false),
            (&["h2c"], false),
        ] {
            let mut request = Request::builder().header("connection", "upgrade");
            for field in fields {
                request = request.header("upgrade", *field);
            }
            assert_eq!(is_handshake(&request.body(Full::new(Bytes::new())).unwrap()), expected, "{fields:?}");
        }
    }

    #[test]
    fn ntlm_and_negotiate_authenticate_the_connection() {
        for (name, value, expected) in [
            ("authorization", "NTLM TlRMTVNTUAAB", true),
            ("authorization", "negotiate YII", true),
            ("www-authenticate", "Basic realm=x, NTLM", true),
            ("www-authenticate", "Negotiate", true),
            ("authorization", "Bearer ntlm", false),
            ("authorization", "Basic x", false),
            ("www-authenticate", "Bearer error=\"ntlm\"", false),
        ] {
            assert_eq!(authenticates_connection(&map(&[(name, value)])), expected, "{name}: {value}");
        }
    }

    #[test]
    fn fields_of_the_head_are_removed_from_trailers() {
        let mut trailers = map(&[
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-anything", "1"),
            ("forwarded", "for=1.2.3.4"),
            ("x-websocktunnel-id", "c1"),
            ("cookie", "a=b"),
            ("authorization", "Bearer x"),
            ("connection", "close"),
            ("upgrade", "websocket"),
            ("content-length", "3"),
            ("host", "h"),
            ("x-sum", "1"),
        ]);
        strip_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("x-sum", "1")]));
    }

    /// Returns a body without a known length.
    fn unknown() -> impl Body {
        StreamBody::new(futures_util::stream::empty::<Result<Frame<Bytes>, Infallible>>())
    }

    #[test]
    fn a_request_gets_the_framing_of_its_body() {
        const LENGTH: (&str, &str) = ("content-length", "40");
        const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");
        for fields in [&[][..], &[LENGTH], &[CHUNKED], &[LENGTH, CHUNKED], &[LENGTH, ("content-length", "41")]] {
            let mut headers = map(fields);
            frame_request(&mut headers, &Full::new(Bytes::from("hello")));
            assert_eq!(headers, map(&[("content-length", "5")]), "{fields:?}");
            let mut headers = map(fields);
            frame_request(&mut headers, &unknown());
            assert_eq!(headers, map(&[CHUNKED]), "{fields:?}");
        }
        let mut headers = map(&[LENGTH]);
        frame_request(&mut headers, &Full::new(Bytes::new()));
        assert_eq!(headers, map(&[("content-length", "0")]));
        let mut headers = map(&[]);
        frame_request(&mut headers, &Full::new(Bytes::new()));
        assert_eq!(headers, map(&[]));
    }

    #[test]
    fn a_response_keeps_a_valid_length_of_its_body() {
        const LENGTH: (&str, &str) = ("content-length", "5");
        const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");
        let none = || Full::new(Bytes::new());
        for (fields, kept) in [
            (&[LENGTH][..], true),
            (&[LENGTH, LENGTH], true),
            (&[LENGTH, ("content-length", "6")], false),
            (&[("content-length", "+5")], false),
            (&[("content-length", "")], false),
            (&[LENGTH, CHUNKED], false),
            (&[CHUNKED], false),
        ] {
            let mut headers = map(fields);
            // The response to a HEAD has a length and no body.
            frame_response(&mut headers, &none());
            assert_eq!(headers, if kept { map(&[LENGTH]) } else { map(&[]) }, "{fields:?}");
            let mut headers = map(fields);
            frame_response(&mut headers, &unknown());
            assert_eq!(headers, map(&[]), "{fields:?}");
        }
    }

    #[test]
    fn a_single_chunked_is_the_only_supported_coding() {
        for fields in [&[][..], &[("transfer-encoding", "chunked")], &[("transfer-encoding", " Chunked ")]] {
            assert!(!has_unsupported_coding(&map(fields)), "{fields:?}");
        }
        for coding in ["gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "identity", ""] {
            assert!(has_unsupported_coding(&map(&[("transfer-encoding", coding)])), "{coding}");
        }
        assert!(has_unsupported_coding(&map(&[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")])));
    }

    #[test]
    fn forwarded_fields_of_an_untrusted_peer_are_replaced() {
        let sent = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "bank"),
            ("x-forwarded-port", "7"),
            ("x-forwarded-user", "root"),
            ("x-real-ip", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("host", "h:8"),
        ];
        let peer = "::ffff:10.0.0.9".parse().unwrap();
        let mut headers = map(&sent);
        set_forwarded(&mut headers, peer, false, false);
        assert_eq!(
            (&headers["x-forwarded-for"], &headers["x-forwarded-proto"]),
            (&HeaderValue::from_static("10.0.0.9"), &HeaderValue::from_static("http"))
        );
        assert_eq!(
            (&headers["x-forwarded-host"], &headers["x-forwarded-port"]),
            (&headers["host"], &"8".parse().unwrap())
        );
        assert_eq!(headers.len(), 5);
        let mut headers = map(&sent);
        set_forwarded(&mut headers, peer, false, true);
        assert_eq!(headers["x-forwarded-for"], "1.2.3.4, 10.0.0.9");
        assert_eq!(
            (&headers["x-forwarded-proto"], &headers["x-forwarded-host"]),
            (&HeaderValue::from_static("https"), &HeaderValue::from_static("bank"))
        );
        assert_eq!((&headers["x-forwarded-port"], headers.len()), (&HeaderValue::from_static("7"), sent.len()));
    }

    #[test]
    fn the_port_is_the_one_that_was_named_or_that_of_the_scheme() {
        for (host, tls, port) in [
            ("h", false, "80"),
            ("h", true, "443"),
            ("h:8443", true, "8443"),
            ("[::1]:1", false, "1"),
            ("h:x", false, "80"),
        ] {
            let mut headers = map(&[("host", host)]);
            set_forwarded(&mut headers, "10.0.0.9".parse().unwrap(), tls, false);
            assert_eq!(headers["x-forwarded-port"], port, "{host}");
        }
    }

    #[test]
    fn an_upgrade_needs_connection_and_upgrade() {
        assert!(wants_websocket(&map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")])));
        assert!(!wants_websocket(&map(&[("connection", "keep-alive"), ("upgrade", "websocket")])));
        assert!(!wants_websocket(&map(&[("connection", "upgrade"), ("upgrade", "h2c")])));
    }

    #[test]
    fn a_101_switches_to_websocket_and_to_no_other_protocol() {
        let both = |upgrades: &[&'static str]| {
            let fields: Vec<_> = upgrades.iter().map(|name| ("upgrade", *name)).collect();
            map(&[&[("connection", "Upgrade")], &fields[..]].concat())
        };
        assert!(switches_to_websocket(&both(&["WebSocket"])));
        assert!(!switches_to_websocket(&map(&[("upgrade", "websocket")])));
        for upgrades in [&["h2c"][..], &["websocket, h2c"], &["websocket", "h2c"], &["h2c", "websocket"], &[""], &[]] {
            assert!(!switches_to_websocket(&both(upgrades)), "{upgrades:?}");
        }
    }
}
