//! Reads the log of revocations in Redis, again and again. `revocation/exchange.lua` explains the log.

use super::{
    Revocations, now,
    redis::{self, Connection, Failure, Reply},
    source::{Address, Source},
};
use crate::{
    revocation::{Answer, Entry, KEYS, Position, script},
    tunnel::{
        log::{Level, Logger},
        server::setting::{BadSetting, bad},
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

/// The time between two answers.
const PERIOD: Duration = Duration::from_millis(200);
/// The events of an answer.
const MAX_EVENTS: &[u8] = b"500";
/// The answers in a row. The next ones come after a pause.
const MAX_ANSWERS: usize = 1000;
/// A cluster may redirect more than once while it moves slots.
const MAX_REDIRECTIONS: usize = 3;
/// The most revocations, so that nobody who can write to Redis exhausts the memory.
const MAX_RECORDS: usize = 1_000_000;
/// How often the log says that something stays wrong.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);

/// Starts to read. Returns a receiver of true as soon as everything was read once, or could not be.
pub(in crate::tunnel::server) fn follow(
    revocations: Arc<Revocations>,
    source: Source,
    logger: Logger,
) -> Result<watch::Receiver<bool>, BadSetting> {
    let tls = source.tls.then(redis::tls).transpose().map_err(|problem| bad("TUNNEL_REVOCATIONS", problem))?;
    let (begun, has_begun) = watch::channel(false);
    let mut reader = Reader {
        revocations,
        logger,
        tls,
        first: 0,
        redirected: None,
        connection: None,
        position: Position::default(),
        gone: HashMap::new(),
        started: Instant::now(),
        current: None,
        away_since: None,
        is_refusing: false,
        complained: None,
        source,
    };
    tokio::spawn(async move {
        loop {
            reader.round().await;
            begun.send_replace(true);
            tokio::time::sleep(PERIOD).await;
        }
    });
    Ok(has_begun)
}

struct Reader {
    revocations: Arc<Revocations>,
    source: Source,
    logger: Logger,
    tls: Option<TlsConnector>,
    /// The server, or the sentinel, to begin with.
    first: usize,
    /// The server to which a cluster has redirected.
    redirected: Option<Address>,
    connection: Option<Connection>,
    position: Position,
    /// When a withdrawn revocation would have ended: nothing brings it back before.
    gone: HashMap<u64, i64>,
    started: Instant,
    /// When all was known.
    current: Option<Instant>,
    away_since: Option<Instant>,
    is_refusing: bool,
    complained: Option<Instant>,
}

impl Reader {
    /// Reads what is new, and says what became of it.
    async fn round(&mut self) {
        let generation = self.revocations.live.generation();
        match self.read_all().await {
            Ok(true) => self.note_current(),
            Ok(false) => {}
            Err(failure) => self.note_away(&failure),
        }
        let seconds = now();
        self.gone.retain(|_, ends| *ends > seconds);
        self.revocations.live.remove_ended(seconds);
        self.revocations.live.set_outdated(self.is_outdated());
        if self.revocations.live.generation() != generation {
            self.revocations.end_revoked();
        }
        self.note_refusal();
    }

    /// Reads to the end of the log. Returns whether it has reached it.
    async fn read_all(&mut self) -> Result<bool, Failure> {
        for _ in 0..MAX_ANSWERS {
            let reply = self.ask().await?;
            let Reply::Text(text) = reply else { return Err(Failure::new("the answer is no text")) };
            match Answer::parse(&text) {
                None => return Err(Failure::new("the answer is not that of the script")),
                Some(Answer::Lost) if self.position == Position::default() => {
                    return Err(Failure::new("the answer is not that of the script"));
                }
                // The gateways bring what they know, and this server keeps what it knows.
                Some(Answer::Lost) => self.position = Position::default(),
                Some(Answer::Entries { position, has_more, entries }) => {
                    entries.into_iter().for_each(|(id, entry)| self.take(id, &entry));
                    self.position = position;
                    if !has_more {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Takes an entry.
    fn take(&mut self, id: u64, entry: &Entry) {
        let (live, now) = (&self.revocations.live, now());
        let problem = match entry {
            Entry::Withdrawal(ends) => {
                live.remove(id);
                if *ends > now && self.gone.len() < MAX_RECORDS {
                    self.gone.insert(id, *ends);
                }
                None
            }
            Entry::Revocation(_) if self.gone.contains_key(&id) => None,
            Entry::Revocation(_) if live.len() >= MAX_RECORDS => Some("there are too many revocations"),
            Entry::Revocation(text) => live.add(id, text, now).err().map(|_| "an entry in Redis is no revocation"),
        };
        if let Some(problem) = problem
            && self.complained.is_none_or(|at| at.elapsed() >= COMPLAINT_PERIOD)
        {
            self.complained = Some(Instant::now());
            self.logger.event(Level::Error, "revocations", &[("error", &problem)]);
        }
    }

    /// Runs the script. A cluster's servers redirect to the one that has the keys.
    async fn ask(&mut self) -> Result<Reply, Failure> {
        let Position { after, number, event } = self.position.clone();
        let [log, entries, ends] = KEYS.map(str::as_bytes);
        let arguments: [&[u8]; 11] = [
            b"EVAL",
            script().as_bytes(),
            b"3",
            log,
            entries,
            ends,
            b"ro",
            number.as_bytes(),
            event.as_bytes(),
            after.as_bytes(),
            MAX_EVENTS,
        ];
        let mut failures = 0;
        for _ in 0..self.source.servers.len() + MAX_REDIRECTIONS {
            let outcome = match self.connection().await {
                Ok(connection) => connection.command(&arguments).await,
                Err(failure) => Err(failure),
            };
            let failure = match outcome {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            self.connection = None;
            self.redirected = redirection(&failure);
            if self.redirected.is_none() {
                // Another server, or sentinel, may do better.
                self.first = (self.first + 1) % self.source.servers.len();
                failures += 1;
                if failures == self.source.servers.len() {
                    return Err(failure);
                }
            }
        }
        Err(Failure::new("the cluster redirects without end"))
    }

    /// Returns the connection, which is new if there is none.
    async fn connection(&mut self) -> Result<&mut Connection, Failure> {
        if self.connection.is_none() {
            let address = match (self.redirected.clone(), self.source.master.clone()) {
                (Some(address), _) => address,
                (None, Some(master)) => self.master(&master).await?,
                (None, None) => self.source.servers[self.first].clone(),
            };
            let must_be_master = self.source.master.is_some();
            let opened = Connection::open(&address, self.tls.as_ref(), &self.source.login, must_be_master).await?;
            self.connection = Some(opened);
        }
        self.connection.as_mut().ok_or_else(|| Failure::new("there is no connection"))
    }

    /// Asks the next sentinel for the address of the master. Another one is asked after each failure.
    async fn master(&mut self, name: &str) -> Result<Address, Failure> {
        let sentinel = &self.source.servers[self.first];
        let mut connection = Connection::open(sentinel, self.tls.as_ref(), &self.source.sentinel_login, false).await?;
        let reply = connection.command(&[b"SENTINEL", b"get-master-addr-by-name", name.as_bytes()]).await?;
        let Reply::List(words) = reply else { return Err(Failure::new("the sentinel does not know the master")) };
        let texts: Vec<&str> = words.iter().filter_map(|word| std::str::from_utf8(word).ok()).collect();
        let [host, port] = texts.as_slice() else { return Err(Failure::new("the sentinel names no address")) };
        let text = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Address::parse(&text, None).ok_or_else(|| Failure::new("the sentinel names no address"))
    }

    /// Returns whether too little is known to accept a token.
    fn is_outdated(&self) -> bool {
        match self.current {
            Some(at) => self.source.is_closed && at.elapsed() > self.source.fail_after,
            None => self.source.is_closed || self.started.elapsed() < self.source.fail_after,
        }
    }

    fn note_current(&mut self) {
        self.current = Some(Instant::now());
        self.revocations.current_at.store(now(), Relaxed);
        if let Some(since) = self.away_since.take() {
            let seconds = since.elapsed().as_secs();
            self.logger.event(Level::Info, "Redis is back, and revocations are current", &[("seconds", &seconds)]);
        }
    }

    fn note_away(&mut self, failure: &Failure) {
        if self.away_since.is_none() {
            self.away_since = Some(Instant::now());
            let what = "Redis is away, and known revocations count";
            self.logger.event(Level::Error, what, &[("error", failure)]);
        }
    }

    /// Says once that tokens are refused, because nobody knows what is revoked, and that they are accepted again.
    fn note_refusal(&mut self) {
        let is_refusing = self.is_outdated();
        if is_refusing != self.is_refusing {
            self.is_refusing = is_refusing;
            let (level, what) = match is_refusing {
                true => (Level::Error, "tokens are refused, because nobody knows what is revoked"),
                false => (Level::Info, "tokens are accepted again"),
            };
            self.logger.event(level, what, &[]);
        }
    }
}

/// Returns the address of a cluster's redirection, such as `MOVED 7 10.0.0.2:6379`.
fn redirection(failure: &Failure) -> Option<Address> {
    let mut words = failure.0.split(' ');
    let (kind, _slot, address) = (words.next()?, words.next()?, words.next()?);
    let (host, port) = address.rsplit_once(':')?;
    let text = if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { address.into() };
    (kind == "MOVED").then(|| Address::parse(&text, None)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_redirection_to_an_address_is_followed() {
        let to = |text: &str| redirection(&Failure::new(text));
        assert_eq!(to("MOVED 7 10.0.0.2:6379"), Some(Address::Tcp("10.0.0.2".into(), 6379)));
        assert_eq!(to("MOVED 7 fe80::1:6379"), Some(Address::Tcp("fe80::1".into(), 6379)));
        for text in ["MOVED 7 :6379", "MOVED 7", "ERR no", "MOVED 7 h:x", "READONLY You cannot"] {
            assert_eq!(to(text), None, "{text}");
        }
    }
}
