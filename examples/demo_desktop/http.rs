//! HTTP: describes each request in JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;

use crate::websocket;

/// Serves one connection, accepted on `port`, until either side closes it.
pub async fn serve(stream: TcpStream, port: u16) {
    // An error only makes responses slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(port, request));
    // A client's error ends its own connection only. There are no timeouts, because a gateway may keep idle
    // connections.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

/// Responds to one request, or upgrades its connection to a WebSocket.
async fn respond(port: u16, mut request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    if let Some(switching) = websocket::handshake(&request) {
        let greeting = describe(port, request.method(), request.uri(), request.headers(), 0);
        tokio::spawn(websocket::open(hyper::upgrade::on(&mut request), greeting));
        return Ok(switching);
    }

    let (head, mut body) = request.into_parts();
    let mut body_bytes = 0;
    while let Some(frame) = body.frame().await {
        body_bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    let json = describe(port, &head.method, &head.uri, &head.headers, body_bytes);
    let mut response = Response::new(Full::from(json));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Returns the JSON of a request.
///
/// `path` is the path and query as received. (hyper drops a raw `#` and what follows it, and responds 400 to raw `"<>`,
/// a backtick or bytes that are not UTF-8, which RFC 9112 does not allow.) Header names are in lower case. The values
/// of a repeated header are joined with `, `. Bytes that are not UTF-8 become U+FFFD.
fn describe(port: u16, method: &Method, uri: &Uri, headers: &HeaderMap, body_bytes: u64) -> String {
    #[derive(Serialize)]
    struct Description<'a> {
        port: u16,
        method: &'a str,
        path: &'a str,
        headers: BTreeMap<&'a str, Cow<'a, str>>,
        body_bytes: u64,
    }

    let mut joined = BTreeMap::<_, Cow<str>>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        joined
            .entry(name.as_str())
            .and_modify(|all| {
                let all = all.to_mut();
                all.push_str(", ");
                all.push_str(&value);
            })
            .or_insert(value);
    }
    let path = match uri.path_and_query() {
        Some(path) => path.as_str(),
        // Only CONNECT has no path, but an authority.
        None => uri.authority().map_or("", |authority| authority.as_str()),
    };
    let description = Description { port, method: method.as_str(), path, headers: joined, body_bytes };
    serde_json::to_string(&description).expect("strings and numbers always become JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of(request: &Request<()>, body_bytes: u64) -> String {
        describe(29786, request.method(), request.uri(), request.headers(), body_bytes)
    }

    #[test]
    fn a_description_has_exactly_the_documented_fields() {
        let request = Request::put("/a%2Fb/../c?x=%20&y=1+2&").header("Host", "h").header("X-One", "1").body(());
        assert_eq!(
            json_of(&request.unwrap(), 8 << 30),
            r#"{"port":29786,"method":"PUT","path":"/a%2Fb/../c?x=%20&y=1+2&","headers":{"host":"h","x-one":"1"},"body_bytes":8589934592}"#
        );
    }

    #[test]
    fn repeated_headers_are_joined_in_their_order() {
        let request = Request::get("/").header("Accept", "b").header("ACCEPT", "").header("accept", "a, c").body(());
        let json: serde_json::Value = serde_json::from_str(&json_of(&request.unwrap(), 0)).unwrap();
        assert_eq!(json["headers"], serde_json::json!({ "accept": "b, , a, c" }));
    }

    #[test]
    fn header_values_become_utf8_and_are_escaped() {
        let request = Request::get("/")
            .header("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap())
            .header("x-utf8", HeaderValue::from_bytes("café".as_bytes()).unwrap())
            .header("x-quote", "\"\\\t")
            .body(());
        let json: serde_json::Value = serde_json::from_str(&json_of(&request.unwrap(), 0)).unwrap();
        let expected = serde_json::json!({ "x-latin": "caf\u{fffd}", "x-utf8": "café", "x-quote": "\"\\\t" });
        assert_eq!(json["headers"], expected);
    }

    #[test]
    fn every_form_of_request_target_has_a_path() {
        for (target, path) in [("*", "*"), ("http://host/a?b", "/a?b"), ("host:443", "host:443"), ("/?jwt", "/?jwt")] {
            let request = Request::builder().method("ANY").uri(target).body(()).unwrap();
            let json: serde_json::Value = serde_json::from_str(&json_of(&request, 0)).unwrap();
            assert_eq!(json["path"], path);
            assert_eq!(json["method"], "ANY");
        }
    }
}
