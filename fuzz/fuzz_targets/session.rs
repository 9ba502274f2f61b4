//! A session against a peer that keeps no rule and a user who does anything, in any order: it never panics and stays
//! within its limits.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use route_native::mux::{Config, Dialect, GoneReason, Limits, Notice, ResetReason, Role, Session};
use std::time::{Duration, Instant};

#[derive(Arbitrary, Debug)]
enum Step {
    Receive { kind: u8, id: u8, payload: Vec<u8> },
    Raw(Vec<u8>),
    Open,
    Accept(u8),
    Read(u8, u16),
    Write(u8, u8),
    Finish(u8),
    Release(u8),
    Transmit(u8),
    Wait(u8),
    GoAway,
    Close,
}

fuzz_target!(|input: (bool, bool, Vec<Step>)| {
    let (server, extended, steps) = input;
    let limits = Limits {
        streams: 8,
        queued_opens: 4,
        replies: 32,
        window: 512,
        session_bytes: 1024,
        send_queue: 256,
        data_bytes: 64,
        message_bytes: 4096,
        ..Limits::default()
    };
    let mut session = Session::new(Config {
        role: if server { Role::Server } else { Role::Client },
        dialect: if extended { Dialect::Extended } else { Dialect::Original },
        peer_window: Some(512),
        limits: limits.clone(),
    });
    let mut now = Instant::now();
    for step in steps {
        match step {
            Step::Receive { kind, id, payload } => {
                let mut message = vec![kind % 7, id % 16, 0, 0, 0];
                message.extend(payload);
                if session.receive(message.into()).is_err() {
                    session.close();
                }
            }
            Step::Raw(message) => {
                if session.receive(message.into()).is_err() {
                    session.close();
                }
            }
            Step::Open => _ = session.open(),
            Step::Accept(id) => _ = session.accept(id.into()),
            Step::Read(id, max) => _ = session.read(id.into(), usize::from(max) + 1),
            Step::Write(id, len) => _ = session.write(id.into(), vec![0; len.into()].into()),
            Step::Finish(id) => session.finish(id.into()),
            Step::Release(id) => session.release(id.into(), ResetReason::Abandoned, now),
            Step::Transmit(n) => (0..n).for_each(|_| _ = session.poll_transmit()),
            Step::Wait(seconds) => {
                now += Duration::from_secs(seconds.into());
                session.on_time(now);
                session.on_interval();
            }
            Step::GoAway => _ = session.go_away(GoneReason::Draining),
            Step::Close => session.close(),
        }
        while let Some(notice) = session.poll_notice() {
            // A server is never offered a stream.
            assert!(!(server && matches!(notice, Notice::Incoming(_))));
        }
        assert!(session.stream_count() <= limits.streams);
        assert!(session.buffered_bytes() <= limits.session_bytes);
    }
});
