//! WebSocket: a greeting, then an echo.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::body::{Body, Bytes};
use hyper::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// The longest message and the longest frame, in bytes.
const MAX_MESSAGE: usize = 64 << 20;

/// The read buffer of a connection, in bytes. It is small, because there may be thousands of connections.
const READ_BUFFER: usize = 16 << 10;

/// The time that a client has to stop sending after a protocol error, before its connection is dropped.
const LINGER: Duration = Duration::from_secs(2);

/// Returns the response that opens a WebSocket, or `None` unless the request is a valid handshake (RFC 6455 §4.2.1).
///
/// An invalid handshake gets an ordinary response, whose JSON shows what is wrong. A request with a body is invalid:
/// its bytes would be read as frames.
pub fn handshake<B: Body>(request: &Request<B>) -> Option<Response<Full<Bytes>>> {
    if !request.headers().contains_key(UPGRADE) || !request.body().is_end_stream() {
        return None;
    }
    let mut response = create_response_with_body(request, Full::default).ok()?;
    if let Some(protocol) = first_protocol(request.headers()) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Some(response)
}

/// Returns the client's first subprotocol. noVNC offers `binary` and requires it.
fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = offered.split(',').map(str::trim).find(|name| !name.is_empty())?;
    HeaderValue::from_str(first).ok()
}

/// Waits for the upgraded connection, and echoes on it until it ends.
pub async fn open(upgrade: OnUpgrade, greeting: String) {
    if let Ok(connection) = upgrade.await {
        // After an error, the client is gone, or has received a close frame with its cause.
        let _ = echo(connection, greeting).await;
    }
}

/// Sends the greeting and echoes every message, until the client closes or breaks the protocol.
///
/// Reading waits for a client that does not read its echoes. The library responds to pings and close frames.
async fn echo(connection: Upgraded, greeting: String) -> Result<(), Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(config)).await;

    socket.send(Message::text(greeting)).await?;
    while let Some(message) = socket.next().await {
        match message {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message).await?,
            Ok(_) => {}
            Err(error) => {
                let code = close_code(&error).ok_or(error)?;
                return refuse(socket, code).await;
            }
        }
    }
    Ok(())
}

/// Returns the close code for a client's error, or `None` if the connection is lost.
fn close_code(error: &Error) -> Option<CloseCode> {
    match error {
        Error::Capacity(_) => Some(CloseCode::Size),
        Error::Utf8(_) => Some(CloseCode::Invalid),
        Error::Protocol(_) => Some(CloseCode::Protocol),
        _ => None,
    }
}

/// Closes with a code, and waits up to [`LINGER`] for the client to stop sending. Closing a connection with unread
/// bytes resets it, which may lose the close frame.
async fn refuse(mut socket: WebSocketStream<TokioIo<Upgraded>>, code: CloseCode) -> Result<(), Error> {
    socket.close(Some(CloseFrame { code, reason: "".into() })).await?;
    let stream = socket.get_mut();
    stream.shutdown().await?;
    let _ = tokio::time::timeout(LINGER, tokio::io::copy(stream, &mut tokio::io::sink())).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;

    use super::*;

    /// Returns the response to the example of RFC 6455 §1.3, modified by `change`.
    fn respond(change: impl FnOnce(&mut Request<Empty<Bytes>>)) -> Option<Response<Full<Bytes>>> {
        let mut request = Request::get("/chat")
            .header("Upgrade", "websocket")
            .header("Connection", "keep-alive, Upgrade")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Extensions", "permessage-deflate")
            .body(Empty::new())
            .unwrap();
        change(&mut request);
        handshake(&request)
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted_without_an_extension() {
        let response = respond(|_| {}).unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!response.headers().contains_key("sec-websocket-extensions"));
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn the_first_subprotocol_is_selected() {
        for (offer, selected) in [("binary", "binary"), ("binary, base64", "binary"), (" , v2.x,binary", "v2.x")] {
            let offer = HeaderValue::from_static(offer);
            let response = respond(|request| {
                request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, offer);
            });
            assert_eq!(response.unwrap().headers()["sec-websocket-protocol"], selected);
        }
    }

    #[test]
    fn an_invalid_handshake_is_left_to_http() {
        for (name, value) in [
            ("upgrade", "h2c"),
            ("connection", "keep-alive"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "short"),
        ] {
            let response = respond(|request| {
                request.headers_mut().insert(name, HeaderValue::from_static(value));
            });
            assert!(response.is_none(), "{name}: {value}");
        }
        assert!(respond(|request| *request.method_mut() = hyper::Method::POST).is_none());
        assert!(respond(|request| *request.version_mut() = hyper::Version::HTTP_10).is_none());
        let (head, _) = Request::get("/").header("upgrade", "websocket").body(()).unwrap().into_parts();
        assert!(handshake(&Request::from_parts(head, Full::new(Bytes::from_static(b"x")))).is_none());
    }
}
