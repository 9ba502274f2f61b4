//! WebSockets of viewers.
#![cfg(feature = "tunnel")]

mod tunnel_support;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, handshake::client::Response, protocol::CloseFrame},
};
use tunnel_support::{TestClient, TestServer, in_time, target::TestTarget};

/// Opens a WebSocket through the tunnel.
async fn viewer(
    server: &TestServer,
    path: &str,
    protocols: &str,
) -> Result<(WebSocketStream<TcpStream>, Response), Box<Error>> {
    let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
    if !protocols.is_empty() {
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    }
    let socket = TcpStream::connect(server.address).await.unwrap();
    client_async(request, socket).await.map_err(Box::new)
}

async fn tunnel() -> (TestServer, TestTarget, TestClient) {
    let server = TestServer::start().await;
    let target = TestTarget::start().await;
    let client = TestClient::start(server.address, "c1", target.address).await;
    (server, target, client)
}

#[tokio::test]
async fn messages_of_every_size_and_type_are_echoed_unchanged() {
    let (server, _target, _client) = tunnel().await;
    let (mut socket, response) = viewer(&server, "/c1/ws?q=1", "one, two").await.unwrap();
    // The target selects the subprotocol and sets a cookie.
    assert_eq!(response.headers()["sec-websocket-protocol"], "two");
    assert_eq!(response.headers()["set-cookie"], "seen=1");
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        for message in [Message::binary(vec![7; size]), Message::text("é".repeat(size / 2))] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(in_time("an echo", socket.next()).await.unwrap().unwrap(), message);
        }
    }
    socket.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(in_time("a pong", socket.next()).await.unwrap().unwrap(), Message::Pong("are you there".into()));
}

#[tokio::test]
async fn close_codes_and_refusals_of_the_target_are_forwarded() {
    let (server, _target, _client) = tunnel().await;
    let (mut socket, _) = viewer(&server, "/c1/ws", "").await.unwrap();
    let close = CloseFrame { code: 4321.into(), reason: "had enough".into() };
    socket.close(Some(close.clone())).await.unwrap();
    assert_eq!(in_time("the answer", socket.next()).await.unwrap().unwrap(), Message::Close(Some(close)));
    let Err(error) = viewer(&server, "/c1/wsno", "").await else { panic!("not refused") };
    let Error::Http(response) = *error else { panic!("{error}") };
    assert_eq!((response.status().as_u16(), response.body().as_deref()), (403, Some(b"not you".as_slice())));
    let Err(error) = viewer(&server, "/nobody/ws", "").await else { panic!("not refused") };
    assert!(matches!(*error, Error::Http(response) if response.status().as_u16() == 404));
}

#[tokio::test]
async fn fifty_websockets_run_concurrently() {
    let (server, _target, _client) = tunnel().await;
    let mut running = Vec::new();
    for n in 0..50u8 {
        let (mut socket, _) = viewer(&server, "/c1/ws", "").await.unwrap();
        running.push(tokio::spawn(async move {
            for round in 0..20u8 {
                let message = Message::binary(vec![n ^ round; 10_000 + usize::from(n)]);
                socket.send(message.clone()).await.unwrap();
                assert_eq!(in_time("an echo", socket.next()).await.unwrap().unwrap(), message);
            }
        }));
    }
    for one in running {
        one.await.unwrap();
    }
}
