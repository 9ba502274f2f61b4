//! The state machine of one stream.
//!
//! ```text
//!              we open                             the peer opens
//!                 │                                      │
//!             ┌───▼───┐  Accepted   ┌──────┐  Accept ┌───▼───┐
//!             │Opening├────────────►│ Open │◄────────┤Offered│
//!             └─┬─┬───┘             └┬─┬─┬─┘         └─┬─┬───┘
//!       Abandon │ │ RemoteFin        │ │ │   RemoteFin │ │ Abandon
//!    ┌──────────┘ └► Closed LocalFin │ │ │ RemoteFin   │ └► Closed
//!    │                 ┌─────────────┘ │ └──────┐      │
//! ┌──▼──────┐          │       Abandon │        │   ┌──▼─────────┐
//! │Abandoned│          │               │        │   │RemoteClosed│
//! │Opening  │          │               │        │   │BeforeAccept│
//! └──┬──────┘          │               │        │   └──┬─────────┘
//!    │                 │               │        │      │ Accept
//!    │         ┌───────▼───┐     ┌─────▼────┐  ┌▼──────▼────┐
//!    │         │LocalClosed├────►│Discarding│  │RemoteClosed│
//!    │         └──────┬────┘Aban-└─────┬──▲─┘  └─────┬──────┘
//!    │      RemoteFin │     don        │  │          │ LocalFin or Abandon
//!    │                ▼      RemoteFin ▼  │          ▼
//!    │              Closed          Closed│        Closed
//!    └────────────────────────────────────┘ Accepted
//!
//!   any state ── Reset (RST either way, or the end of the session) ──► Closed
//! ```
//!
//! *AbandonedOpening*: we abandoned the stream before the peer accepted it. The original loses a FIN that arrives
//! before it has accepted, so our FIN waits for the ACK. *RemoteClosedBeforeAccept*: the peer's FIN arrived before we
//! accepted. *Discarding*: we sent FIN and no longer read. Input is dropped, and its sender gets credit, because a peer
//! of the original dialect that waits for credit notices nothing else. Extended peers reset the stream instead.

/// The state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// We sent SYN, and the peer has not accepted.
    Opening,
    /// We opened the stream and abandoned it before the peer accepted.
    AbandonedOpening,
    /// The peer sent SYN, and we have not accepted.
    Offered,
    /// The peer sent SYN and FIN, and we have not accepted.
    RemoteClosedBeforeAccept,
    /// Both directions are open.
    Open,
    /// We have finished sending.
    LocalClosed,
    /// The peer has finished sending.
    RemoteClosed,
    /// We have finished sending and no longer read.
    Discarding,
    /// Both directions have ended.
    Closed,
}

/// An event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The peer sent its first ACK.
    Accepted,
    /// We accept the peer's stream.
    Accept,
    /// We finish sending.
    LocalFin,
    /// The peer finishes sending.
    RemoteFin,
    /// Our user releases the stream.
    Abandon,
    /// Either side sent RST, or the session ended.
    Reset,
}

impl State {
    /// Returns the state after `event`. An event without an arrow leaves the state unchanged.
    pub fn after(self, event: Event) -> Self {
        use Event as E;
        use State as S;
        match (self, event) {
            (_, E::Reset) => S::Closed,
            (S::Opening, E::Accepted) | (S::Offered, E::Accept) => S::Open,
            (S::Opening, E::RemoteFin) | (S::AbandonedOpening, E::RemoteFin) => S::Closed,
            (S::Opening, E::Abandon) => S::AbandonedOpening,
            (S::AbandonedOpening, E::Accepted) => S::Discarding,
            (S::Offered, E::RemoteFin) => S::RemoteClosedBeforeAccept,
            (S::Offered | S::RemoteClosedBeforeAccept, E::Abandon) => S::Closed,
            (S::RemoteClosedBeforeAccept, E::Accept) => S::RemoteClosed,
            (S::Open, E::LocalFin) => S::LocalClosed,
            (S::Open, E::RemoteFin) => S::RemoteClosed,
            (S::Open | S::LocalClosed, E::Abandon) => S::Discarding,
            (S::LocalClosed | S::Discarding, E::RemoteFin) => S::Closed,
            (S::RemoteClosed, E::LocalFin | E::Abandon) => S::Closed,
            (state, _) => state,
        }
    }

    /// Returns true if our user may write. That includes a stream that is opening, whose bytes wait for credit.
    pub fn may_write(self) -> bool {
        matches!(self, Self::Opening | Self::Open | Self::RemoteClosed)
    }

    /// Returns true if the peer's bytes are stored for our user.
    pub fn keeps_input(self) -> bool {
        matches!(self, Self::Opening | Self::Offered | Self::Open | Self::LocalClosed)
    }

    /// Returns true if the peer has finished sending.
    pub fn remote_done(self) -> bool {
        matches!(self, Self::RemoteClosedBeforeAccept | Self::RemoteClosed | Self::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Event::*, State::*, *};

    const STATES: [State; 9] = [
        Opening,
        AbandonedOpening,
        Offered,
        RemoteClosedBeforeAccept,
        Open,
        LocalClosed,
        RemoteClosed,
        Discarding,
        Closed,
    ];
    const EVENTS: [Event; 6] = [Accepted, Accept, LocalFin, RemoteFin, Abandon, Reset];

    #[test]
    fn every_state_reacts_to_every_event_as_in_the_table() {
        // The rows are the states and the columns the events, in the order of STATES and EVENTS.
        let table = [
            [Open, Opening, Opening, Closed, AbandonedOpening, Closed],
            [Discarding, AbandonedOpening, AbandonedOpening, Closed, AbandonedOpening, Closed],
            [Offered, Open, Offered, RemoteClosedBeforeAccept, Closed, Closed],
            [
                RemoteClosedBeforeAccept,
                RemoteClosed,
                RemoteClosedBeforeAccept,
                RemoteClosedBeforeAccept,
                Closed,
                Closed,
            ],
            [Open, Open, LocalClosed, RemoteClosed, Discarding, Closed],
            [LocalClosed, LocalClosed, LocalClosed, Closed, Discarding, Closed],
            [RemoteClosed, RemoteClosed, Closed, RemoteClosed, Closed, Closed],
            [Discarding, Discarding, Discarding, Closed, Discarding, Closed],
            [Closed, Closed, Closed, Closed, Closed, Closed],
        ];
        for (state, row) in STATES.into_iter().zip(table) {
            for (event, expected) in EVENTS.into_iter().zip(row) {
                assert_eq!(state.after(event), expected, "{state:?} after {event:?}");
            }
        }
    }

    #[test]
    fn no_event_leaves_closed_and_every_state_reaches_it() {
        for event in EVENTS {
            assert_eq!(Closed.after(event), Closed);
        }
        for state in STATES {
            assert_eq!(state.after(Reset), Closed);
        }
    }

    #[test]
    fn a_closed_or_abandoned_stream_neither_writes_nor_stores_input() {
        for state in [Closed, Discarding, AbandonedOpening] {
            assert!(!state.may_write() && !state.keeps_input(), "{state:?}");
        }
    }
}
