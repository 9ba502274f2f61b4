//! The counters and histograms of this process: a fixed array of numbers, which a request adds to.
//!
//! A series gets its cells at its first use. There is room for a bounded number of them. What finds none is counted
//! under `other`, and beyond that in `uncounted_total`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, PoisonError};

use super::families::{self, BUCKETS, FAMILIES, Kind};
use super::line;

/// The numbers of a process.
const CELLS: usize = 4096;
/// The most series of one family, and as many again for those that stand for others.
const MAX_SERIES: usize = 512;
/// The cells of a histogram: its buckets, the one for longer times, and the sum in microseconds.
const HISTOGRAM_CELLS: usize = BUCKETS.len() + 2;
/// What stands before the number of a bucket, and in place of it before the sum, at the end of a histogram's key.
pub(super) const PART: char = '\x1e';

static VALUES: [AtomicU64; CELLS] = [const { AtomicU64::new(0) }; CELLS];

/// The series of this process, and what was taken of them.
struct Series {
    /// The first cell of each key.
    cells: HashMap<String, u32>,
    /// The key of each cell, with the part of a histogram.
    keys: Vec<String>,
    /// What was taken of each cell; `None` as long as the series is unknown outside.
    taken: Vec<Option<u64>>,
    /// The number of series of each family.
    counts: [usize; FAMILIES.len()],
}

static SERIES: LazyLock<Mutex<Series>> = LazyLock::new(|| {
    let mut series = Series { cells: HashMap::new(), keys: Vec::new(), taken: Vec::new(), counts: [0; FAMILIES.len()] };
    // Cell 0 is what Lua gets when there is no other.
    if let Some((index, _)) = families::find(families::UNCOUNTED) {
        series.add(index, families::UNCOUNTED.to_owned());
    }
    Mutex::new(series)
});

impl Series {
    /// Adds a series. Returns its first cell, or `None` if there is no room.
    fn add(&mut self, index: usize, key: String) -> Option<u32> {
        let is_histogram = FAMILIES[index].kind == Kind::Histogram;
        let count = if is_histogram { HISTOGRAM_CELLS } else { 1 };
        let first = self.keys.len();
        if first + count > CELLS {
            return None;
        }
        if is_histogram {
            let parts = (0..=BUCKETS.len()).map(|bucket| format!("{key}{PART}{bucket}"));
            self.keys.extend(parts.chain([format!("{key}{PART}sum")]));
        } else {
            self.keys.push(key.clone());
        }
        self.taken.resize(self.keys.len(), None);
        self.counts[index] += 1;
        let first = first as u32; // below CELLS
        self.cells.insert(key, first);
        Some(first)
    }

    /// Returns the cell of a key, and adds its series if there are less than `limit`.
    fn cell(&mut self, index: usize, key: String, limit: usize) -> Option<u32> {
        match self.cells.get(&key) {
            Some(cell) => Some(*cell),
            None if self.counts[index] < limit => self.add(index, key),
            None => None,
        }
    }
}

/// Returns the first cell of a key's series, or 0 if there is room neither for it nor for one that stands for it.
/// Returns `None` for a key of no counter or histogram.
pub fn cell(key: &[u8]) -> Option<u32> {
    let (index, values) = families::read(key)?;
    let family = &FAMILIES[index];
    if !matches!(family.kind, Kind::Counter | Kind::Histogram) {
        return None;
    }
    let mut series = SERIES.lock().unwrap_or_else(PoisonError::into_inner);
    let own = series.cell(index, families::key(family.name, &values), MAX_SERIES);
    Some(own.or_else(|| series.cell(index, family.overflow(&values), 2 * MAX_SERIES)).unwrap_or(0))
}

/// Adds 1 to a counter.
pub fn count(cell: u32) {
    if let Some(value) = VALUES.get(cell as usize) {
        value.fetch_add(1, Relaxed);
    }
}

