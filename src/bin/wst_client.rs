//! wst-client, which exposes a local service through a websocktunnel server.

use clap::Parser;
use route_native::tunnel::{
    Client,
    client::{
        ClientError, Config, Event, Retry, ServerWindow, Tokens,
        forward::{self, Target},
    },
    log::{Level, Logger},
};
use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// The time limit for open connections when the client is stopped.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// The size limit of a token, in bytes.
const MAX_TOKEN: usize = 16 << 10;

const NOTES: &str = "\
Tokens: --token or WST_TOKEN sets one token. Without them, or if they are empty, each line of standard
input is a token that replaces the previous one. The client waits for the first token. With each later one it
opens a new session before it ends the old one. Every user of this machine can see a token on the command line.

Proxy: HTTP_PROXY, HTTPS_PROXY and NO_PROXY are used.

Exit codes: 0 stopped by a signal, 1 invalid arguments or refused registration, 3 refused or missing token,
4 another client registered with the same ID, 5 no attempt succeeded in time.";

/// Expose a local service through a websocktunnel server.
#[derive(Parser)]
#[command(name = "wst-client", version, after_help = NOTES)]
struct Arguments {
    /// The server's URL: https://, http://, wss:// or ws://.
    #[arg(value_name = "wstServer")]
    server: String,
    /// The ID to register.
    #[arg(value_name = "wstClientID")]
    id: String,
    /// The local service: a port of this host, or unix:PATH.
    #[arg(value_name = "targetPort")]
    target: String,
    /// The registration token.
    #[arg(long, env = "WST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Write the URL for viewers to this file after each connection.
    #[arg(long, value_name = "file")]
    out_file: Option<PathBuf>,
    /// Log debug lines too.
    #[arg(long)]
    verbose: bool,
    /// Log JSON lines.
    #[arg(long)]
    json: bool,
    /// The window per stream of an original server whose version is not detected correctly.
    #[arg(long, value_name = "bytes")]
    server_window: Option<u32>,
    /// Give up after this time without a successful attempt. 0 disables the limit.
    #[arg(long, value_name = "seconds", default_value_t = 180)]
    give_up_after: u32,
    /// The ping interval and pong timeout. Keep it below the idle timeout of firewalls.
    #[arg(long, value_name = "seconds", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    keepalive: u32,
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("wst-client: {error}");
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(start());
    // A read of standard input cannot be interrupted. Without this, the process would wait for the next line.
    runtime.shutdown_background();
    code
}

async fn start() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        _ = error.print();
        std::process::exit(i32::from(error.use_stderr()));
    });
    let level = if arguments.verbose { Level::Debug } else { Level::Info };
    let log = Logger::new("wst-client", level, arguments.json);
    let signalled = match signals() {
        Ok(signalled) => signalled,
        Err(error) => {
            log.event(Level::Error, "cannot handle signals", &[("error", &error)]);
            return ExitCode::from(1);
        }
    };
    tokio::select! {
        code = run(arguments, log, signalled.clone()) => code,
        // A signal before the first connection ends the process. Later signals are handled by `run`.
        _ = async { before_connection(signalled).await } => ExitCode::SUCCESS,
    }
}

/// The state of signal handling.
#[derive(Clone)]
struct Signalled {
    /// True after SIGTERM or SIGINT.
    signal: watch::Receiver<bool>,
    /// True after the first connection.
    connected: watch::Sender<bool>,
}

/// Starts to handle SIGTERM and SIGINT.
fn signals() -> std::io::Result<Signalled> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, signal) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        _ = sender.send(true);
        sender.closed().await;
    });
    Ok(Signalled { signal, connected: watch::Sender::new(false) })
}

/// Waits for a signal before the first connection.
async fn before_connection(mut signalled: Signalled) {
    _ = signalled.signal.wait_for(|signal| *signal).await.is_ok();
    if *signalled.connected.borrow() {
        std::future::pending::<()>().await;
    }
}

