//! Requests of viewers, which are forwarded through a tunnel.

use super::{
    DrainResponse, Peer, Server, answer,
    conversation::Conversation,
    exchange::{Failure, exchange, is_stale},
    headers,
    metrics::count,
    registry::Tunnel,
    request_body::{Progress, RequestBody},
    response_body::ResponseBody,
    retry_later,
    revocations::identity_of_viewer,
    upstream::ConnectError,
    websocket,
};
use crate::{
    error::Reason,
    mux::OpenError,
    tunnel::{log::Level, wire},
};
use hyper::{
    Method, Request, Response, StatusCode, Uri, Version,
    body::{Body, Incoming},
    header::{self, HeaderValue},
    http::{request, uri::PathAndQuery},
};
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, sync::Arc};

/// Splits a request target into the tunnel's ID and the target's path and query. Neither decodes nor normalizes them.
pub(super) fn split_target(uri: &Uri) -> (&str, String) {
    let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = whole.strip_prefix('/').unwrap_or(whole);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (id, rest) = rest.split_at(end);
    let target = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    (id, target)
}

/// Handles the request of a viewer.
pub(super) async fn serve(
    server: &Arc<Server>,
    peer: Peer,
    conversation: &Conversation,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    if request.method() == Method::CONNECT {
        return answer(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    let (id, target) = split_target(request.uri());
    if id.is_empty() {
        return answer(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    let drain_response = DrainResponse::for_request(&request);
    let can_retry_elsewhere = request.headers().contains_key(wire::ELSEWHERE_HEADER);
    let Some(tunnel) = server.registry.get(id) else {
        return server.no_such_client(id, drain_response);
    };
    let id = id.to_owned();
    if let Err(refusal) = check_token(server, conversation, &request, &id) {
        return *refusal;
    }
    let log = server.config.logger.clone();
    log.event(Level::Debug, "viewer request", &[("tunnel-id", &id), ("remote-addr", &peer.address)]);
    if headers::has_unsupported_coding(request.headers()) {
        return answer(StatusCode::NOT_IMPLEMENTED, "Only chunked bodies are understood\n");
    }
    let is_websocket = headers::is_handshake(&request);
    let (mut parts, body) = request.into_parts();
    rewrite(server, peer, &mut parts, &target, is_websocket);
    let outcome = if is_websocket {
        count(&server.metrics.viewer_websockets_total);
        websocket::serve(server, &tunnel, conversation, Request::from_parts(parts, body)).await
    } else {
        count(&server.metrics.viewer_requests_total);
        forward(server, &tunnel, conversation, parts, body).await
    };
    let outcome = outcome.and_then(|response| match response.status().as_u16() {
        wire::ELSEWHERE_STATUS if can_retry_elsewhere => Err(Failure::ReservedStatus),
        _ => Ok(response),
    });
    outcome.unwrap_or_else(|failure| {
        if matches!(failure, Failure::Connect(ConnectError::Open(OpenError::Closed))) {
            // The client disconnected after the lookup, before anything was sent.
            return server.no_such_client(&id, drain_response);
        }
        log.event(Level::Warn, "viewer request failed", &[("tunnel-id", &id), ("error", &failure)]);
        server.error_response(failure.status())
    })
}

/// Refuses a viewer whose bearer token is revoked. Otherwise the viewer's connection ends when the token is.
fn check_token(
    server: &Server,
    conversation: &Conversation,
    request: &Request<Incoming>,
    id: &str,
) -> Result<(), Box<Response<ResponseBody>>> {
    let Some(revocations) = &server.revocations else { return Ok(()) };
    let Some(identity) = identity_of_viewer(request.headers()) else { return Ok(()) };
    match revocations.check(&identity) {
        Ok(()) => {
            conversation.watch(revocations, identity);
            Ok(())
        }
        Err(reason) => {
            count(&server.metrics.viewer_revoked_total);
            let fields: [(&str, &dyn std::fmt::Display); 2] = [("tunnel-id", &id), ("reason", &reason)];
            server.config.logger.event(Level::Info, "viewer refused", &fields);
            Err(Box::new(refusal(reason)))
        }
    }
}

/// Returns the response for a token that is revoked, or of which nobody knows whether it is.
pub(super) fn refusal(reason: Reason) -> Response<ResponseBody> {
    if reason != Reason::TokenRevoked {
        return retry_later("Nobody knows what is revoked\n");
    }
    let mut response = answer(StatusCode::UNAUTHORIZED, "Unauthorized\n");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Converts the head of a viewer's request into the one for the target.
fn rewrite(server: &Server, peer: Peer, parts: &mut request::Parts, target: &str, is_websocket: bool) {
    headers::strip_hop_by_hop(&mut parts.headers);
    parts.headers.remove(wire::ELSEWHERE_HEADER);
    if is_websocket {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        parts.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    headers::set_host_of_target(&mut parts.headers, parts.uri.authority());
    headers::set_forwarded(&mut parts.headers, peer.address.ip(), peer.tls, server.config.behind_proxy);
    let path = parts.uri.path();
    let decoded = Cow::from(percent_decode_str(path));
    let original = HeaderValue::from_bytes(&decoded).or_else(|_| HeaderValue::from_str(path));
    if let Ok(original) = original {
        parts.headers.insert(wire::ORIGINAL_PATH_HEADER, original);
    }
    parts.headers.entry(header::HOST).or_insert(HeaderValue::from_static(""));
    parts.version = Version::HTTP_11;
    if let Ok(uri) = target.parse() {
        parts.uri = uri;
    }
}

/// Forwards a request that is no WebSocket handshake.
async fn forward(
    server: &Arc<Server>,
    tunnel: &Arc<Tunnel>,
    conversation: &Conversation,
    mut parts: request::Parts,
    body: Incoming,
) -> Result<Response<ResponseBody>, Failure> {
    headers::frame_request(&mut parts.headers, &body);
    let empty = body.is_end_stream();
    let repeatable = empty && matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    if repeatable && let Some(connection) = tunnel.pool.take() {
        let request = conversation.outgoing(parts.clone(), RequestBody::empty());
        match exchange(server, tunnel, connection, request, &Progress::new()).await {
            // The target closed the idle connection. Retries on a new one.
            Err(Failure::Http(error)) if is_stale(&error) => {}
            outcome => return outcome,
        }
    }
    let connection = tunnel.pool.connect(server.config.open_timeout).await?;
    let progress = Progress::new();
    conversation.set_body(progress.clone());
    let body = if empty { RequestBody::empty() } else { RequestBody::new(body, progress.clone()) };
    exchange(server, tunnel, connection, conversation.outgoing(parts, body), &progress).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_split_without_decoding() {
        for (target, id, rest) in [
            ("/c1", "c1", "/"),
            ("/c1/", "c1", "/"),
            ("/c1?x=1", "c1", "/?x=1"),
            ("/c1/?", "c1", "/?"),
            ("/c1/a%2Fb/%7Ex?q=1&r=%20", "c1", "/a%2Fb/%7Ex?q=1&r=%20"),
            ("/c1//a//b/../c", "c1", "//a//b/../c"),
            ("/%631/x", "%631", "/x"),
            ("//c1/x", "", "/c1/x"),
            ("/", "", "/"),
            ("http://h/c1/x", "c1", "/x"),
        ] {
            assert_eq!(split_target(&target.parse().unwrap()), (id, rest.to_owned()), "{target}");
        }
    }
}
