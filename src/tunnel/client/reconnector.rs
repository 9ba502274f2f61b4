//! The task that keeps a client's tunnel up.

use super::{
    ClientError, Event, Observer,
    config::{Config, Retry},
    dial::{self, DialError, Registered},
};
use crate::{
    mux::{Dialect, GoAwayReason},
    tunnel::{
        end::{CloseReason, SessionEnd},
        link::Link,
        stream::MuxStream,
    },
};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// A session shorter than this counts as a failed attempt.
const SHORT_LIFE: Duration = Duration::from_secs(1);

pub(super) struct Reconnector {
    config: Config,
    observer: Option<Observer>,
    streams: mpsc::Sender<MuxStream>,
    url: watch::Sender<String>,
    closing: watch::Receiver<bool>,
    /// The token of the session that runs, or ran last.
    token: String,
    /// The server has said that this token has run out. Our own clock is not asked: the two may differ.
    spent: bool,
}

/// What becomes of a session.
enum Next {
    /// It is over: make another.
    Reconnect,
    /// It still runs: make another, then let go of it.
    Move,
}

impl Reconnector {
    pub fn new(
        config: Config,
        observer: Option<Observer>,
        streams: mpsc::Sender<MuxStream>,
        url: watch::Sender<String>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self { config, observer, streams, url, closing, token: String::new(), spent: false }
    }

    fn tell(&self, event: Event) {
        if let Some(observer) = &self.observer {
            observer(&event);
        }
    }

    /// Runs until the client is closed or nothing can be done any more.
    pub async fn run(mut self) -> ClientError {
        let mut closing = self.closing.clone();
        let closed = async move {
            // A handle that was dropped wants no more streams either.
            _ = closing.wait_for(|close| *close).await.is_ok();
        };
        let mut current = None;
        let end = tokio::select! {
            error = self.keep(&mut current) => error,
            () = closed => ClientError::Closed,
        };
        if let Some(link) = current {
            link.drain(CloseReason::Done, self.config.grace, Duration::ZERO);
        }
        end
    }

    async fn keep(&mut self, current: &mut Option<Link>) -> ClientError {
        loop {
            let Registered { link, url } = match self.register().await {
                Ok(registered) => registered,
                Err(error) => return error,
            };
            tokio::spawn(hand_out(link.clone(), self.streams.clone(), self.observer.clone()));
            let predecessor = current.replace(link.clone());
            _ = self.url.send(url.clone());
            match predecessor {
                None => self.tell(Event::Connected { url }),
                Some(old) => {
                    self.tell(Event::Moved { url });
                    old.drain(CloseReason::Done, self.config.grace, Duration::ZERO);
                }
            }
            let since = Instant::now();
            match self.watch(&link).await {
                Ok(Next::Reconnect) => {
                    *current = None;
                    // A session that hardly lived must not be followed by another at once, and so on for ever.
                    if since.elapsed() < SHORT_LIFE {
                        let wait = Backoff::new(&self.config.retry).next().unwrap_or(self.config.retry.initial);
                        tokio::time::sleep(wait).await;
                    }
                }
                Ok(Next::Move) => {}
                Err(error) => return error,
            }
        }
    }

    /// Waits until a session has to be replaced.
    async fn watch(&mut self, link: &Link) -> Result<Next, ClientError> {
        let mut tokens = self.config.tokens.clone();
        let replaced = async {
            // A server of the original kind cuts the old session, so there a new token waits for its turn.
            if link.dialect() == Dialect::Original || tokens.other_than(&self.token).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            end = link.ended() => {
                if matches!(end, SessionEnd::Closed { code, .. } if code == CloseReason::Replaced.close_frame().0) {
                    return Err(ClientError::Replaced);
                }
                self.spent = matches!(end, SessionEnd::Closed { code, .. } if code == CloseReason::Expired.close_frame().0);
                self.tell(Event::Disconnected { reason: end.to_string() });
                Ok(Next::Reconnect)
            }
            reason = link.peer_go_away() => match reason {
                GoAwayReason::Replaced => Err(ClientError::Replaced),
                GoAwayReason::Draining => {
                    self.tell(Event::Moving { reason: "the server is stopping".into() });
                    Ok(Next::Move)
                }
                GoAwayReason::Expired => {
                    self.spent = true;
                    self.tell(Event::Moving { reason: "the token has expired".into() });
                    Ok(Next::Move)
                }
            },
            () = replaced => {
                self.tell(Event::Moving { reason: "the token was replaced".into() });
                Ok(Next::Move)
            }
        }
    }