/// Adds a time to a histogram by its first cell.
pub fn observe(cell: u32, seconds: f64) {
    // Cell 0 is a counter, and has no buckets behind it.
    if cell == 0 {
        return count(cell);
    }
    // NaN is in the last bucket, and a time before the clock's start is 0.
    let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
    count(cell.saturating_add(bucket as u32));
    if let Some(sum) = VALUES.get((cell as usize).saturating_add(BUCKETS.len() + 1)) {
        sum.fetch_add((seconds * 1e6) as u64, Relaxed);
    }
}

/// Returns what the counters have grown by since the last call, one `GROWTH KEY` a line, as many lines as fit into
/// `capacity`. The rest stays for the next call. A new series has a line even if it is 0: a reader sees its first event
/// only as a growth.
pub fn take(capacity: usize) -> String {
    let mut series = SERIES.lock().unwrap_or_else(PoisonError::into_inner);
    let Series { keys, taken, .. } = &mut *series;
    let mut text = String::new();
    for ((key, taken), value) in keys.iter().zip(taken).zip(&VALUES) {
        let value = value.load(Relaxed);
        let growth = value.wrapping_sub(taken.unwrap_or(0));
        let one = if *taken == Some(value) { String::new() } else { line(growth, key) };
        if text.len() + one.len() > capacity {
            break;
        }
        text.push_str(&one);
        *taken = Some(value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the lines with a text. Other tests of this process take too, so that only one may look at a line.
    fn taken(text: &str) -> Vec<String> {
        let all = take(usize::MAX).replace(['\x1f', '\x1e'], "|");
        all.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    #[test]
    fn what_was_taken_is_not_taken_again_and_what_does_not_fit_is_taken_later() {
        let key = b"requests_total\x1ftunnel\x1fx\x1fpassed\x1f";
        let (one, again) = (cell(key).unwrap(), cell(key).unwrap());
        assert_eq!(one, again);
        assert_eq!(taken("|x|"), ["0 requests_total|tunnel|x|passed|"]);
        count(one);
        let times = cell(b"store_seconds\x1fredis\x1fget").unwrap();
        for seconds in [0.0004, 0.0005, 0.02, 99.0, -1.0, f64::NAN] {
            observe(times, seconds);
        }
        let mut lines = taken("|");
        lines.retain(|line| line.contains("|x|") || line.contains("redis") && !line.starts_with("0 "));
        assert_eq!(
            lines,
            [
                "1 requests_total|tunnel|x|passed|",
                "3 store_seconds|redis|get|0",
                "1 store_seconds|redis|get|5",
                "2 store_seconds|redis|get|14",
                "99020900 store_seconds|redis|get|sum",
            ]
        );
        assert!(taken("redis").is_empty());

        let key = |n: usize| format!("upstream_errors_total\x1fpiece {n}\x1f502\x1f");
        (0..9).for_each(|n| count(cell(key(n).as_bytes()).unwrap()));
        let (mut all, mut calls) = (String::new(), 0);
        while let text = take(100)
            && !text.is_empty()
        {
            assert!(text.len() <= 100);
            (all, calls) = (all + &text, calls + 1);
        }
        assert_eq!((all.matches("piece").count(), calls > 3), (9, true));
    }

    #[test]
    fn series_are_bounded_and_the_rest_is_counted_as_other() {
        let key = |n: usize| format!("border_events_total\x1fevent {n}");
        let cells: Vec<_> = (0..2000).map(|n| cell(key(n).as_bytes()).unwrap()).collect();
        let other = cell(b"border_events_total\x1fother").unwrap();
        assert_eq!(cells.iter().filter(|cell| **cell == other).count(), 2000 - MAX_SERIES);
        assert!(other > 0);
        assert_eq!((cell(b"nothing"), cell(b"ready"), cell(b"requests_total")), (None, None, None));
        // An unknown cell is no other one's.
        count(u32::MAX);
        observe(u32::MAX, 1.0);
    }
}