/// Connects and forwards streams until the client ends. Returns the exit code.
async fn run(arguments: Arguments, log: Logger, mut signalled: Signalled) -> ExitCode {
    let (config, target) = match configure(&arguments, &log) {
        Ok(configured) => configured,
        Err(message) => {
            log.event(Level::Error, &message, &[]);
            return ExitCode::from(1);
        }
    };
    let observer = observe(log.clone(), arguments.out_file);
    let mut client = match Client::connect(config, Some(Arc::new(observer))).await {
        Ok(client) => client,
        Err(error) => return end(&log, &error),
    };
    signalled.connected.send_replace(true);
    let dial_log = log.clone();
    let refused = move |error: &std::io::Error| {
        dial_log.event(Level::Warn, "the target cannot be reached", &[("error", error)]);
    };
    let error = {
        let forwarding = forward::run(&mut client, &target, Some(Arc::new(refused)));
        tokio::select! {
            error = forwarding => error,
            _ = async { _ = signalled.signal.wait_for(|signal| *signal).await.is_ok() } => ClientError::Closed,
        }
    };
    if matches!(error, ClientError::Closed | ClientError::Replaced) {
        // The server closes the session when its last stream has ended.
        _ = tokio::time::timeout(STOP_GRACE, client.finish()).await;
    }
    end(&log, &error)
}

/// Returns the client's configuration and its target from the arguments.
fn configure(arguments: &Arguments, log: &Logger) -> Result<(Config, Target), String> {
    let target = arguments.target.parse()?;
    // An empty variable is a variable that is not set, as for the server.
    let tokens = match arguments.token.as_deref().map(str::trim).filter(|token| !token.is_empty()) {
        Some(token) => Tokens::fixed(token),
        None => tokens_of_stdin(log.clone()),
    };
    let mut config = Config::new(&arguments.server, &arguments.id, tokens).map_err(|error| error.to_string())?;
    let give_up = arguments.give_up_after;
    config.retry = Retry { give_up: (give_up > 0).then(|| Duration::from_secs(give_up.into())), ..Retry::default() };
    config.limits.keepalive = Duration::from_secs(arguments.keepalive.into());
    config.server_window = arguments.server_window.map_or(ServerWindow::Auto, ServerWindow::Fixed);
    Ok((config, target))
}

/// Reads tokens from the lines of standard input. The last line needs no newline.
fn tokens_of_stdin(log: Logger) -> Tokens {
    let (sender, tokens) = Tokens::replaceable();
    tokio::spawn(async move {
        let mut input = BufReader::new(tokio::io::stdin());
        let mut line = String::new();
        while let Ok(length) = input.read_line(&mut line).await {
            let token = line.trim();
            if token.len() > MAX_TOKEN {
                log.event(Level::Warn, "a line that is too long for a token was ignored", &[]);
            } else if !token.is_empty() {
                sender.send_replace(Some(token.to_owned()));
            }
            if length == 0 {
                break;
            }
            line.clear();
        }
        log.event(Level::Warn, "standard input has ended: the last token stays in use", &[]);
    });
    tokens
}

/// Returns an observer that logs each change of state and writes the URL to `out_file`.
fn observe(log: Logger, out_file: Option<PathBuf>) -> impl Fn(&Event) + Send + Sync {
    move |event| match event {
        Event::Connected { url } | Event::Moved { url } => {
            log.event(Level::Info, "connected to websocktunnel", &[("url", url)]);
            if let Some(path) = &out_file
                && let Err(error) = std::fs::write(path, url)
            {
                log.event(Level::Error, "the URL cannot be written", &[("file", &path.display()), ("error", &error)]);
            }
        }
        Event::Moving { reason } => log.event(Level::Info, "moving to a new session", &[("reason", reason)]),
        Event::Disconnected { reason } => log.event(Level::Warn, "disconnected", &[("reason", reason)]),
        Event::Retrying { error, wait_ms } => {
            log.event(Level::Warn, "cannot connect", &[("error", error), ("retry-in-ms", wait_ms)]);
        }
        Event::Cut { stream, reason } => {
            log.event(Level::Warn, "stream cut", &[("stream", stream), ("reason", reason)]);
        }
        Event::WaitingForToken => log.event(Level::Warn, "waiting for another token", &[]),
    }
}

/// Logs why the client ended, and returns the exit code.
fn end(log: &Logger, error: &ClientError) -> ExitCode {
    let code = match error {
        ClientError::Closed => {
            log.event(Level::Info, "stopped", &[]);
            return ExitCode::SUCCESS;
        }
        ClientError::Failed(_) => 1,
        ClientError::Auth(_) | ClientError::NoToken => 3,
        ClientError::Replaced => 4,
        ClientError::GaveUp(_) => 5,
    };
    log.event(Level::Error, &error.to_string(), &[]);
    ExitCode::from(code)
}
