//! The logger: lines as text or JSON to standard error, and optionally to syslog over UDP.
//!
//! Values are escaped, so a peer's input stays on one line. Callers pass no tokens.

use serde_json::{Map, Value, json};
use std::{
    fmt::{self, Write as _},
    io::Write as _,
    net::{ToSocketAddrs, UdpSocket},
    sync::Arc,
};
use time::{UtcDateTime, format_description::well_known::Rfc3339};

/// The severity of a line, with the numbers of the original's production logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A fault on our side.
    Error = 2,
    /// A fault of a peer.
    Warn = 3,
    /// A change of state.
    Info = 4,
    /// Every request.
    Debug = 5,
}

impl Level {
    /// Returns the level with this name, or `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug].into_iter().find(|level| level.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// Returns the priority of RFC 5424 §6.2.1, with the facility 0 as in the original.
    fn syslog_priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warn => 4,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }
}

/// A logger. Clones share its outputs.
#[derive(Clone)]
pub struct Logger {
    inner: Arc<Inner>,
}

struct Inner {
    program: &'static str,
    level: Level,
    json: bool,
    host: String,
    syslog: Option<UdpSocket>,
}

impl fmt::Debug for Logger {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Logger").field("level", &self.inner.level).field("json", &self.inner.json).finish()
    }
}

impl Logger {
    /// Returns a logger that writes to standard error.
    pub fn new(program: &'static str, level: Level, json: bool) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        Self { inner: Arc::new(Inner { program, level, json, host, syslog: None }) }
    }

    /// Adds a syslog server. Resolves the address once.
    pub fn with_syslog(self, address: &str) -> std::io::Result<Self> {
        let target = address.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
        let local = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(local)?;
        socket.connect(target)?;
        socket.set_nonblocking(true)?;
        let Inner { program, level, json, ref host, .. } = *self.inner;
        Ok(Self { inner: Arc::new(Inner { program, level, json, host: host.clone(), syslog: Some(socket) }) })
    }

    /// Returns true if lines of this level are written.
    pub fn is_on(&self, level: Level) -> bool {
        level <= self.inner.level
    }

    /// Writes one line. Drops it if an output fails, because logging must not stop a tunnel.
    pub fn event(&self, level: Level, message: &str, fields: &[(&str, &dyn fmt::Display)]) {
        if !self.is_on(level) {
            return;
        }
        let now = UtcDateTime::now();
        let time = rfc3339(now);
        let line = if self.inner.json {
            self.json_line(level, now.unix_timestamp_nanos(), &time, message, fields)
        } else {
            text_line(level, &time, message, fields)
        };
        _ = writeln!(std::io::stderr().lock(), "{line}");
        if let Some(socket) = &self.inner.syslog {
            let Inner { program, host, .. } = &*self.inner;
            let pid = std::process::id();
            let datagram = format!("<{}>{time} {host} {program}[{pid}]: {line}\n", level.syslog_priority());
            _ = socket.send(datagram.as_bytes());
        }
    }

    fn json_line(
        &self,
        level: Level,
        nanos: i128,
        time: &str,
        message: &str,
        fields: &[(&str, &dyn fmt::Display)],
    ) -> String {
        let mut values = Map::new();
        values.insert("msg".into(), message.into());
        for (name, value) in fields {
            values.insert((*name).into(), value.to_string().into());
        }
        json!({
            "Timestamp": nanos as i64,
            "Time": time,
            "Type": "app.log",
            "Logger": self.inner.program,
            "Hostname": self.inner.host,
            "EnvVersion": "2.0",
            "Pid": std::process::id(),
            "Severity": level as u8,
            "Fields": Value::Object(values),
        })
        .to_string()
    }
}

fn text_line(level: Level, time: &str, message: &str, fields: &[(&str, &dyn fmt::Display)]) -> String {
    let mut line = format!("time=\"{time}\" level={} msg={message:?}", level.name());
    for (name, value) in fields {
        _ = write!(line, " {name}={:?}", value.to_string());
    }
    line
}

/// Formats a time by RFC 3339, in whole seconds.
fn rfc3339(time: UtcDateTime) -> String {
    time.truncate_to_second().format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_by_rfc_3339_in_whole_seconds() {
        let time = UtcDateTime::from_unix_timestamp_nanos(1_700_000_000_999_999_999).unwrap();
        assert_eq!(rfc3339(time), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_value_with_a_line_feed_stays_on_one_line() {
        let line = text_line(Level::Info, "t", "m", &[("tunnel-id", &"a\nlevel=error \"x")]);
        assert_eq!(line, r#"time="t" level=info msg="m" tunnel-id="a\nlevel=error \"x""#);
    }

    #[test]
    fn production_lines_have_the_originals_json_format() {
        let logger = Logger::new("websocktunnel", Level::Info, true);
        let line = logger.json_line(Level::Warn, 5, "t", "said \"no\"", &[("tunnel-id", &"a\nb")]);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["Fields"]["tunnel-id"], "a\nb");
        assert_eq!((&value["Severity"], &value["Type"]), (&json!(3), &json!("app.log")));
        assert!(!line.contains('\n'));
    }
}
