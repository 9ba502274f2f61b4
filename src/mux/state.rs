//! The life of one stream, as a table.
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
//! *AbandonedOpening*: we gave up before the peer answered. The original forgets a FIN that precedes its own acceptance,
//! so ours waits for the answer. *RemoteClosedBeforeAccept*: the peer's FIN came before we accepted. *Discarding*: our
//! FIN is out and nobody reads here any more. What still arrives is dropped and credited: a peer of the original kind
//! that waits for credit notices nothing else. A pair of extended peers resets instead.

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Our SYN is out, no answer yet.
    Opening,
    /// Opened by us and given up before the answer.
    AbandonedOpening,
    /// The peer's SYN is here; we have not accepted.
    Offered,
    /// As [`State::Offered`], and the peer has already finished sending.
    RemoteClosedBeforeAccept,
    /// Both directions run.
    Open,
    /// We have finished sending.
    LocalClosed,
    /// The peer has finished sending.
    RemoteClosed,
    /// We have finished and read no more.
    Discarding,
    /// Over.
    Closed,
}

/// What can happen to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The peer's first ACK.
    Accepted,
    /// We accept the peer's stream.
    Accept,
    /// We finish sending.
    LocalFin,
    /// The peer finishes sending.
    RemoteFin,
    /// Our user lets go of the stream.
    Abandon,
    /// RST in either direction, or the session ends.
    Reset,
}

impl State {
    /// The state after `event`. Total: an event without an arrow changes nothing.
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

    /// Whether our user may still hand in bytes. True while opening: they wait for credit.
    pub fn may_write(self) -> bool {
        matches!(self, Self::Opening | Self::Open | Self::RemoteClosed)
    }

    /// Whether bytes of the peer are kept for our user.
    pub fn keeps_input(self) -> bool {
        matches!(self, Self::Opening | Self::Offered | Self::Open | Self::LocalClosed)
    }

    /// Whether the peer has said that it sends no more.
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
    fn every_cell_of_the_table() {
        // One row a state, one column an event, in the order of the two lists above.
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
    fn a_closed_stream_takes_nothing() {
        for state in [Closed, Discarding, AbandonedOpening] {
            assert!(!state.may_write() && !state.keeps_input(), "{state:?}");
        }
    }
}
