//! `route-token`: generates keys and tokens for a gateway, explains refusals, and revokes.

mod dpop;
mod explain;
mod input;
mod key_files;
mod keygen;
mod mint;
mod report;
mod revoke;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Generates keys and tokens for a gateway, explains why a token is refused, and revokes tokens.
#[derive(Parser)]
#[command(name = "route-token", version, max_term_width = 100, subcommand_required = true)]
#[command(after_help = "\
Examples:
  route-token keygen keys
  route-token mint --key keys/signing_private.pem --payload-key keys/payload_public.pem \\
      --target 127.0.0.2 > token.txt
  route-token explain token.txt \\
      --key keys/signing_public.pem --payload-key keys/payload_private.pem
  route-token revoke --sub ada --admin-key admin_private.pem

No command prints a key. Only mint prints a token, and only dpop a proof.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Keygen(keygen::Keygen),
    Mint(mint::Mint),
    Explain(explain::Explain),
    CheckKeys(key_files::CheckKeys),
    Revoke(Box<revoke::Revoke>),
    Dpop(dpop::Dpop),
}

/// The error that ends a command: an exit status and a message without key material or a token.
struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    /// Returns the failure of a correct command.
    fn failed(message: impl Into<String>) -> Failure {
        Failure { status: 1, message: message.into() }
    }

    /// Returns a usage error, with the same status as clap's.
    fn usage(message: impl Into<String>) -> Failure {
        Failure { status: 2, message: message.into() }
    }

    /// Turns a failure into a usage error, for a command whose status 1 is a result.
    fn into_usage(self) -> Failure {
        Failure { status: 2, ..self }
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Keygen(keygen) => keygen.run().map(|()| 0),
        Command::Mint(mint) => mint.run().map(|()| 0),
        Command::Explain(explain) => explain.run(),
        Command::CheckKeys(check) => check.run().map(|()| 0),
        Command::Revoke(revoke) => revoke.run().map(|()| 0),
        Command::Dpop(dpop) => dpop.run().map(|()| 0),
    };
    let status = result.unwrap_or_else(|failure| {
        eprintln!("route-token: {}", failure.message);
        failure.status
    });
    ExitCode::from(status)
}

/// Writes to standard output. Unlike `println!`, it does not panic when the pipe is closed.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::failed(format!("standard output cannot be written: {error}")))
}

/// Returns the current time in seconds since the epoch.
fn now() -> Result<i64, Failure> {
    let since = std::time::UNIX_EPOCH.elapsed();
    let seconds = since.ok().and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok());
    seconds.ok_or_else(|| Failure::failed("the system's clock is set to before 1970"))
}
