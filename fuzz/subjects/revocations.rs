//! What Redis answers to a node that reads revocations: src/revocation/exchange.rs and the records in it.

use route_native::revocation::{Answer, Entry, Live, MAX_ID};

use super::{Input, NOW, edited};

const ANSWER: &[u8] =
    b"ok 7 9 5:0123456789abcdef01234567 1\n5 {\"ends\":1700000100,\"sub\":\"ada\"}\n6 -1700000100\n7 ?\n";
const PIECES: &[&str] = &[
    "ok ",
    "lost\n",
    "\n",
    " ",
    "0",
    "1",
    "7 {\"ends\":1700000100,\"jti\":\"a\"}\n",
    "8 {\"ends\":1700000100,\"jti\":\"a\",\"sub\":\"b\"}\n",
    "9 {\"ends\":1,\"kid\":\"k\"}\n",
    "99999999999999 -1700000100\n",
    "100000000000000 -1\n",
    "5:ab",
    "-",
    "ok 0 0 - 0\n",
];

/// Checks that any answer is read without a panic, that all ids and numbers are within their bounds, and that nothing
/// stays of what is removed by its id.
pub fn revocations(input: &[u8]) {
    let mut input = Input(input);
    let text = match input.byte() % 2 {
        0 => edited(ANSWER, &mut input),
        _ => input.text(PIECES, 64),
    };
    let Some(Answer::Entries { position, entries, .. }) = Answer::parse(&text) else { return };
    assert!(position.after.len() <= 15 && position.number.len() <= 15 && position.event.len() <= 39);
    let live = Live::default();
    for (id, entry) in &entries {
        assert!((1..=MAX_ID).contains(id));
        if let Entry::Revocation(json) = entry {
            _ = live.add(*id, json, NOW);
        }
    }
    assert!(live.len() <= entries.len());
    for (id, _) in &entries {
        live.remove(*id);
    }
    assert!(live.is_empty());
}
