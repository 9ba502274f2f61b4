//! One request and its answer on a connection to the target.

use super::{
    Server, headers,
    registry::Tunnel,
    request_body::{Progress, RequestBody},
    response_body::{ResponseBody, Upstream},
    upstream::{ConnectError, Connection, Exchange, lets_continue},
};
use crate::tunnel::wire;
use hyper::{
    Request, Response, StatusCode, Version,
    body::{Body, Incoming},
};
use std::{sync::Arc, time::Duration};

/// Why a request got no answer from the target.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the viewer's body is malformed or broke off")]
    Body,
    #[error("the target did not answer in time")]
    Slow,
    #[error("the target switched protocols unasked")]
    UnaskedUpgrade,
    #[error("the target encodes its answer for this hop, in a way that it was not told to be understood")]
    ForeignCoding,
    #[error("the target answered {}, which a proxy would take for this server's word", wire::ELSEWHERE_STATUS)]
    ReservedStatus,
}

impl Failure {
    /// 400 for what the viewer did, 504 for who is slow, 502 for who is broken.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Body => StatusCode::BAD_REQUEST,
            Self::Slow | Self::Connect(ConnectError::Timeout) => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}

/// Whether a connection that was kept turned out to be closed before anything came back on it.
pub(super) fn is_stale(error: &hyper::Error) -> bool {
    error.is_canceled() || error.is_incomplete_message() || error.is_closed()
}

/// Sends a request on a connection and waits for the head of the response.
pub(super) async fn exchange(
    server: &Arc<Server>,
    tunnel: &Arc<Tunnel>,
    mut connection: Connection,
    request: Request<RequestBody>,
    progress: &Progress,
) -> Result<Response<ResponseBody>, Failure> {
    let timeout = server.config.response_timeout;
    let request_body = (!request.body().is_end_stream()).then(|| progress.clone());
    let claimed = headers::claims_connection(request.headers());
    let response = within(timeout, progress, connection.send_request(request)).await?.map_err(|error| {
        // The connection that sends a body fails with it.
        if progress.has_failed() { Failure::Body } else { error.into() }
    })?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::UnaskedUpgrade);
    }
    pass_on(server, tunnel, connection, response, request_body, claimed)
}

/// Makes the target's answer the viewer's, in this server's own version and framing.
pub(super) fn pass_on(
    server: &Arc<Server>,
    tunnel: &Arc<Tunnel>,
    connection: Connection,
    response: Response<Incoming>,
    request: Option<Progress>,
    claimed: bool,
) -> Result<Response<ResponseBody>, Failure> {
    if headers::has_foreign_coding(response.headers()) {
        return Err(Failure::ForeignCoding);
    }
    let continues = lets_continue(&response);
    let claimed = claimed || headers::claims_connection(response.headers());
    let (mut parts, body) = response.into_parts();
    headers::frame_answer(&mut parts.headers, &body);
    headers::strip_hop_by_hop(&mut parts.headers);
    parts.version = Version::HTTP_11;
    let body = ResponseBody::Upstream(Upstream {
        body,
        connection: Some(connection),
        pool: tunnel.pool.clone(),
        metrics: server.metrics.clone(),
        exchange: Exchange { claimed, request_ended: false, continues, answer_ended: false },
        request,
        open_end: None,
    });
    Ok(Response::from_parts(parts, body))
}

/// Waits for `work`, as long as the request's body has moved within `timeout`.
pub(super) async fn within<T>(
    timeout: Duration,
    progress: &Progress,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let mut work = std::pin::pin!(work);
    loop {
        let deadline = progress.last() + timeout;
        match tokio::time::timeout_at(deadline.into(), &mut work).await {
            Ok(done) => return Ok(done),
            Err(_) if progress.last() + timeout > deadline => {}
            Err(_) => return Err(Failure::Slow),
        }
    }
}
