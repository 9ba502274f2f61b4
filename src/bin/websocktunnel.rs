//! websocktunnel, the server of the websocket tunnel.

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
Settings (environment variables; an empty one is unset):
  URL_PREFIX                  prefix of client URLs, e.g. https://tunnel.example; without it the URL is
                              made from HOSTNAME and PORT
  TASKCLUSTER_PROXY_SECRET_A  secrets of registration tokens (HS256), at least 32 bytes each; tokens of
  TASKCLUSTER_PROXY_SECRET_B  both are accepted, so that one can be replaced
  PORT                        port to listen on (default: 80, or 443 with TLS)
  TLS_CERTIFICATE, TLS_KEY    PEM in base64, or the name of a PEM file, which is reloaded when it changes
  AUDIENCE                    audience that tokens must have in aud
  ENV                         'production' for JSON log lines
  SYSLOG_ADDR                 host:port of a syslog server (UDP), with ENV=production
  TUNNEL_BIND                 addresses to listen on, separated by commas (default: all)
  TUNNEL_METRICS              address:port of /metrics (default: not served)
  TUNNEL_BEHIND_PROXY         1 if a proxy in front sets X-Forwarded-* (default: 0)
  TUNNEL_OUTLIVE_TOKEN        1 to keep a session after its token has expired (default: 0)
  TUNNEL_MAX_CLIENTS          number of connected clients (default: 20000)
  TUNNEL_GRACE_SECONDS        time for open streams to end when a session ends (default: 30)
  TUNNEL_OPEN_SECONDS         time for a client to accept a stream (default: 30)
  TUNNEL_RESPONSE_SECONDS     time for a client to respond (default: 300)
  TUNNEL_HEADER_SECONDS       time for a viewer to send the head of a request (default: 30)
  TUNNEL_KEEPALIVE_SECONDS    ping interval and pong timeout (default: 20)
  TUNNEL_VERSION_FILE         file that /__version__ serves (default: /app/version.json)
  TUNNEL_REVOCATIONS          Redis with the gateways' revocations: redis://[USER@]HOST:PORT[,HOST:PORT...],
                              rediss:// for TLS, redis+sentinel://HOST:PORT[,HOST:PORT...]/MASTER, or unix:/PATH
  TUNNEL_REVOCATIONS_PASSWORD_FILE, TUNNEL_REVOCATIONS_SENTINEL_PASSWORD_FILE
                              files with the passwords of Redis and of its sentinels
  TUNNEL_REVOCATIONS_FAIL     'closed' refuses tokens while Redis is away for longer than
  TUNNEL_REVOCATIONS_FAIL_SECONDS  so many seconds (default: open, 60)
  TUNNEL_LOG                  error, warn, info or debug (default: info)

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 invalid setting, 2 cannot listen on an address.";

/// Serve websocket tunnels: clients register, and viewers reach them under /ID/.
#[derive(Parser)]
#[command(name = "websocktunnel", version, after_help = SETTINGS)]
struct Arguments {
    /// Print the version number and exit.
    #[arg(long)]
    short_version: bool,
    /// Print a registration token for ID, signed with TASKCLUSTER_PROXY_SECRET_A, and exit.
    #[arg(long, value_name = "ID")]
    mint: Option<String>,
    /// The lifetime of the minted token, in seconds. At most 31 days minus one minute.
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
        Err((code, message)) => {
            eprintln!("websocktunnel: {message}");
            ExitCode::from(code)
        }
    }
}

/// Prints a registration token.
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

/// Serves until SIGTERM or SIGINT. An error is an exit code and a message.
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
