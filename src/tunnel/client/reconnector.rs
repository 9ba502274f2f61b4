//! The reconnector: the task that keeps a client's tunnel connected.

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

/// The minimum duration of a session. A wait follows a shorter one.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// The state of the task.
pub(super) struct Reconnector {
    config: Config,
    observer: Option<Observer>,
    streams: mpsc::Sender<MuxStream>,
    url: watch::Sender<String>,
    closing: watch::Receiver<bool>,
    /// The token of the current or last session.
    token: String,
    /// True if the server has reported that this token has expired. The local clock is not used, because it may differ.
    token_expired: bool,
}

/// The next step after a session.
enum Next {
    /// The session has ended. Open another.
    Reconnect,
    /// The session still runs. Open another, then end this one.
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
        Self { config, observer, streams, url, closing, token: String::new(), token_expired: false }
    }

    fn notify(&self, event: Event) {
        if let Some(observer) = &self.observer {
            observer(&event);
        }
    }

    /// Runs until the client is closed or a permanent error occurs. Returns the reason.
    pub async fn run(mut self) -> ClientError {
        let mut closing = self.closing.clone();
        let closed = async move {
            // An error means that the client was dropped, which closes it too.
            _ = closing.wait_for(|close| *close).await.is_ok();
        };
        let mut current = None;
        let end = tokio::select! {
            error = self.keep_connected(&mut current) => error,
            () = closed => ClientError::Closed,
        };
        if let Some(link) = current {
            link.drain(CloseReason::Done, self.config.grace, Duration::ZERO);
        }
        end
    }

    /// Registers again whenever a session ends or has to be replaced.
    async fn keep_connected(&mut self, current: &mut Option<Link>) -> ClientError {
        loop {
            let Registered { link, url } = match self.register().await {
                Ok(registered) => registered,
                Err(error) => return error,
            };
            tokio::spawn(forward_streams(link.clone(), self.streams.clone(), self.observer.clone()));
            let predecessor = current.replace(link.clone());
            _ = self.url.send(url.clone());
            match predecessor {
                None => self.notify(Event::Connected { url }),
                Some(old) => {
                    self.notify(Event::Moved { url });
                    old.drain(CloseReason::Done, self.config.grace, Duration::ZERO);
                }
            }
            let since = Instant::now();
            match self.watch(&link).await {
                Ok(Next::Reconnect) => {
                    *current = None;
                    // The wait prevents a loop of short sessions.
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

    /// Waits until a session ends or has to be replaced.
    async fn watch(&mut self, link: &Link) -> Result<Next, ClientError> {
        let mut tokens = self.config.tokens.clone();
        let replaced = async {
            // An original server ends the old session at once, so a new token is used only after that session.
            if link.dialect() == Dialect::Original || tokens.wait_for_other(&self.token).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            end = link.ended() => {
                let closed_for = |reason: CloseReason| {
                    matches!(end, SessionEnd::Closed { code, .. } if code == reason.close_frame().0)
                };
                if closed_for(CloseReason::Replaced) {
                    return Err(ClientError::Replaced);
                }
                self.token_expired = closed_for(CloseReason::Expired) || closed_for(CloseReason::Revoked);
                self.notify(Event::Disconnected { reason: end.to_string() });
                Ok(Next::Reconnect)
            }
            reason = link.peer_go_away() => match reason {
                GoAwayReason::Replaced => Err(ClientError::Replaced),
                GoAwayReason::Draining => {
                    self.notify(Event::Moving { reason: "the server is stopping".into() });
                    Ok(Next::Move)
                }
                GoAwayReason::Expired => {
                    self.token_expired = true;
                    self.notify(Event::Moving { reason: "the token has expired".into() });
                    Ok(Next::Move)
                }
            },
            () = replaced => {
                self.notify(Event::Moving { reason: "the token was replaced".into() });
                Ok(Next::Move)
            }
        }
    }

    /// Registers, with the retries of the configuration.
    async fn register(&mut self) -> Result<Registered, ClientError> {
        let mut backoff = Backoff::new(&self.config.retry);
        loop {
            let token = self.usable_token().await?;
            let attempt = tokio::time::timeout(self.config.handshake_timeout, dial::register(&self.config, &token));
            let error = match attempt.await {
                Ok(Ok(registered)) => {
                    (self.token, self.token_expired) = (token, false);
                    return Ok(registered);
                }
                Ok(Err(error)) => error,
                Err(_) => DialError::Temporary("the server did not answer in time".into()),
            };
            match error {
                DialError::Unauthorized => {
                    self.wait_for_new_token(&token, error.to_string()).await?;
                    continue;
                }
                DialError::Refused(_) | DialError::Permanent(_) => return Err(ClientError::Failed(error.to_string())),
                DialError::Temporary(_) => {}
            }
            let Some(wait) = backoff.next() else { return Err(ClientError::GaveUp(error.to_string())) };
            self.notify(Event::Retrying { error: error.to_string(), wait_ms: wait.as_millis() as u64 });
            tokio::time::sleep(wait).await;
        }
    }

    /// Returns the newest token. Waits for another if the server has reported that it has expired.
    async fn usable_token(&mut self) -> Result<String, ClientError> {
        loop {
            let token = self.config.tokens.newest().await.map_err(|_| ClientError::NoToken)?;
            if token != self.token || !self.token_expired {
                return Ok(token);
            }
            self.wait_for_new_token(&token, "the token has expired".into()).await?;
        }
    }

    /// Waits for a token other than `used`. Fails with `why` if none will follow.
    async fn wait_for_new_token(&mut self, used: &str, why: String) -> Result<(), ClientError> {
        self.notify(Event::WaitingForToken);
        self.config.tokens.wait_for_other(used).await.map_err(|_| ClientError::Auth(why))
    }
}

/// Forwards the streams of one session to the client, and reports the streams that limits ended.
async fn forward_streams(link: Link, streams: mpsc::Sender<MuxStream>, observer: Option<Observer>) {
    let forward = async {
        while let Some(stream) = link.accept().await {
            if streams.send(stream).await.is_err() {
                return;
            }
        }
    };
    let report_cuts = async {
        loop {
            for (stream, cut) in link.cuts().await {
                if let Some(observer) = &observer {
                    observer(&Event::Cut { stream, reason: cut.to_string() });
                }
            }
        }
    };
    tokio::select! {
        () = forward => {}
        () = report_cuts => {}
    }
}

/// An exponential backoff with jitter, so that many clients do not reconnect at the same time.
struct Backoff {
    retry: Retry,
    start: Instant,
    wait: Duration,
}

impl Backoff {
    fn new(retry: &Retry) -> Self {
        Self { retry: retry.clone(), start: Instant::now(), wait: retry.initial }
    }

    /// Returns the next wait, or `None` if it would exceed the time limit.
    fn next(&mut self) -> Option<Duration> {
        let spread = 1.0 + self.retry.jitter * (2.0 * random_fraction() - 1.0);
        let wait = self.wait.mul_f64(spread.max(0.0)).min(self.retry.max);
        self.wait = self.wait.mul_f64(self.retry.multiplier.max(1.0)).min(self.retry.max);
        let over = self.retry.give_up.is_some_and(|limit| self.start.elapsed() + wait > limit);
        (!over).then_some(wait)
    }
}

/// Returns a random number in [0, 1).
fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the waits only lack jitter.
    _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_with_bounded_jitter_until_the_time_limit() {
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
