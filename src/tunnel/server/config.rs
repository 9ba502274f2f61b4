//! The server's configuration, from environment variables.

use super::{
    revocations::Source,
    setting::{BadSetting, bad},
    tls::TlsSource,
};
use crate::{
    mux::Limits,
    tunnel::log::{Level, Logger},
};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// The configuration of a server.
pub struct Config {
    /// The prefix of client URLs, without a trailing slash.
    pub url_prefix: String,
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// The address of `/metrics`, or `None` to serve none.
    pub metrics: Option<SocketAddr>,
    /// The secrets that sign tokens.
    pub secrets: [Vec<u8>; 2],
    /// The audience that tokens must have.
    pub audience: Option<String>,
    /// The certificate of a server with TLS.
    pub tls: Option<TlsSource>,
    /// The file that `/__version__` serves.
    pub version_file: PathBuf,
    /// True to keep the `X-Forwarded-*` fields, which a proxy in front sets. Default: false, which replaces them.
    pub behind_proxy: bool,
    /// True to keep a session after its token has expired. Default: false.
    pub outlive_token: bool,
    /// The number of connected clients. Default: 20,000.
    pub max_clients: usize,
    /// The time limit for open streams when a session ends. Default: 30 s.
    pub grace: Duration,
    /// The time limit for a client to accept a stream. Default: 30 s.
    pub open_timeout: Duration,
    /// The time limit for a client to respond, after the last byte of the request. Default: 300 s.
    pub response_timeout: Duration,
    /// The time limit for a viewer to send a request's head. Default: 30 s.
    pub header_timeout: Duration,
    /// How long a viewer that has finished sending may wait for the next byte of its response. Then it is regarded as gone.
    /// Behind a proxy it is gone at once. Default: 30 s.
    pub half_close_timeout: Duration,
    /// Where revocations come from. Default: nothing is revoked.
    pub revocations: Option<Source>,
    /// The limits of each session.
    pub limits: Limits,
    /// The logger.
    pub logger: Logger,
}

impl Config {
    /// Returns a configuration with defaults that listens on `listen`.
    pub fn new(url_prefix: &str, listen: SocketAddr, secrets: [Vec<u8>; 2]) -> Self {
        Self {
            url_prefix: url_prefix.strip_suffix('/').unwrap_or(url_prefix).to_owned(),
            listen: vec![listen],
            metrics: None,
            secrets,
            audience: None,
            tls: None,
            version_file: "/app/version.json".into(),
            behind_proxy: false,
            outlive_token: false,
            max_clients: 20_000,
            grace: Duration::from_secs(30),
            open_timeout: Duration::from_secs(30),
            response_timeout: Duration::from_secs(300),
            header_timeout: Duration::from_secs(30),
            half_close_timeout: Duration::from_secs(30),
            revocations: None,
            limits: Limits::default(),
            logger: Logger::new("websocktunnel", Level::Info, false),
        }
    }

    /// Reads the environment variables with `get`. An empty variable is unset.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, BadSetting> {
        let env = Env { get: &get };
        let tls = TlsSource::from_settings(env.text("TLS_CERTIFICATE"), env.text("TLS_KEY"))?;
        let port = env.number("PORT", if tls.is_some() { 443 } else { 80 })?;
        let port = u16::try_from(port).map_err(|_| bad("PORT", "is not a port number"))?;
        let mut config = Self::new(&env.url_prefix(tls.is_some(), port)?, ([0, 0, 0, 0], port).into(), env.secrets()?);
        config.listen = env.listen(port)?;
        config.tls = tls;
        config.audience = env.text("AUDIENCE");
        config.metrics = env.parsed("TUNNEL_METRICS", "is not an address and a port")?;
        config.behind_proxy = env.flag("TUNNEL_BEHIND_PROXY")?;
        config.outlive_token = env.flag("TUNNEL_OUTLIVE_TOKEN")?;
        config.max_clients = env.number("TUNNEL_MAX_CLIENTS", 20_000)? as usize;
        config.grace = env.seconds("TUNNEL_GRACE_SECONDS", config.grace)?;
        config.open_timeout = env.seconds("TUNNEL_OPEN_SECONDS", config.open_timeout)?;
        config.response_timeout = env.seconds("TUNNEL_RESPONSE_SECONDS", config.response_timeout)?;
        config.header_timeout = env.seconds("TUNNEL_HEADER_SECONDS", config.header_timeout)?;
        config.limits.keepalive = env.seconds("TUNNEL_KEEPALIVE_SECONDS", config.limits.keepalive)?;
        config.revocations = Source::from_env(|name| env.text(name))?;
        if let Some(path) = env.text("TUNNEL_VERSION_FILE") {
            config.version_file = path.into();
        }
        config.logger = env.logger()?;
        Ok(config)
    }
}

/// The reader of variables.
struct Env<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
}

