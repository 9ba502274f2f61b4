//! Registrations: the requests that turn a connection into a tunnel.

use super::{
    DrainResponse, Peer, Server, answer, auth::bearer_token, conversation::ViewerSocket, headers, listen::Socket,
    metrics::count, registry::Tunnel, response_body::ResponseBody, revocations::identity_of, viewer,
};
use crate::{
    mux::{Config, Cut, Dialect, Role, StreamId, Violation},
    revocation::Identity,
    tunnel::{
        driver::limit_unsent,
        end::{CloseReason, SessionEnd},
        link::Link,
        log::Level,
        shared::Transport,
        wire,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    upgrade::{self, Upgraded},
};
use hyper_util::rt::TokioIo;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A registration that passed the checks.
struct Registration {
    id: String,
    expires: i64,
    sequence: u64,
    dialect: Dialect,
    window: Option<u32>,
    /// What can be revoked.
    identity: Option<Identity>,
}

/// Handles a registration.
pub(super) fn serve(server: &Arc<Server>, peer: Peer, mut request: Request<Incoming>) -> Response<ResponseBody> {
    let registration = match check(server, peer, &request) {
        Ok(registration) => registration,
        Err(refusal) => {
            count(&server.metrics.registrations_refused_total);
            return *refusal;
        }
    };
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let Some(Ok(accept)) = key.map(HeaderValue::try_from) else {
        return answer(StatusCode::BAD_REQUEST, "Bad Request\n");
    };
    let mut response = Response::new(ResponseBody::Text(None));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = response.headers_mut();
    out.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    out.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    out.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Ok(url) = HeaderValue::try_from(format!("{}/{}", server.config.url_prefix, registration.id)) {
        out.insert(wire::URL_HEADER, url);
    }
    let limits = &server.config.limits;
    if registration.dialect == Dialect::Extended {
        out.insert(wire::WINDOW_HEADER, HeaderValue::from(limits.initial_window()));
        out.insert(wire::DIALECT_HEADER, HeaderValue::from_static(wire::DIALECT_VALUE));
    } else {
        // One of our clients may use the original dialect. This is the largest first credit that it can set itself.
        out.insert(wire::WINDOW_HEADER, HeaderValue::from(limits.window));
    }
    let upgraded = upgrade::on(&mut request);
    let server = server.clone();
    tokio::spawn(async move {
        // The previous session ends only after the upgrade, because a failed registration must not end it.
        if let Ok(upgraded) = upgraded.await {
            start(&server, peer, registration, upgraded);
        }
    });
    response
}

/// Checks a registration, in the order of the original.
fn check(
    server: &Server,
    peer: Peer,
    request: &Request<Incoming>,
) -> Result<Registration, Box<Response<ResponseBody>>> {
    let log_refusal = |why: &dyn std::fmt::Display| {
        let fields: [(&str, &dyn std::fmt::Display); 2] = [("remote-addr", &peer.address), ("reason", why)];
        server.config.logger.event(Level::Warn, "registration refused", &fields);
    };
    let refuse = |status: StatusCode, text: &'static str, why: &dyn std::fmt::Display| {
        log_refusal(why);
        Box::new(answer(status, text))
    };
    let bad_request = |why: &'static str| refuse(StatusCode::BAD_REQUEST, "Bad Request\n", &why);
    let headers = request.headers();
    let id = headers.get(wire::ID_HEADER).and_then(|id| id.to_str().ok()).filter(|id| wire::is_valid_id(id));
    let id = id.ok_or_else(|| bad_request("bad_id"))?;
    let mut credentials = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (credentials.next(), credentials.next());
    let token = first.filter(|_| second.is_none()).and_then(|value| value.to_str().ok()).and_then(bearer_token);
    let token = token.ok_or_else(|| bad_request("bad_authorization"))?;
    if !headers::wants_websocket(headers) {
        return Err(refuse(StatusCode::NOT_FOUND, "404 page not found\n", &"no_upgrade"));
    }
    let expires = server.authority.check(token, id, server.now()).map_err(|refusal| {
        let mut response = refuse(StatusCode::UNAUTHORIZED, "Unauthorized\n", &refusal);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        response
    })?;
    let identity = server.revocations.as_ref().map(|_| identity_of(token));
    if let (Some(revocations), Some(identity)) = (&server.revocations, &identity)
        && let Err(reason) = revocations.check(identity)
    {
        log_refusal(&reason);
        return Err(Box::new(viewer::refusal(reason)));
    }
    if let Some((status, text, why)) = handshake_fault(request) {
        let mut response = refuse(status, text, &why);
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(response);
    }
    if server.is_draining() {
        log_refusal(&"stopping");
        return Err(Box::new(DrainResponse::for_request(request).answer()));
    }
    if server.registry.len() >= server.config.max_clients && server.registry.get(id).is_none() {
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable\n", &"no_room"));
    }
    let extended = headers.get(wire::DIALECT_HEADER).is_some_and(|value| value == wire::DIALECT_VALUE);
    let window = headers.get(wire::WINDOW_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Registration {
        id: id.to_owned(),
        expires,
        sequence: server.registry.next_sequence(),
        dialect: if extended { Dialect::Extended } else { Dialect::Original },
        window,
        identity,
    })
}

