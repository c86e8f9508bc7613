//! `/stats`, `/stats/prometheus` and `/metrics`.

use std::{collections::HashSet, time::Instant};

use regex::{Regex, RegexBuilder};
use weft_telemetry::{Stats, render_json, render_prometheus, render_text};

use crate::{
    query::Parameters,
    refusal::Refusal,
    reply::{self, Reply},
};

/// Metrics in the format asked for.
pub(crate) fn stats(stats: &Stats, parameters: &Parameters<'_>) -> Result<Reply, Refusal> {
    let now = Instant::now();
    let filter = Filter::new(stats, now, parameters)?;
    let wanted = |name: &str| filter.wants(name);
    Ok(match parameters.value("format") {
        None | Some("text") => reply::ok(render_text(stats, now, &wanted)),
        Some("json") => reply::raw_json(render_json(stats, now, &wanted)),
        Some("prometheus") => reply::prometheus(render_prometheus(stats, now, &wanted)),
        Some(_) => {
            return Err(Refusal::Format { path: "/stats", formats: "json|prometheus|text" });
        }
    })
}

/// Metrics for Prometheus.
pub(crate) fn prometheus(stats: &Stats, parameters: &Parameters<'_>) -> Result<Reply, Refusal> {
    let now = Instant::now();
    let filter = Filter::new(stats, now, parameters)?;
    Ok(reply::prometheus(render_prometheus(stats, now, &|name| filter.wants(name))))
}

/// Which metrics to show, by their dotted names.
struct Filter {
    part: Option<Regex>,
    invert: bool,
    used: Option<HashSet<String>>,
}

impl Filter {
    fn new(stats: &Stats, now: Instant, parameters: &Parameters<'_>) -> Result<Self, Refusal> {
        let part = name_filter(parameters.value("filter"))?;
        let mut filter = Self { part, invert: parameters.flag("invert_filter"), used: None };
        if parameters.flag("usedonly") {
            let lines = render_text(stats, now, &|name| filter.wants(name));
            let used = lines.lines().filter_map(|line| line.rsplit_once(": "));
            filter.used = Some(
                used.filter(|(_, value)| *value != "0" && *value != "No recorded values")
                    .map(|(name, _)| name.to_owned())
                    .collect(),
            );
        }
        Ok(filter)
    }

    fn wants(&self, name: &str) -> bool {
        self.part.as_ref().is_none_or(|part| part.is_match(name) != self.invert)
            && self.used.as_ref().is_none_or(|used| used.contains(name))
    }
}

/// The expression that a part of a name must match, if one is given.
pub(crate) fn name_filter(expression: Option<&str>) -> Result<Option<Regex>, regex::Error> {
    expression.map(|text| RegexBuilder::new(text).size_limit(1 << 20).build()).transpose()
}
