//! websocktunnel: the server of the websocket tunnel.

use clap::Parser;
use route_native::keys::Key;
use route_native::tunnel::{
    server::{Config, Server, auth},
    wire,
};
use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::signal::unix::{SignalKind, signal};

const SETTINGS: &str = "\
Settings (environment):
  URL_PREFIX                  what the URLs of clients start with, e.g. https://tunnel.example
                              (or HOSTNAME, from which it is made)
  TASKCLUSTER_PROXY_SECRET_A  secrets that registration tokens may be signed with (HS256), at least
  TASKCLUSTER_PROXY_SECRET_B  32 bytes each; both are accepted, so that one can be replaced
  PORT                        where to listen; 80, or 443 with TLS
  TLS_CERTIFICATE, TLS_KEY    PEM: base64 of it, or a file, which is read again when it changes
  AUDIENCE                    what the aud claim of tokens must name
  ENV                         'production' for JSON log lines
  SYSLOG_ADDR                 host:port of a syslog server (UDP), with ENV=production
  TUNNEL_BIND                 addresses to listen on, separated by commas; all
  TUNNEL_METRICS              address:port of /metrics; none
  TUNNEL_BEHIND_PROXY         1: viewers come through a proxy that sets X-Forwarded-*; 0
  TUNNEL_OUTLIVE_TOKEN        1: a session may go on after its token has expired; 0
  TUNNEL_MAX_CLIENTS          20000
  TUNNEL_GRACE_SECONDS        how long open streams get when a session has to end; 30
  TUNNEL_OPEN_SECONDS         how long a client may take to accept a stream; 30
  TUNNEL_RESPONSE_SECONDS     how long a client may take to answer; 300
  TUNNEL_HEADER_SECONDS       how long a viewer may take to send a request's head; 30
  TUNNEL_KEEPALIVE_SECONDS    between pings, and to answer one; 20
  TUNNEL_VERSION_FILE         what /__version__ serves; /app/version.json
  TUNNEL_LOG                  error, warn, info or debug; info

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 a setting cannot be used, 2 an address cannot be listened on.";

/// Serve websocket tunnels: clients register, viewers reach them under /ID/.
#[derive(Parser)]
#[command(name = "websocktunnel", version, after_help = SETTINGS)]
struct Arguments {
    /// Print only the version's number.
    #[arg(long)]
    short_version: bool,
    /// Print a token that registers ID, signed with TASKCLUSTER_PROXY_SECRET_A, and do nothing else.
    #[arg(long, value_name = "ID")]
    mint: Option<String>,
    /// How long the minted token is valid, in seconds; at most 31 days less a minute.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=2_678_340))]
    ttl: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        _ = error.print();
        std::process::exit(i32::from(error.use_stderr()));
    });
    if arguments.short_version {
        println!("{}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    if let Some(id) = &arguments.mint {
        return mint(id, arguments.ttl);
    }
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, sentence)) => {
            eprintln!("websocktunnel: {sentence}");
            ExitCode::from(code)
        }
    }
}

fn mint(id: &str, ttl: u32) -> ExitCode {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    let secret = variable("TASKCLUSTER_PROXY_SECRET_A").unwrap_or_default();
    if let Some(error) = Key::from_secret(secret.as_bytes()).err().filter(|_| !secret.is_empty()) {
        eprintln!("websocktunnel: TASKCLUSTER_PROXY_SECRET_A {error}");
        return ExitCode::from(1);
    }
    let token = wire::is_valid_id(id)
        .then(|| auth::mint(secret.as_bytes(), id, variable("AUDIENCE").as_deref(), now, ttl))
        .flatten();
    match token {
        Some(token) => {
            println!("{token}");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!(
                "websocktunnel: minting needs an ID of letters, digits and _ ~ . % -, and TASKCLUSTER_PROXY_SECRET_A"
            );
            ExitCode::from(1)
        }
    }
}

async fn serve() -> Result<(), (u8, String)> {
    let config = Config::from_env(|name| std::env::var(name).ok()).map_err(|error| (1, error.to_string()))?;
    let (prefix, log) = (config.url_prefix.clone(), config.logger.clone());
    let bound = Server::bind(config).await.map_err(|error| match error {
        route_native::tunnel::server::StartError::Setting(_) => (1, error.to_string()),
        route_native::tunnel::server::StartError::Bind(..) => (2, error.to_string()),
    })?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| (2, error.to_string()))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| (2, error.to_string()))?;
    for address in bound.addresses() {
        let fields: [(&str, &dyn std::fmt::Display); 2] = [("address", &address), ("url-prefix", &prefix)];
        log.event(route_native::tunnel::log::Level::Info, "listening", &fields);
    }
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    bound.run(shutdown).await.map_err(|error| (1, error.to_string()))
}
