//! The settings of revocations: where Redis is, and what happens while it is away.

use super::super::setting::{BadSetting, bad};
use std::{path::PathBuf, time::Duration};
use zeroize::Zeroizing;

const NAME: &str = "TUNNEL_REVOCATIONS";
/// The longest password, in bytes.
const MAX_PASSWORD_BYTES: usize = 4096;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host and a port.
    Tcp(String, u16),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads `host:port` or `[v6]:port`, or a host alone with a default port.
    pub(super) fn parse(text: &str, default_port: Option<u16>) -> Option<Address> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
        let port = match port {
            Some(digits) => digits.parse().ok().filter(|port| *port != 0)?,
            None => default_port?,
        };
        (!host.is_empty() && host.bytes().all(is_host)).then(|| Address::Tcp(host.to_owned(), port))
    }
}

/// The credentials for a server.
#[derive(Clone, Default)]
pub(super) struct Login {
    pub user: Option<String>,
    pub password: Option<Zeroizing<String>>,
}

/// Where revocations come from, and what happens while they do not.
#[derive(Clone)]
pub struct Source {
    /// The servers: one, or some of a cluster, or sentinels.
    pub(super) servers: Vec<Address>,
    /// The name of the master that the sentinels watch.
    pub(super) master: Option<String>,
    pub(super) tls: bool,
    pub(super) login: Login,
    pub(super) sentinel_login: Login,
    /// True if tokens are refused while Redis is away for too long.
    pub(super) is_closed: bool,
    /// How long that is.
    pub(super) fail_after: Duration,
}

impl Source {
    /// Reads the variables with `get`, which returns `None` for an empty one. Returns `None` without
    /// `TUNNEL_REVOCATIONS`.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Option<Source>, BadSetting> {
        let Some(url) = get(NAME) else { return Ok(None) };
        let mut source = Source::parse(&url)?;
        source.login.password = password(&get, "TUNNEL_REVOCATIONS_PASSWORD_FILE")?;
        source.sentinel_login.password = password(&get, "TUNNEL_REVOCATIONS_SENTINEL_PASSWORD_FILE")?;
        source.is_closed = match get("TUNNEL_REVOCATIONS_FAIL").as_deref() {
            None | Some("open") => false,
            Some("closed") => true,
            Some(_) => return Err(bad("TUNNEL_REVOCATIONS_FAIL", "is neither open nor closed")),
        };
        if let Some(text) = get("TUNNEL_REVOCATIONS_FAIL_SECONDS") {
            let seconds = text.parse().ok().filter(|seconds| (2..=86_400).contains(seconds));
            let seconds = seconds.ok_or_else(|| {
                bad("TUNNEL_REVOCATIONS_FAIL_SECONDS", "is not a whole number of seconds from 2 to 86400")
            })?;
            source.fail_after = Duration::from_secs(seconds);
        }
        Ok(Some(source))
    }

    /// Reads `redis://[USER@]HOST[:PORT][,…]`, `rediss://…` with TLS, `redis+sentinel://HOST[:PORT][,…]/MASTER`,
    /// `rediss+sentinel://…` and `unix:/PATH`.
    fn parse(url: &str) -> Result<Source, BadSetting> {
        let form = "is not redis://host:port, rediss://host:port, redis+sentinel://host:port/master or unix:/path";
        let wrong = || bad(NAME, form);
        let mut source = Source {
            servers: Vec::new(),
            master: None,
            tls: url.starts_with("rediss"),
            login: Login::default(),
            sentinel_login: Login::default(),
            is_closed: false,
            fail_after: Duration::from_secs(60),
        };
        if let Some(path) = url.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
            source.servers.push(Address::Unix(path.into()));
            return Ok(source);
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let is_sentinel = match scheme {
            "redis" | "rediss" => false,
            "redis+sentinel" | "rediss+sentinel" => true,
            _ => return Err(wrong()),
        };
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => {
                return Err(bad(
                    NAME,
                    "holds a password: a file that TUNNEL_REVOCATIONS_PASSWORD_FILE names must hold it",
                ));
            }
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, rest),
        };
        source.login.user = user.filter(|user| !user.is_empty());
        let (hosts, master) = rest.split_once('/').unwrap_or((rest, ""));
        if is_sentinel == master.is_empty() {
            return Err(bad(NAME, "needs the name of the master behind the sentinels, and no path otherwise"));
        }
        source.master = is_sentinel.then(|| master.to_owned());
        let port = if is_sentinel { 26_379 } else { 6379 };
        let servers = hosts.split(',').map(|host| Address::parse(host, Some(port)));
        source.servers = servers.collect::<Option<_>>().ok_or_else(wrong)?;
        Ok(source)
    }
}

/// Reads the file with a password that a variable names.
fn password(
    get: &impl Fn(&str) -> Option<String>,
    name: &'static str,
) -> Result<Option<Zeroizing<String>>, BadSetting> {
    let Some(path) = get(name) else { return Ok(None) };
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| bad(name, format!("names a file that cannot be read: {error}")))?;
    let password = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if password.is_empty() || password.len() > MAX_PASSWORD_BYTES {
        return Err(bad(name, "names a file that holds no password"));
    }
    Ok(Some(password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Source, String> {
        Source::parse(url).map_err(|error| error.to_string())
    }

    #[test]
    fn each_form_names_its_servers() {
        let tcp = |host: &str, port| Address::Tcp(host.into(), port);
        let cases = [
            ("redis://r", vec![tcp("r", 6379)], None, false),
            ("redis://edge@r:1,10.0.0.2:2", vec![tcp("r", 1), tcp("10.0.0.2", 2)], None, false),
            ("rediss://[::1]:7", vec![tcp("::1", 7)], None, true),
            ("redis+sentinel://a,b:5/main", vec![tcp("a", 26_379), tcp("b", 5)], Some("main"), false),
            ("rediss+sentinel://a/main", vec![tcp("a", 26_379)], Some("main"), true),
            ("unix:/run/redis.sock", vec![Address::Unix("/run/redis.sock".into())], None, false),
        ];
        for (url, servers, master, tls) in cases {
            let source = parse(url).expect(url);
            assert_eq!((source.servers, source.master.as_deref(), source.tls), (servers, master, tls), "{url}");
        }
        assert_eq!(parse("redis://edge@r:1").unwrap().login.user.as_deref(), Some("edge"));
    }

    #[test]
    fn a_mistake_is_a_sentence_that_quotes_no_password() {
        for url in
            ["", "r:6379", "http://r", "redis://", "redis://r:0", "redis://r/main", "redis+sentinel://r", "unix:x"]
        {
            assert!(parse(url).is_err(), "{url}");
        }
        let message = parse("redis://edge:geheim@r:1").err().unwrap();
        assert!(message.contains("TUNNEL_REVOCATIONS_PASSWORD_FILE") && !message.contains("geheim"), "{message}");
    }
}