/// Returns the status, the text and the logged reason for a WebSocket handshake that is invalid.
fn handshake_fault(request: &Request<Incoming>) -> Option<(StatusCode, &'static str, &'static str)> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n", "not_get"));
    }
    if !headers::has_token(headers, &header::SEC_WEBSOCKET_VERSION, "13") {
        return Some((StatusCode::BAD_REQUEST, "Bad Request\n", "bad_version"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| STANDARD.decode(key.to_str().ok()?.trim()).ok());
    key.is_none_or(|key| key.len() != 16).then_some((StatusCode::BAD_REQUEST, "Bad Request\n", "bad_key"))
}

/// Starts the session, adds it to the registry, and removes it at its end.
fn start(server: &Arc<Server>, peer: Peer, registration: Registration, upgraded: Upgraded) {
    let (io, early) = unwrap(upgraded);
    let config = Config {
        role: Role::Server,
        dialect: registration.dialect,
        peer_window: registration.window,
        limits: server.config.limits.clone(),
    };
    let link = Link::start(io, early, config);
    let tunnel = Tunnel::new(link.clone(), registration.expires, registration.sequence);
    let log = &server.config.logger;
    log.event(Level::Info, "client connected", &[("tunnel-id", &registration.id), ("remote-addr", &peer.address)]);
    count(&server.metrics.registrations_total);
    if let Some(replaced) = server.registry.insert(&registration.id, tunnel.clone()) {
        count(&server.metrics.registrations_replaced_total);
        replaced.end(CloseReason::Replaced, server.config.grace);
    }
    if server.is_draining() {
        tunnel.move_away(server.config.grace);
    }
    server.sessions.fetch_add(1, Relaxed);
    let server = server.clone();
    tokio::spawn(async move {
        let revoked = Arc::new(Notify::new());
        let watched = server.revocations.as_ref().zip(registration.identity.clone());
        let _watch = watched.map(|(revocations, identity)| revocations.watch(identity, revoked.clone()));
        let mut client_moved = false;
        let end = loop {
            tokio::select! {
                biased;
                cuts = link.cuts() => report_cuts(&server, &registration.id, &cuts),
                end = link.ended() => break end,
                // A revoked token gets no grace time.
                () = revoked.notified() => tunnel.end(CloseReason::Revoked, Duration::ZERO),
                // The client has registered with another server.
                _ = link.peer_go_away(), if !client_moved => {
                    client_moved = true;
                    server.registry.remove(&registration.id, &tunnel);
                    tunnel.end(CloseReason::Done, server.config.grace);
                }
            }
        };
        remove(&server, &registration.id, &tunnel, &end);
        server.sessions.fetch_sub(1, Relaxed);
    });
}

/// Logs and counts streams that limits ended.
fn report_cuts(server: &Server, id: &str, cuts: &[(StreamId, Cut)]) {
    for (stream, cut) in cuts {
        count(&server.metrics.streams_cut_total);
        let fields: [(&str, &dyn std::fmt::Display); 3] = [("tunnel-id", &id), ("stream", stream), ("reason", cut)];
        server.config.logger.event(Level::Warn, "stream cut", &fields);
    }
}

/// Removes a session that has ended, and logs and counts its end.
fn remove(server: &Server, id: &str, tunnel: &Arc<Tunnel>, end: &SessionEnd) {
    server.registry.remove(id, tunnel);
    tunnel.pool.clear();
    match end {
        SessionEnd::Violation(Violation::KeepaliveTimeout) | SessionEnd::Lost(_) => {
            count(&server.metrics.sessions_lost_total)
        }
        SessionEnd::Violation(_) => count(&server.metrics.sessions_violated_total),
        SessionEnd::Ours(CloseReason::Revoked) => count(&server.metrics.sessions_revoked_total),
        SessionEnd::Ours(CloseReason::Expired) => count(&server.metrics.sessions_expired_total),
        _ => {}
    }
    let level = if matches!(end, SessionEnd::Violation(_)) { Level::Warn } else { Level::Info };
    server.config.logger.event(level, "client disconnected", &[("tunnel-id", &id), ("reason", end)]);
}

/// Unwraps the connection. The HTTP wrapper's buffers would otherwise live as long as the tunnel.
fn unwrap(upgraded: Upgraded) -> (Box<dyn Transport>, Bytes) {
    match upgraded.downcast::<TokioIo<ViewerSocket<Socket>>>() {
        Ok(parts) => {
            let (socket, rest) = parts.io.into_inner().into_inner();
            limit_unsent(socket.tcp());
            (Box::new(socket), join(parts.read_buf, rest))
        }
        Err(upgraded) => match upgraded.downcast::<TokioIo<ViewerSocket<TlsStream<Socket>>>>() {
            Ok(parts) => {
                let (socket, rest) = parts.io.into_inner().into_inner();
                limit_unsent(socket.get_ref().0.tcp());
                (Box::new(socket), join(parts.read_buf, rest))
            }
            Err(upgraded) => (Box::new(TokioIo::new(upgraded)), Bytes::new()),
        },
    }
}

/// Joins the bytes that the layers of a connection have read.
fn join(first: Bytes, rest: Bytes) -> Bytes {
    // An empty slice would keep its whole buffer as long as the tunnel.
    match (first.is_empty(), rest.is_empty()) {
        (true, true) => Bytes::new(),
        (false, true) => first,
        _ => [first, rest].concat().into(),
    }
}
