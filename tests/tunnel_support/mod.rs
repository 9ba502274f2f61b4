//! The support of the tunnel's tests: tokens, a target, servers and clients on free ports, and a viewer.
#![allow(dead_code, reason = "each test program uses its part")]

pub mod process;
pub mod raw;
pub mod service;
pub mod target;
pub mod viewer;

use jsonwebtoken::{EncodingKey, Header, encode};
use route_native::tunnel::{
    Client,
    client::{
        self, Event, Tokens,
        forward::{self, Target},
    },
    log::{Level, Logger},
    server::{Config, Server},
};
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::oneshot, task::JoinHandle};

pub const SECRET_A: &str = "secret A, at least 32 bytes long";
pub const SECRET_B: &str = "secret B, at least 32 bytes long";
/// The time limit of every wait. It turns a hang into a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the time in seconds since the epoch.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Returns a registration token that expires in `expires_in` seconds.
pub fn mint_with(secret: &str, id: &str, expires_in: i64) -> String {
    let claims = json!({"tid": id, "exp": now() + expires_in, "nbf": now() - 60, "iat": now()});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// Returns a registration token that is valid for an hour.
pub fn mint(id: &str) -> String {
    mint_with(SECRET_A, id, 3600)
}

/// Polls until the condition returns a value, and returns it.
pub async fn until<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(value) = poll().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never happened: {what}"))
}

/// Waits for a future within the time limit.
pub async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("took too long: {what}"))
}

/// Our server, in this process.
pub struct TestServer {
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), change).await
    }

    pub async fn start_at(address: SocketAddr, change: impl FnOnce(&mut Config)) -> Self {
        let secrets = [SECRET_A.into(), SECRET_B.into()];
        let mut config = Config::new("http://tunnel.test/", address, secrets);
        config.metrics = Some(([127, 0, 0, 1], 0).into());
        config.logger = Logger::new("websocktunnel", Level::Error, false);
        change(&mut config);
        let bound = Server::bind(config).await.unwrap();
        let (address, metrics) = (bound.addresses()[0], bound.metrics_address().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            bound.run(async { _ = stopped.await }).await.unwrap();
        });
        Self { address, metrics, stop: Some(stop), running }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts to drain the server, without waiting.
    pub fn begin_stop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
    }

    /// Drains the server to its end.
    pub async fn stop(mut self) {
        self.begin_stop();
        in_time("the server's drain", self.running).await.unwrap();
    }

    /// Aborts the server, as a crash would.
    pub async fn kill(self) {
        self.running.abort();
        _ = self.running.await;
    }

    /// Returns the value of a metric.
    pub async fn metric(&self, name: &str) -> u64 {
        let page = viewer::get(self.metrics, "/metrics").await;
        let name = format!("websocktunnel_{name} ");
        let page = String::from_utf8(page.body).unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no metric {name}")).parse().unwrap()
    }
}

/// Our client, in this process, which forwards to a target.
pub struct TestClient {
    pub url: String,
    pub events: Arc<Mutex<Vec<Event>>>,
    pub end: JoinHandle<client::ClientError>,
}

impl TestClient {
    pub async fn start(server: SocketAddr, id: &str, target: SocketAddr) -> Self {
        Self::start_with(server, id, target, Tokens::fixed(mint(id)), |_| {}).await
    }

    pub async fn start_with(
        server: SocketAddr,
        id: &str,
        target: SocketAddr,
        tokens: Tokens,
        change: impl FnOnce(&mut client::Config),
    ) -> Self {
        let mut config = client::Config::new(&format!("http://{server}"), id, tokens).unwrap();
        config.retry.initial = Duration::from_millis(20);
        config.retry.max = Duration::from_millis(100);
        change(&mut config);
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let log = events.clone();
        let observer: client::Observer = Arc::new(move |event: &Event| log.lock().unwrap().push(event.clone()));
        let mut client = in_time("connecting", Client::connect(config, Some(observer))).await.unwrap();
        let url = client.url();
        let end = tokio::spawn(async move { forward::run(&mut client, &Target::Port(target.port()), None).await });
        Self { url, events, end }
    }

    /// Returns the number of events that match.
    pub fn count_events(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| wanted(event)).count()
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        self.end.abort();
    }
}
