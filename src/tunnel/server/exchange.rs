//! One request and its response on a connection to the target.

use super::{
    Server, headers,
    registry::Tunnel,
    request_body::{Progress, RequestBody},
    response_body::{ResponseBody, Upstream},
    upstream::{ConnectError, Connection, Exchange, allows_keep_alive},
};
use crate::{
    mux::{OpenError, ResetReason},
    tunnel::{stream::Broken, wire},
};
use hyper::{
    Request, Response, StatusCode, Version,
    body::{Body, Incoming},
    header::{self, HeaderValue},
};
use std::{error::Error, io, sync::Arc, time::Duration};

/// The reason for which a request got no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the viewer's body is malformed or broke off")]
    Body,
    #[error("the target did not answer in time")]
    Timeout,
    #[error("the target switched protocols unasked")]
    UnexpectedUpgrade,
    #[error("the target encodes its answer for this hop, in a way that it was not told to be understood")]
    UnsupportedCoding,
    #[error("the target answered {}, which a proxy would take for this server's word", wire::ELSEWHERE_STATUS)]
    ReservedStatus,
}

impl Failure {
    /// Returns the status for the viewer: 400 for a fault of the viewer, 504 for a timeout, 503 for a limit on streams,
    /// 502 for other failures.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Body => StatusCode::BAD_REQUEST,
            Self::Timeout | Self::Connect(ConnectError::Timeout) => StatusCode::GATEWAY_TIMEOUT,
            Self::Connect(ConnectError::Open(OpenError::TooMany)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Connect(ConnectError::Refused(Broken(ResetReason::Limit))) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Http(error) | Self::Connect(ConnectError::Http(error)) if is_refused(error) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

/// Returns true if a limit of the client ended the stream.
fn is_refused(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inner.and_then(|inner| inner.downcast_ref()) == Some(&Broken(ResetReason::Limit)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Returns true if the target had closed a reused connection before it responded.
pub(super) fn is_stale(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_incomplete_message() || error.is_closed()
}

/// Sends a request on a connection, waits for the head of the response, and returns the viewer's response.
pub(super) async fn exchange(
    server: &Arc<Server>,
    tunnel: &Arc<Tunnel>,
    mut connection: Connection,
    request: Request<RequestBody>,
    progress: &Progress,
) -> Result<Response<ResponseBody>, Failure> {
    let timeout = server.config.response_timeout;
    let request_body = (!request.body().is_end_stream()).then(|| progress.clone());
    let connection_bound = headers::authenticates_connection(request.headers());
    let response = with_timeout(timeout, progress, connection.send_request(request)).await?.map_err(|error| {
        // A failure of the viewer's body fails the connection too.
        if progress.has_failed() { Failure::Body } else { error.into() }
    })?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::UnexpectedUpgrade);
    }
    forward_response(server, tunnel, connection, response, request_body, connection_bound)
}

/// Converts the target's response into the viewer's: HTTP/1.1, with this server's framing.
pub(super) fn forward_response(
    server: &Arc<Server>,
    tunnel: &Arc<Tunnel>,
    connection: Connection,
    response: Response<Incoming>,
    request: Option<Progress>,
    connection_bound: bool,
) -> Result<Response<ResponseBody>, Failure> {
    if headers::has_unsupported_coding(response.headers()) {
        return Err(Failure::UnsupportedCoding);
    }
    let keep_alive = allows_keep_alive(&response);
    let connection_bound = connection_bound || headers::authenticates_connection(response.headers());
    let (mut parts, body) = response.into_parts();
    headers::frame_response(&mut parts.headers, &body);
    headers::strip_hop_by_hop(&mut parts.headers);
    if request.as_ref().is_some_and(Progress::refuse) {
        // The next bytes of the viewer could be the body or another request.
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    parts.version = Version::HTTP_11;
    let body = ResponseBody::Upstream(Upstream {
        body,
        connection: Some(connection),
        pool: tunnel.pool.clone(),
        metrics: server.metrics.clone(),
        exchange: Exchange { connection_bound, request_ended: false, keep_alive, answer_ended: false },
        request,
        close_delimited: None,
    });
    Ok(Response::from_parts(parts, body))
}

/// Waits for `work` until the request's body has made no progress for `timeout`.
pub(super) async fn with_timeout<T>(
    timeout: Duration,
    progress: &Progress,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let mut work = std::pin::pin!(work);
    loop {
        let deadline = progress.last_activity() + timeout;
        match tokio::time::timeout_at(deadline.into(), &mut work).await {
            Ok(done) => return Ok(done),
            Err(_) if progress.last_activity() + timeout > deadline => {}
            Err(_) => return Err(Failure::Timeout),
        }
    }
}
