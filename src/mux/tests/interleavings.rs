//! Random operations of two honest ends: no byte is lost or reordered, and no stream hangs.

use super::{
    pair::{Pair, Step, any_step, any_step_of_a_slow_reader},
    *,
};
use proptest::prelude::*;
use std::time::Duration;

fn run(mut pair: Pair, steps: &[Step]) {
    for step in steps {
        pair.step(step);
        pair.check();
    }
    pair.settle();
    pair.check();
    for id in pair.open.clone() {
        if pair.released.contains(&id) || pair.ends[0].failure(id).is_some() {
            continue;
        }
        for end in 0..2 {
            let flow = &pair.flows[&(id, end)];
            assert!(flow.ended, "stream {id} from {end} never ended: {} of {} read", flow.read, flow.written);
        }
        pair.released.insert(id);
        for end in &mut pair.ends {
            end.release(id, ResetReason::Abandoned, pair.now);
        }
    }
    pair.settle();
    for (n, end) in pair.ends.iter_mut().enumerate() {
        end.on_time(pair.now + Duration::from_secs(31));
        assert_eq!(end.held_count(), 0, "end {n} has streams left that both users released");
        assert_eq!(end.stream_count(), 0, "end {n} has ended streams left");
        assert_eq!(end.buffered_bytes(), 0, "end {n} has unread bytes left");
        assert_eq!(end.promised_bytes(), 0, "end {n} has credit left");
        assert_eq!(end.budget.borrowed(), 0, "end {n} has streams that borrow");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_of_extended_ends_delivers_everything(steps in proptest::collection::vec(any_step(), 0..200)) {
        run(Pair::new(Dialect::Extended), &steps);
    }

    #[test]
    fn any_interleaving_of_original_ends_delivers_everything(steps in proptest::collection::vec(any_step(), 0..200)) {
        run(Pair::new(Dialect::Original), &steps);
    }

    #[test]
    fn readers_slower_than_their_streams_are_not_cut(
        dialect in prop_oneof![Just(Dialect::Extended), Just(Dialect::Original)],
        whole in any::<bool>(),
        steps in proptest::collection::vec(any_step_of_a_slow_reader(), 0..600),
    ) {
        let client = if whole { whole_windows() } else { small_limits() };
        let mut pair = Pair::with(dialect, [small_limits(), client]);
        for _ in 0..8 {
            pair.step(&Step::Open);
        }
        pair.settle_wires();
        run(pair, &steps);
    }
}
