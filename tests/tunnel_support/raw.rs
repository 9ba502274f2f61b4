//! A client that sends raw frames, so that it can violate the protocol.

use super::{in_time, mint};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, handshake::client::Response},
};

/// A registered client.
pub struct RawClient {
    pub socket: WebSocketStream<TcpStream>,
    pub response: Response,
}

/// Registers with any header fields. An error is the status of the response.
pub async fn register(server: SocketAddr, headers: &[(&'static str, &str)]) -> Result<RawClient, u16> {
    let mut request = format!("ws://{server}/").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let socket = TcpStream::connect(server).await.unwrap();
    match in_time("registering", client_async(request, socket)).await {
        Ok((socket, response)) => Ok(RawClient { socket, response }),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

pub async fn connect(server: SocketAddr, id: &str) -> RawClient {
    connect_with(server, id, &mint(id)).await
}

pub async fn connect_with(server: SocketAddr, id: &str, token: &str) -> RawClient {
    let bearer = format!("Bearer {token}");
    register(server, &[("x-websocktunnel-id", id), ("authorization", &bearer)]).await.unwrap()
}

impl RawClient {
    pub async fn send(&mut self, frame: &[u8]) {
        self.socket.send(Message::binary(frame.to_vec())).await.unwrap();
    }

    /// Waits for the next binary message and returns it.
    pub async fn frame(&mut self) -> Vec<u8> {
        loop {
            match in_time("a frame", self.socket.next()).await {
                Some(Ok(Message::Binary(frame))) => return frame.to_vec(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no frame but {other:?}"),
            }
        }
    }

    /// Reads until the server's close frame. Returns its code and its reason.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match in_time("a close", self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
                Some(Ok(_)) => {}
                other => panic!("no close but {other:?}"),
            }
        }
    }
}

/// Encodes a frame.
pub fn frame(kind: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend_from_slice(&id.to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}
