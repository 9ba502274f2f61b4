//! Whatever two honest ends and their users do in whatever order: nothing is lost, reordered, or left waiting.

use super::{
    pair::{Pair, Step, any_step},
    *,
};
use proptest::prelude::*;
use std::time::Duration;

fn run(dialect: Dialect, steps: &[Step]) {
    let mut pair = Pair::new(dialect);
    for step in steps {
        pair.step(step);
        for end in &pair.ends {
            assert!(end.buffered_bytes() <= small_limits().session_bytes);
            assert!(end.stream_count() <= small_limits().streams);
        }
    }
    pair.settle();
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
        assert_eq!(end.held_count(), 0, "end {n} holds streams that both let go of");
        assert_eq!(end.stream_count(), 0, "end {n} keeps streams that are over");
        assert_eq!(end.buffered_bytes(), 0, "end {n} keeps bytes that nobody will read");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_of_extended_ends_delivers_everything(steps in proptest::collection::vec(any_step(), 0..200)) {
        run(Dialect::Extended, &steps);
    }

    #[test]
    fn any_interleaving_of_original_ends_delivers_everything(steps in proptest::collection::vec(any_step(), 0..200)) {
        run(Dialect::Original, &steps);
    }
}