    /// Registers, with waits between attempts.
    async fn register(&mut self) -> Result<Registered, ClientError> {
        let mut backoff = Backoff::new(&self.config.retry);
        loop {
            let token = self.usable_token().await?;
            let attempt = tokio::time::timeout(self.config.handshake_timeout, dial::register(&self.config, &token));
            let error = match attempt.await {
                Ok(Ok(registered)) => {
                    (self.token, self.spent) = (token, false);
                    return Ok(registered);
                }
                Ok(Err(error)) => error,
                Err(_) => DialError::Temporary("the server did not answer in time".into()),
            };
            match error {
                DialError::Unauthorized => {
                    self.another_token(&token, error.to_string()).await?;
                    continue;
                }
                DialError::Refused(_) | DialError::Hopeless(_) => return Err(ClientError::Failed(error.to_string())),
                DialError::Temporary(_) => {}
            }
            let Some(wait) = backoff.next() else { return Err(ClientError::GaveUp(error.to_string())) };
            self.tell(Event::Retrying { error: error.to_string(), wait_ms: wait.as_millis() as u64 });
            tokio::time::sleep(wait).await;
        }
    }

    /// The newest token; waits for another when the server has said that it has run out.
    async fn usable_token(&mut self) -> Result<String, ClientError> {
        loop {
            let token = self.config.tokens.newest().await.map_err(|_| ClientError::NoToken)?;
            if token != self.token || !self.spent {
                return Ok(token);
            }
            self.another_token(&token, "the token has expired".into()).await?;
        }
    }

    async fn another_token(&mut self, used: &str, why: String) -> Result<(), ClientError> {
        self.tell(Event::WaitingForToken);
        self.config.tokens.other_than(used).await.map_err(|_| ClientError::Auth(why))
    }
}

/// Passes the streams of one session on, and tells of those that a bound has cut, until it ends.
async fn hand_out(link: Link, streams: mpsc::Sender<MuxStream>, observer: Option<Observer>) {
    let pass_on = async {
        while let Some(stream) = link.accept().await {
            if streams.send(stream).await.is_err() {
                return;
            }
        }
    };
    let tell = async {
        loop {
            for (stream, cut) in link.cuts().await {
                if let Some(observer) = &observer {
                    observer(&Event::Cut { stream, reason: cut.to_string() });
                }
            }
        }
    };
    tokio::select! {
        () = pass_on => {}
        () = tell => {}
    }
}

/// Waits that grow, spread so that many clients do not come back at once.
struct Backoff {
    retry: Retry,
    start: Instant,
    wait: Duration,
}

impl Backoff {
    fn new(retry: &Retry) -> Self {
        Self { retry: retry.clone(), start: Instant::now(), wait: retry.initial }
    }

    /// The next wait; none when it would end after the time to give up.
    fn next(&mut self) -> Option<Duration> {
        let spread = 1.0 + self.retry.jitter * (2.0 * random_unit() - 1.0);
        let wait = self.wait.mul_f64(spread.max(0.0)).min(self.retry.max);
        self.wait = self.wait.mul_f64(self.retry.multiplier.max(1.0)).min(self.retry.max);
        let over = self.retry.give_up.is_some_and(|limit| self.start.elapsed() + wait > limit);
        (!over).then_some(wait)
    }
}

/// A number in [0, 1).
fn random_unit() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the waits are merely not spread.
    _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_stay_in_their_spread_and_end() {
        let retry = Retry { give_up: Some(Duration::from_secs(30)), max: Duration::from_secs(2), ..Retry::default() };
        let mut backoff = Backoff::new(&retry);
        for base in [500.0, 750.0, 1125.0, 1687.5] {
            let wait = backoff.next().unwrap().as_secs_f64() * 1000.0;
            assert!((base * 0.49..=base * 1.51).contains(&wait), "{wait} ms around {base}");
        }
        for _ in 0..20 {
            assert!(backoff.next().unwrap() <= retry.max);
        }
        backoff.start = Instant::now() - Duration::from_secs(30);
        assert_eq!(backoff.next(), None);
    }
}
