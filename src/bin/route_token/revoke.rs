//! `route-token revoke`: revokes through the admin API, lists revocations, and withdraws them.

mod admin_token;
mod client;

use std::ffi::OsString;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value};

use self::admin_token::AdminToken;
use self::client::{Client, Server, is_shown};
use crate::{Failure, input, print};

/// The number of revocations that one request lists.
const PAGE: usize = 100;

/// Ends tokens, users, sessions, desktops or keys before their time, through the admin API
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, disable_help_subcommand = true)]
#[command(override_usage = "\
route-token revoke (--sub|--jti|--sid|--target|--kid|--token-file|--token-sha256) VALUE …
       route-token revoke list [OPTIONS]
       route-token revoke withdraw [OPTIONS] ID")]
#[command(after_help = "\
Prints the number of the revocation, for withdraw. A change needs an admin token, which
is never an argument: other users of the machine can see those.

Examples:
  route-token revoke --sub ada --admin-key admin_private.pem
  route-token revoke --token-file token.txt --admin-token-file admin.txt
  route-token revoke --sid 4f1c --iss https://id.example --ends $(date -d '2 hours' +%s)
  route-token revoke list --limit 10
  route-token revoke withdraw 7 --server https://gateway.example:9443")]
pub struct Revoke {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    name: Name,

    /// Only tokens of this issuer, with --jti, --sub or --sid
    #[arg(long, value_name = "ISSUER")]
    iss: Option<String>,

    /// Only what was issued until then, in seconds since 1970. Default for --sub: now
    #[arg(long, value_name = "TIME")]
    before: Option<u64>,

    /// When the revocation ends by itself, in seconds since 1970. Default: with the token, or after the gateway's
    /// ROUTE_REVOCATION_SECONDS
    #[arg(long, value_name = "TIME")]
    ends: Option<u64>,

    #[command(flatten)]
    server: Server,

    #[command(flatten)]
    admin_token: AdminToken,
}

/// What is revoked: exactly one of these.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Name {
    /// All tokens and border sessions of a user
    #[arg(long, value_name = "USER")]
    sub: Option<String>,

    /// The token with this id
    #[arg(long, value_name = "ID")]
    jti: Option<String>,

    /// The tokens of a session
    #[arg(long, value_name = "SESSION")]
    sid: Option<String>,

    /// All tokens for a desktop
    #[arg(long, value_name = "HOST")]
    target: Option<String>,

    /// All tokens that a key has signed
    #[arg(long, value_name = "KEY")]
    kid: Option<String>,

    /// The token in this file; - for standard input
    #[arg(long, value_name = "FILE")]
    token_file: Option<OsString>,

    /// The token with this SHA-256, 64 hexadecimal digits
    #[arg(long, value_name = "DIGITS")]
    token_sha256: Option<String>,
}

#[derive(Subcommand)]
enum Action {
    /// Prints the revocations, the newest first, as one JSON object a line
    List {
        /// The most to print. Default: all
        #[arg(long, value_name = "NUMBER", default_value_t = usize::MAX, hide_default_value = true)]
        limit: usize,
    },
    /// Withdraws a revocation
    Withdraw {
        /// Its number, which revoke and list print
        id: u64,
    },
}

impl Revoke {
    /// Sends the change or the question, and prints the answer.
    pub fn run(&self) -> Result<(), Failure> {
        let client = Client::new(&self.server)?;
        match self.action {
            Some(Action::List { limit }) => list(&client, limit),
            Some(Action::Withdraw { id }) => {
                let token = self.admin_token.get()?;
                client.send(Method::DELETE, &format!("/revocations/{id}"), Some(&token), None).map(|_| ())
            }
            None => {
                let body = self.body()?;
                let answer = client.send(Method::POST, "/revocations", Some(&self.admin_token.get()?), Some(body))?;
                let id = answer.get("id").and_then(Value::as_u64);
                print(&format!("{}\n", id.ok_or_else(not_ours)?))
            }
        }
    }

    /// Returns the revocation as JSON. The admin API checks it.
    fn body(&self) -> Result<Value, Failure> {
        let Name { sub, jti, sid, target, kid, token_file, token_sha256 } = &self.name;
        if token_file.as_ref().is_some_and(|file| file == "-") && self.admin_token.is_standard_input() {
            return Err(Failure::usage("standard input cannot be both tokens"));
        }
        let token = match token_file {
            Some(file) => Some(input::token(&input::read(file)?, "--token-file")?.to_string()),
            None => None,
        };
        let mut body = Map::new();
        let texts = [
            ("sub", sub),
            ("jti", jti),
            ("sid", sid),
            ("target", target),
            ("kid", kid),
            ("token", &token),
            ("token_sha256", token_sha256),
            ("iss", &self.iss),
        ];
        body.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.clone()?.into()))));
        let times = [("before", self.before), ("ends", self.ends)];
        body.extend(times.into_iter().filter_map(|(name, time)| Some((name.to_owned(), time?.into()))));
        Ok(Value::Object(body))
    }
}

/// Prints the newest revocations, page by page.
fn list(client: &Client, limit: usize) -> Result<(), Failure> {
    let (mut left, mut below) = (limit, None);
    while left > 0 {
        let continued = below.map_or_else(String::new, |below: u64| format!("&below={below}"));
        let path = format!("/revocations?limit={}{continued}", left.min(PAGE));
        let page = client.send(Method::GET, &path, None, None)?;
        let revocations = page.get("revocations").and_then(Value::as_array).ok_or_else(not_ours)?;
        let lines: String = revocations.iter().take(left).map(|each| printable(&each.to_string()) + "\n").collect();
        print(&lines)?;
        left = left.saturating_sub(revocations.len());
        match page.get("below").and_then(Value::as_u64) {
            // A wrong server must not be asked forever.
            Some(next) if below.is_none_or(|below| next < below) => below = Some(next),
            _ => break,
        }
    }
    Ok(())
}

/// Escapes what a terminal would not show in a JSON text. Users choose the names in it.
fn printable(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match is_shown(c) {
            true => text.push(c),
            false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    text
}

fn not_ours() -> Failure {
    Failure::failed("the answer is none of the admin API: does --server name it?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_name_cannot_control_the_terminal_and_stays_the_same_json() {
        let value = Value::from("Jürgen 東\u{1b}[2J\u{9b}31m\u{202e}\u{7f}\u{e0001}\n\"\\");
        let text = printable(&value.to_string());
        assert_eq!(text, r#""Jürgen 東\u001b[2J\u009b31m\u202e\u007f\udb40\udc01\n\"\\""#);
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
    }
}
