//! The text format of Prometheus, version 0.0.4.
//!
//! `prometheus_client` writes it, and escapes labels. Its own format for counters is OpenMetrics, where the comment
//! lines lack `_total`. `promtool check metrics` reads the older format, so each value is written as a gauge, whose
//! lines have the name as it is; the type in the comment is the metric's own.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode_registry};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::counters::PART;
use super::families::{self, BUCKETS, FAMILIES, Family, Kind, PREFIX};

/// The largest whole number that is exact in a double.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// The buckets of a histogram and its sum.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    buckets: [u64; BUCKETS.len() + 1],
    sum: f64,
}

/// What the lines of all workers say, by family and the labels' values.
#[derive(Debug, Default)]
struct Samples {
    numbers: BTreeMap<(usize, Vec<String>), f64>,
    times: BTreeMap<(usize, Vec<String>), Times>,
}

impl Samples {
    /// Adds a line. Ignores one of no metric, such as a later version may have stored.
    fn add(&mut self, line: &[u8]) -> Option<()> {
        let text = str::from_utf8(line).ok()?;
        let (value, rest) = text.split_once(' ')?;
        let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite())?;
        let (key, part) = rest.split_once(PART).map_or((rest, None), |(key, part)| (key, Some(part)));
        let series = families::read(key.as_bytes())?;
        let kind = FAMILIES[series.0].kind;
        if kind == Kind::Histogram {
            let part = part?;
            let times = self.times.entry(series).or_default();
            match part {
                "sum" => times.sum += value / 1e6,
                part => *times.buckets.get_mut(part.parse::<usize>().ok()?)? += value as u64,
            }
            return Some(());
        }
        let merged = |known: &mut f64| *known = if kind == Kind::Max { known.max(value) } else { *known + value };
        self.numbers.entry(series).and_modify(merged).or_insert(value);
        Some(())
    }

    fn encode_family(&self, index: usize, family: &Family, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let kind = match family.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Histogram => MetricType::Histogram,
            Kind::Sum | Kind::Max => MetricType::Gauge,
        };
        let range = (index, Vec::new())..(index + 1, Vec::new());
        let (numbers, times) = (self.numbers.range(range.clone()), self.times.range(range));
        if numbers.clone().next().is_none() && times.clone().next().is_none() {
            return Ok(());
        }
        let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
        for ((_, values), number) in numbers {
            labelled(&mut metric, family, values, |metric| encode_number(metric, *number))?;
        }
        for ((_, values), Times { buckets, sum }) in times {
            let bounds = BUCKETS.iter().copied().chain([f64::INFINITY]);
            let pairs: Vec<_> = bounds.zip(buckets.iter().copied()).collect();
            let count = buckets.iter().sum();
            labelled(&mut metric, family, values, |metric| {
                metric.encode_histogram::<NoLabelSet>(*sum, count, &pairs, None)
            })?;
        }
        Ok(())
    }
}

/// Calls `encode` with the encoder of a series.
fn labelled(
    metric: &mut MetricEncoder,
    family: &Family,
    values: &[String],
    encode: impl FnOnce(&mut MetricEncoder) -> fmt::Result,
) -> fmt::Result {
    if family.labels.is_empty() {
        return encode(metric);
    }
    let labels: Vec<_> = family.labels.iter().zip(values).map(|((name, _), value)| (*name, value.as_str())).collect();
    encode(&mut metric.encode_family(&labels.as_slice())?)
}

fn encode_number(metric: &mut MetricEncoder, number: f64) -> fmt::Result {
    if number.fract() == 0.0 && number.abs() < MAX_WHOLE {
        metric.encode_gauge(&(number as i64))
    } else {
        metric.encode_gauge(&number)
    }
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        FAMILIES.iter().enumerate().try_for_each(|(index, family)| self.encode_family(index, family, &mut encoder))
    }
}

/// Returns the text for lines of all workers, one `NUMBER KEY` each.
pub fn write(lines: &[u8]) -> String {
    let mut samples = Samples::default();
    for line in lines.split(|byte| *byte == b'\n') {
        samples.add(line);
    }
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(samples));
    let mut text = String::new();
    // Writing to a string cannot fail.
    _ = encode_registry(&mut text, &registry);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_several_workers_become_one_text() {
        let lines = "2 requests_total|desktop|a\"b|passed|
3 requests_total|desktop|a\"b|passed|
7 workers
1 workers
5 revocations
4 revocations
0.25 revocations_age_seconds
1 store_seconds|redis|get%0
2 store_seconds|redis|get%14
2500000 store_seconds|redis|get%sum
1 store_seconds|redis|get%99
1 store_seconds|redis|get
x workers
NaN workers
inf workers
1 no_such_metric

1
1 requests_total|desktop";
        let text = write(lines.replace('|', "\x1f").replace('%', "\x1e").as_bytes());
        for expected in [
            "# HELP route_native_requests_total Requests that were checked, by answer and reason.\n\
             # TYPE route_native_requests_total counter\n\
             route_native_requests_total{capability=\"desktop\",endpoint=\"a\\\"b\",answer=\"passed\",reason=\"\"} 5\n",
            "# TYPE route_native_workers gauge\nroute_native_workers 8\n",
            "\nroute_native_revocations 5\n",
            "\nroute_native_revocations_age_seconds 0.25\n",
            "# TYPE route_native_store_seconds histogram\n\
             route_native_store_seconds_sum{store=\"redis\",operation=\"get\"} 2.5\n\
             route_native_store_seconds_count{store=\"redis\",operation=\"get\"} 3\n\
             route_native_store_seconds_bucket{le=\"0.0005\",store=\"redis\",operation=\"get\"} 1\n",
            "_bucket{le=\"+Inf\",store=\"redis\",operation=\"get\"} 3\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
        assert_eq!(text.matches("# HELP").count(), 5, "{text}");
        assert_eq!(write(b""), "");
        assert_eq!(write(b"\xff\n\xff workers\n"), "");
    }
}
