//! WebSockets of viewers.
//!
//! The server forwards the viewer's handshake and then bytes. The target responds to the handshake, selects the
//! subprotocol, and sends its own pings and close frames. The viewer sees the same as without a tunnel.

use super::{
    Server,
    conversation::Conversation,
    exchange::{Failure, forward_response, with_timeout},
    headers,
    registry::Tunnel,
    request_body::{Progress, RequestBody},
    response_body::ResponseBody,
    upstream::UpstreamStream,
};
use crate::tunnel::relay::{self, Ending};
use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    header,
    upgrade::{self, Upgraded},
};
use hyper_util::rt::TokioIo;
use std::sync::Arc;

/// Forwards a viewer's handshake to the target, and then relays bytes.
pub(super) async fn serve(
    server: &Arc<Server>,
    tunnel: &Arc<Tunnel>,
    conversation: &Conversation,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Failure> {
    let viewer = upgrade::on(&mut request);
    let (mut parts, _) = request.into_parts();
    headers::frame_request(&mut parts.headers, &RequestBody::empty());
    let mut connection = tunnel.pool.connect(server.config.open_timeout).await?;
    let handshake = connection.send_request(conversation.outgoing(parts, RequestBody::empty()));
    let mut response = with_timeout(server.config.response_timeout, &Progress::new(), handshake).await??;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // Forwards the target's refusal.
        return forward_response(server, tunnel, connection, response, None, true);
    }
    if !headers::switches_to_websocket(response.headers()) {
        return Err(Failure::UnexpectedUpgrade);
    }
    let target = upgrade::on(&mut response);
    let conversation = conversation.clone();
    tokio::spawn(async move {
        if let (Ok(viewer), Ok(target)) = tokio::join!(viewer, target) {
            tokio::select! {
                () = relay_upgraded(viewer, target) => {}
                () = conversation.revoked() => {}
            }
        }
    });
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::TRANSFER_ENCODING);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.version = Version::HTTP_11;
    Ok(Response::from_parts(parts, ResponseBody::Text(None)))
}

/// Unwraps both connections and relays bytes between them.
async fn relay_upgraded(viewer: Upgraded, target: Upgraded) {
    let Ok(target) = target.downcast::<TokioIo<UpstreamStream>>() else { return };
    let Some(mut stream) = target.io.into_inner().into_inner() else { return };
    stream.unread(target.read_buf);
    relay::run(&mut TokioIo::new(viewer), stream, Ending::Both).await;
}
