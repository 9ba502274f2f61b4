//! Viewers that speak WebSocket.
//!
//! The handshake is the viewer's own, and so is every frame: the target answers it, chooses the subprotocol, refuses,
//! pings and closes; we carry bytes. So what the viewer sees is what it would see without a tunnel.

use super::{
    Server,
    exchange::{Failure, pass_on, within},
    headers,
    registry::Tunnel,
    request_body::{Progress, RequestBody},
    response_body::ResponseBody,
};
use crate::tunnel::{
    relay::{self, Ending},
    stream::MuxStream,
};
use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    header,
    upgrade::{self, Upgraded},
};
use hyper_util::rt::TokioIo;
use std::sync::Arc;

/// Carries a viewer's handshake to the target, and then bytes both ways.
pub(super) async fn serve(
    server: &Arc<Server>,
    tunnel: &Arc<Tunnel>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Failure> {
    let viewer = upgrade::on(&mut request);
    let (mut parts, _) = request.into_parts();
    headers::frame_request(&mut parts.headers, &RequestBody::empty());
    let mut connection = tunnel.pool.connect(server.config.open_timeout).await?;
    let handshake = connection.send_request(Request::from_parts(parts, RequestBody::empty()));
    let mut response = within(server.config.response_timeout, &Progress::new(), handshake).await??;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // A refusal is the target's to word.
        return pass_on(server, tunnel, connection, response, None, true);
    }
    if !headers::switches_to_websocket(response.headers()) {
        return Err(Failure::UnaskedUpgrade);
    }
    let target = upgrade::on(&mut response);
    tokio::spawn(async move {
        if let (Ok(viewer), Ok(target)) = tokio::join!(viewer, target) {
            carry(viewer, target).await;
        }
    });
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::TRANSFER_ENCODING);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.version = Version::HTTP_11;
    Ok(Response::from_parts(parts, ResponseBody::Text(None)))
}

/// Takes both sides out of their HTTP wrapping and relays.
async fn carry(viewer: Upgraded, target: Upgraded) {
    let Ok(target) = target.downcast::<TokioIo<MuxStream>>() else { return };
    let mut stream = target.io.into_inner();
    stream.unread(target.read_buf);
    relay::run(&mut TokioIo::new(viewer), stream, Ending::Both).await;
}
