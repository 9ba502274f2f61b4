//! What nodes need to exchange revocations through Redis: the ids, and the script that Redis runs.

use std::sync::LazyLock;

use crate::error::Reason;

/// The largest id. Lua writes 14 digits of a number, in JSON and elsewhere.
pub const MAX_ID: u64 = 99_999_999_999_999;

/// Returns a random id, from 1 to [`MAX_ID`]. Nodes that cannot reach each other choose different ones.
///
/// Errors: `Internal` if the system has no random numbers.
pub fn new_id() -> Result<u64, Reason> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Reason::Internal)?;
    Ok(1 + u64::from_le_bytes(bytes) % MAX_ID)
}

/// Returns the script, without its comments. `exchange.lua` explains it.
pub fn script() -> &'static str {
    static SCRIPT: LazyLock<String> = LazyLock::new(|| {
        let lines = include_str!("exchange.lua").lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with("--")).collect::<Vec<_>>().join("\n")
    });
    &SCRIPT
}

/// The keys of the log in Redis, in the order of the script. They have one hash tag: a cluster has them on one server.
pub const KEYS: [&str; 3] =
    ["{route_native:revocations}:log", "{route_native:revocations}:entries", "{route_native:revocations}:ends"];

/// The longest number in an answer, in digits.
const MAX_DIGITS: usize = 15;
/// The longest event, in bytes.
const MAX_EVENT_BYTES: usize = 39;

/// A place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The number behind which the next answer begins.
    pub after: String,
    /// The number of the newest event that is known; empty if none is.
    pub number: String,
    /// That event. It stands for all before it.
    pub event: String,
}

impl Default for Position {
    fn default() -> Self {
        Position { after: "0".into(), number: String::new(), event: String::new() }
    }
}

/// The script's answer to one that reads.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Redis has lost what the position stands for.
    Lost,
    /// What follows the position.
    Entries {
        /// Where to read on.
        position: Position,
        /// Whether there is more.
        has_more: bool,
        /// The ids and the values: foreign bytes.
        entries: Vec<(u64, Entry<'a>)>,
    },
}

/// The value of one entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A revocation, for [`super::Live::add`].
    Revocation(&'a [u8]),
    /// A withdrawal, and when the revocation would have ended, in seconds since the epoch.
    Withdrawal(i64),
}

impl<'a> Answer<'a> {
    /// Reads an answer. Returns `None` if it is not that of the script. Omits entries that can be none of ours.
    pub fn parse(bytes: &'a [u8]) -> Option<Answer<'a>> {
        if bytes == b"lost\n" {
            return Some(Answer::Lost);
        }
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let head = std::str::from_utf8(lines.next()?).ok()?;
        let fields: Vec<&str> = head.split(' ').collect();
        let &["ok", after, number, event, more] = fields.as_slice() else { return None };
        let is_number = |text: &str| !text.is_empty() && text.len() <= MAX_DIGITS && text.bytes().all(is_digit);
        if !is_number(after) || !is_number(number) || event.len() > MAX_EVENT_BYTES || !["0", "1"].contains(&more) {
            return None;
        }
        let position = match event {
            "-" => Position { after: after.into(), ..Position::default() },
            _ => Position { after: after.into(), number: number.into(), event: event.into() },
        };
        let entries = lines.filter_map(entry).collect();
        Some(Answer::Entries { position, has_more: more == "1", entries })
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// Returns the entry of a line, or `None` for a line that can be none of ours.
fn entry(line: &[u8]) -> Option<(u64, Entry<'_>)> {
    let blank = line.iter().position(|byte| *byte == b' ')?;
    let (id, value) = (std::str::from_utf8(&line[..blank]).ok()?, &line[blank + 1..]);
    let id = id.parse().ok().filter(|id| (1..=MAX_ID).contains(id))?;
    match value.split_first()? {
        (b'-', end) => {
            let end = std::str::from_utf8(end).ok().filter(|end| end.bytes().all(is_digit))?;
            Some((id, Entry::Withdrawal(end.parse().ok()?)))
        }
        (b'{', _) => Some((id, Entry::Revocation(value))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_random_and_fit_into_fourteen_digits() {
        let ids: std::collections::HashSet<u64> = (0..1000).map(|_| new_id().expect("random numbers")).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| (1..=MAX_ID).contains(id)));
        assert!(ids.iter().any(|id| *id > MAX_ID / 2));
    }

    #[test]
    fn an_answer_is_read_and_no_byte_of_it_is_believed() {
        let parse = |text: &'static str| Answer::parse(text.as_bytes());
        assert_eq!(parse("lost\n"), Some(Answer::Lost));
        let answer = parse("ok 7 9 5:ab 1\n5 {\"x\":1}\n6 -1700000000\n7 ?\n08 \n9999999999999999 {}\nx {}\n\n8 -x");
        let Some(Answer::Entries { position, has_more, entries }) = answer else { panic!("{answer:?}") };
        assert_eq!(position, Position { after: "7".into(), number: "9".into(), event: "5:ab".into() });
        assert!(has_more);
        assert_eq!(entries, [(5, Entry::Revocation(b"{\"x\":1}")), (6, Entry::Withdrawal(1_700_000_000))]);
        let Some(Answer::Entries { position, .. }) = parse("ok 0 0 - 0\n") else { panic!() };
        assert_eq!(position, Position::default());
        for text in ["", "ok", "ok 1 2 3:a 2\n", "ok x 2 3:a 0\n", "ok 1 1234567890123456 3:a 0", "no 1 2 3:a 0"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