impl Env<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.is_empty())
    }

    fn parsed<T: std::str::FromStr>(&self, name: &'static str, problem: &str) -> Result<Option<T>, BadSetting> {
        self.text(name).map(|value| value.parse().map_err(|_| bad(name, problem))).transpose()
    }

    fn number(&self, name: &'static str, default: u32) -> Result<u32, BadSetting> {
        Ok(self.parsed(name, "is not a whole number")?.unwrap_or(default))
    }

    fn seconds(&self, name: &'static str, default: Duration) -> Result<Duration, BadSetting> {
        match self.parsed::<u32>(name, "is not a number of seconds")? {
            None => Ok(default),
            Some(0) => Err(bad(name, "must be at least 1 second")),
            Some(seconds) => Ok(Duration::from_secs(seconds.into())),
        }
    }

    fn flag(&self, name: &'static str) -> Result<bool, BadSetting> {
        match self.text(name).as_deref() {
            None | Some("0" | "false" | "no") => Ok(false),
            Some("1" | "true" | "yes") => Ok(true),
            Some(_) => Err(bad(name, "is neither 1 nor 0")),
        }
    }

    fn secrets(&self) -> Result<[Vec<u8>; 2], BadSetting> {
        let secret = |name| self.text(name).map(String::into_bytes).ok_or_else(|| bad(name, "is not set"));
        Ok([secret("TASKCLUSTER_PROXY_SECRET_A")?, secret("TASKCLUSTER_PROXY_SECRET_B")?])
    }

    /// Returns `URL_PREFIX`, or a URL of `HOSTNAME` and the port.
    fn url_prefix(&self, tls: bool, port: u16) -> Result<String, BadSetting> {
        if let Some(prefix) = self.text("URL_PREFIX") {
            let uri: hyper::Uri = prefix.parse().map_err(|_| bad("URL_PREFIX", "is not a URL"))?;
            let fits =
                matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none();
            return if fits { Ok(prefix) } else { Err(bad("URL_PREFIX", "is not an http or https URL")) };
        }
        let host = self.text("HOSTNAME").ok_or_else(|| bad("URL_PREFIX", "is not set, nor is HOSTNAME"))?;
        Ok(match (tls, port) {
            (true, 443) => format!("https://{host}"),
            (false, 80) => format!("http://{host}"),
            (true, port) => format!("https://{host}:{port}"),
            (false, port) => format!("http://{host}:{port}"),
        })
    }

    fn listen(&self, port: u16) -> Result<Vec<SocketAddr>, BadSetting> {
        let Some(list) = self.text("TUNNEL_BIND") else {
            // An IPv6 socket accepts IPv4 too. Without IPv6, listen::bind falls back to IPv4.
            return Ok(vec![SocketAddr::from(([0u16; 8], port))]);
        };
        let parse = |text: &str| text.trim().parse().map(|ip| SocketAddr::new(ip, port));
        list.split(',')
            .map(parse)
            .collect::<Result<_, _>>()
            .map_err(|_| bad("TUNNEL_BIND", "is not a list of IP addresses"))
    }

    fn logger(&self) -> Result<Logger, BadSetting> {
        let level = match self.text("TUNNEL_LOG") {
            None => Level::Info,
            Some(name) => {
                Level::from_name(&name).ok_or_else(|| bad("TUNNEL_LOG", "is not error, warn, info or debug"))?
            }
        };
        let production = self.text("ENV").is_some_and(|env| env == "production");
        let logger = Logger::new("websocktunnel", level, production);
        match self.text("SYSLOG_ADDR") {
            Some(address) if production => {
                logger.with_syslog(&address).map_err(|error| bad("SYSLOG_ADDR", format!("cannot be used: {error}")))
            }
            _ => Ok(logger),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "secret A, at least 32 bytes long";

    fn read(settings: &[(&str, &str)]) -> Result<Config, BadSetting> {
        let find = |wanted: &str| {
            let known = [("TASKCLUSTER_PROXY_SECRET_A", A), ("TASKCLUSTER_PROXY_SECRET_B", A)];
            settings.iter().chain(&known).find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned())
        };
        Config::from_env(find)
    }

    #[test]
    fn the_originals_variables_are_read() {
        let config = read(&[("URL_PREFIX", "https://t.example/x/"), ("PORT", "8000"), ("AUDIENCE", "me")]).unwrap();
        assert_eq!(config.url_prefix, "https://t.example/x");
        assert_eq!(config.listen[0].port(), 8000);
        assert_eq!(config.audience.as_deref(), Some("me"));
        assert_eq!(read(&[("HOSTNAME", "t.example")]).unwrap().url_prefix, "http://t.example");
        assert_eq!(read(&[("HOSTNAME", "h"), ("PORT", "81")]).unwrap().url_prefix, "http://h:81");
    }

    #[test]
    fn an_error_names_the_variable_without_its_secret() {
        let secret = "TASKCLUSTER_PROXY_SECRET_A";
        for (settings, name) in [
            (vec![], "URL_PREFIX"),
            (vec![("URL_PREFIX", "x")], "URL_PREFIX"),
            (vec![("HOSTNAME", "h"), ("PORT", "70000")], "PORT"),
            (vec![("HOSTNAME", "h"), ("PORT", "https")], "PORT"),
            (vec![("HOSTNAME", "h"), (secret, "")], secret),
            (vec![("HOSTNAME", "h"), ("TLS_KEY", "LS0tbad")], "TLS_CERTIFICATE"),
            (vec![("HOSTNAME", "h"), ("TUNNEL_GRACE_SECONDS", "0")], "TUNNEL_GRACE_SECONDS"),
            (vec![("HOSTNAME", "h"), ("TUNNEL_BIND", "here")], "TUNNEL_BIND"),
            (vec![("HOSTNAME", "h"), ("TUNNEL_OUTLIVE_TOKEN", "perhaps")], "TUNNEL_OUTLIVE_TOKEN"),
            (vec![("HOSTNAME", "h"), ("ENV", "production"), ("SYSLOG_ADDR", "no port")], "SYSLOG_ADDR"),
        ] {
            let error = read(&settings).err().unwrap_or_else(|| panic!("{settings:?} was accepted"));
            assert_eq!(error.name, name, "{settings:?}");
            assert!(!error.to_string().contains(A));
        }
    }
}
