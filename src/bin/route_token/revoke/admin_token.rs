//! The admin token of `route-token revoke`: from a file, from the environment, or signed on the spot.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use route_native::jwt::{SignOptions, sign};
use route_native::keys::{Form, Keyring};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::{Failure, input, now};

/// The environment variable with an admin token.
const TOKEN: &str = "ROUTE_ADMIN_TOKEN";

/// The scope that the admin API requires.
const SCOPE: &str = "route_native.admin";

/// The life of a token that is signed on the spot, in seconds.
const LIFETIME: i64 = 60;

/// The options for the admin token.
#[derive(Args)]
pub struct AdminToken {
    /// File with the admin token; - for standard input. Default: the variable ROUTE_ADMIN_TOKEN
    #[arg(long, value_name = "FILE", global = true)]
    admin_token_file: Option<OsString>,

    /// File with the private key that signs an admin token of a minute, with ROUTE_ADMIN_ISSUER and
    /// ROUTE_ADMIN_AUDIENCE if they are set
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "admin_token_file")]
    admin_key: Option<PathBuf>,

    /// The name in the audit log, with --admin-key. Default: the user's
    #[arg(long, value_name = "NAME", global = true)]
    admin_name: Option<String>,
}

impl AdminToken {
    /// Returns whether the admin token comes from standard input.
    pub fn is_standard_input(&self) -> bool {
        self.admin_token_file.as_ref().is_some_and(|file| file == "-")
    }

    /// Returns the admin token.
    pub fn get(&self) -> Result<Zeroizing<String>, Failure> {
        if let Some(key) = &self.admin_key {
            return self.sign(key);
        }
        let (source, text) = match &self.admin_token_file {
            Some(file) => ("--admin-token-file", input::read(file)?),
            None => (TOKEN, env::var(TOKEN).unwrap_or_default().into_bytes()),
        };
        let text = Zeroizing::new(text);
        if text.is_empty() && source == TOKEN {
            return Err(Failure::usage(format!(
                "a change needs an admin token: --admin-key, --admin-token-file or {TOKEN}"
            )));
        }
        input::token(&text, source)
    }

    fn sign(&self, file: &Path) -> Result<Zeroizing<String>, Failure> {
        let keys = Keyring::from_file(file, Form::Key).map_err(|error| Failure::failed(error.message))?.current();
        let key = keys
            .signing()
            .map_err(|_| Failure::failed("--admin-key must hold a private key: it holds a public one"))?;
        let variable = |name| env::var(name).ok().filter(|text| !text.is_empty());
        let name = self.admin_name.clone().or_else(|| variable("USER")).or_else(|| variable("LOGNAME"));
        let mut claims = Map::new();
        let now = now()?;
        let members: [(&str, Option<Value>); 6] = [
            ("sub", Some(name.unwrap_or_else(|| "route-token".into()).into())),
            ("scope", Some(SCOPE.into())),
            ("iss", variable("ROUTE_ADMIN_ISSUER").map(Value::from)),
            ("aud", variable("ROUTE_ADMIN_AUDIENCE").map(Value::from)),
            ("iat", Some(now.into())),
            ("exp", Some((now + LIFETIME).into())),
        ];
        claims.extend(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        let claims = Value::Object(claims).to_string();
        let token = sign(claims.as_bytes(), key, &SignOptions::default(), now);
        let token = token.map_err(|reason| Failure::failed(format!("the admin token cannot be signed: {reason}")))?;
        Ok(Zeroizing::new(token))
    }
}
