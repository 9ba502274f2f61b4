//! `route-token`: keys and tokens for trying out and operating a gateway.

mod explain;
mod key_files;
mod keygen;
mod mint;
mod report;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Makes keys and tokens for a gateway, and says what is wrong with a token.
#[derive(Parser)]
#[command(name = "route-token", version, max_term_width = 100, subcommand_required = true)]
#[command(after_help = "\
Examples:
  route-token keygen keys
  route-token mint --key keys/signing_private.pem --payload-key keys/payload_public.pem \\
      --target 127.0.0.2 > token.txt
  route-token explain token.txt \\
      --key keys/signing_public.pem --payload-key keys/payload_private.pem

No command prints a key, and only mint prints a token.")]
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
}

/// Why a command stops: the exit status and one sentence. The sentence never holds key material or a token.
struct Failure {
    status: u8,
    sentence: String,
}

impl Failure {
    /// The command was asked for rightly and could not be done.
    fn failed(sentence: impl Into<String>) -> Failure {
        Failure { status: 1, sentence: sentence.into() }
    }

    /// The command was asked for wrongly. clap exits with the same status.
    fn usage(sentence: impl Into<String>) -> Failure {
        Failure { status: 2, sentence: sentence.into() }
    }

    /// The same mistake, where status 1 is an answer and not a failure.
    fn into_usage(self) -> Failure {
        Failure { status: 2, ..self }
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Keygen(keygen) => keygen.run().map(|()| 0),
        Command::Mint(mint) => mint.run().map(|()| 0),
        Command::Explain(explain) => explain.run(),
        Command::CheckKeys(check) => check.run().map(|()| 0),
    };
    let status = done.unwrap_or_else(|failure| {
        eprintln!("route-token: {}", failure.sentence);
        failure.status
    });
    ExitCode::from(status)
}

/// Writes to standard output. Unlike `println!` it does not panic when nobody reads.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::failed(format!("standard output cannot be written: {error}")))
}

/// Seconds since the epoch.
fn now() -> Result<i64, Failure> {
    let since = std::time::UNIX_EPOCH.elapsed();
    let seconds = since.ok().and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok());
    seconds.ok_or_else(|| Failure::failed("the system's clock is set to before 1970"))
}
