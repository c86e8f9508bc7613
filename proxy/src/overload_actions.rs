//! What a bootstrap's overload manager asks of the guard: memory above which something is done.

use std::collections::HashSet;

use prost::Message as _;
use weft_proto::pb::envoy::{
    config::{
        bootstrap::v3::Bootstrap,
        overload::v3::{
            OverloadAction, OverloadManager, ResourceMonitor, Trigger,
            resource_monitor::ConfigType, trigger::TriggerOneof,
        },
    },
    extensions::resource_monitors::fixed_heap::v3::FixedHeapConfig,
};

/// How the message of that monitor is called in an Any.
const FIXED_HEAP: &str = "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig";
const STOP_REQUESTS: &str = "envoy.overload_actions.stop_accepting_requests";
const REJECT_CONNECTIONS: &str = "envoy.overload_actions.reject_incoming_connections";
const STOP_CONNECTIONS: &str = "envoy.overload_actions.stop_accepting_connections";
const SHRINK_HEAP: &str = "envoy.overload_actions.shrink_heap";

/// Bounds of memory in bytes, each for what is done beyond it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeapActions {
    /// `stop_accepting_requests`.
    pub(crate) shed: Option<u64>,
    /// `reject_incoming_connections`, `stop_accepting_connections`.
    pub(crate) refuse: Option<u64>,
    /// `shrink_heap`.
    pub(crate) shrink: Option<u64>,
}

/// A monitor whose pressure may trigger actions.
struct Heap<'b> {
    name: &'b str,
    bytes: u64,
}

impl HeapActions {
    /// Reads the overload manager. What is wrong, and what happens otherwise than in Envoy, is added
    /// to the lists.
    pub(crate) fn read(
        bootstrap: &Bootstrap,
        findings: &mut Vec<String>,
        warnings: &mut Vec<String>,
    ) -> Self {
        let mut asked = Self::default();
        let Some(manager) = &bootstrap.overload_manager else { return asked };
        let heaps = heaps(manager, findings);
        let mut seen = HashSet::new();
        for (index, action) in manager.actions.iter().enumerate() {
            let path = format!("overload_manager.actions[{index}]");
            if !seen.insert(action.name.as_str()) {
                findings.push(format!("{path}.name: {:?} is there twice", action.name));
                continue;
            }
            let bound = match action.name.as_str() {
                STOP_REQUESTS => &mut asked.shed,
                REJECT_CONNECTIONS => &mut asked.refuse,
                STOP_CONNECTIONS => {
                    warnings.push(format!(
                        "{path}.name: connections are closed as they come; they are not left waiting"
                    ));
                    &mut asked.refuse
                }
                SHRINK_HEAP => &mut asked.shrink,
                other => {
                    findings.push(format!(
                        "{path}.name: {other:?} is not supported\n  hint: these are: {STOP_REQUESTS}, \
                         {REJECT_CONNECTIONS}, {STOP_CONNECTIONS}, {SHRINK_HEAP}"
                    ));
                    continue;
                }
            };
            let triggered = triggered(action, &path, &heaps, findings);
            *bound = bound.iter().copied().chain(triggered).min();
        }
        if let Some(refuse) = asked.refuse
            && asked.shed.is_none_or(|shed| shed > refuse)
        {
            warnings.push(
                "overload_manager.actions: where connections are refused requests are, too".into(),
            );
        }
        asked
    }
}

/// The monitors of memory. One that is refused is there all the same, so that nothing else is said of
/// what names it.
fn heaps<'b>(manager: &'b OverloadManager, findings: &mut Vec<String>) -> Vec<Heap<'b>> {
    let mut heaps = Vec::new();
    let mut seen = HashSet::new();
    for (index, monitor) in manager.resource_monitors.iter().enumerate() {
        let path = format!("overload_manager.resource_monitors[{index}]");
        if !seen.insert(monitor.name.as_str()) {
            findings.push(format!("{path}.name: {:?} is there twice", monitor.name));
        }
        let Some(config) = fixed_heap(monitor) else { continue };
        let field = format!("{path}.typed_config.max_heap_size_bytes");
        if config.max_heap_size_bytes == 0 && !findings.iter().any(|f| f.starts_with(&field)) {
            findings.push(format!("{field}: must be above 0"));
        }
        heaps.push(Heap { name: &monitor.name, bytes: config.max_heap_size_bytes });
    }
    heaps
}

fn fixed_heap(monitor: &ResourceMonitor) -> Option<FixedHeapConfig> {
    let Some(ConfigType::TypedConfig(any)) = &monitor.config_type else { return None };
    let (_, of) = any.type_url.rsplit_once('/')?;
    // What cannot be decoded was refused before.
    (of == FIXED_HEAP).then(|| FixedHeapConfig::decode(any.value.as_slice()).ok())?
}

/// The least of the bounds at which an action begins.
fn triggered(
    action: &OverloadAction,
    path: &str,
    heaps: &[Heap<'_>],
    findings: &mut Vec<String>,
) -> Option<u64> {
    let mut least: Option<u64> = None;
    for (index, trigger) in action.triggers.iter().enumerate() {
        let Trigger { name, trigger_oneof } = trigger;
        let Some(heap) = heaps.iter().find(|heap| heap.name == name) else {
            findings.push(format!(
                "{path}.triggers[{index}].name: no monitor {name:?} watches memory\n  hint: name one of \
                 overload_manager.resource_monitors that is a FixedHeapConfig"
            ));
            continue;
        };
        // Another trigger was refused before, and so was a share that is not within 0 and 1.
        let Some(TriggerOneof::Threshold(threshold)) = trigger_oneof else { continue };
        let bound = share(heap.bytes, threshold.value);
        least = Some(least.map_or(bound, |least| least.min(bound)));
    }
    least
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of all, which is between 0 and what there is; the cast keeps to the bounds"
)]
fn share(bytes: u64, value: f64) -> u64 {
    ((bytes as f64) * value) as u64
}

#[cfg(test)]
mod tests {
    use weft_proto::json;

    use super::*;

    const HEAP: &str = "{name: heap, typed_config: {'@type': type.googleapis.com/envoy.extensions.\
        resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1000}}";

    fn action(name: &str, trigger: &str, value: &str) -> String {
        let name = format!("envoy.overload_actions.{name}");
        format!("{{name: {name}, triggers: [{{name: {trigger}, threshold: {{value: {value}}}}}]}}")
    }

    fn read(monitors: &str, actions: &[String]) -> (HeapActions, Vec<String>, Vec<String>) {
        let actions = actions.join(", ");
        let text =
            format!("overload_manager: {{resource_monitors: [{monitors}], actions: [{actions}]}}");
        let bootstrap = json::from_yaml::<Bootstrap>(&text).unwrap();
        let (mut findings, mut warnings) = (Vec::new(), Vec::new());
        let asked = HeapActions::read(&bootstrap, &mut findings, &mut warnings);
        (asked, findings, warnings)
    }

    #[test]
    fn actions_begin_at_their_share_of_the_heap() {
        let (asked, findings, warnings) = read(
            HEAP,
            &[
                action("stop_accepting_requests", "heap", "0.5"),
                action("reject_incoming_connections", "heap", "0.75"),
                action("shrink_heap", "heap", "0.25"),
            ],
        );
        let expected = HeapActions { shed: Some(500), refuse: Some(750), shrink: Some(250) };
        assert_eq!((asked, findings, warnings), (expected, vec![], vec![]));
    }

    #[test]
    fn of_two_actions_on_connections_the_first_to_begin_counts_and_what_differs_is_said() {
        let (asked, findings, warnings) = read(
            HEAP,
            &[
                action("reject_incoming_connections", "heap", "1"),
                action("stop_accepting_connections", "heap", "0.5"),
            ],
        );
        assert_eq!((asked.refuse, asked.shed, findings), (Some(500), None, vec![]));
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].starts_with("overload_manager.actions[1].name: "), "{warnings:?}");
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        let stop = || action("stop_accepting_requests", "heap", "0.5");
        for (monitors, actions, path) in [
            (HEAP, vec![action("disable_http_keepalive", "heap", "0.5")], "actions[0].name: "),
            (HEAP, vec![stop(), stop()], "actions[1].name: "),
            (
                HEAP,
                vec![action("shrink_heap", "other", "0.5")],
                "actions[0].triggers[0].name: no monitor \"other\"",
            ),
            (&format!("{HEAP}, {HEAP}"), vec![stop()], "resource_monitors[1].name: "),
            (
                &HEAP.replace("1000", "0"),
                vec![stop()],
                "resource_monitors[0].typed_config.max_heap_size_bytes: ",
            ),
        ] {
            let (_, findings, _) = read(monitors, &actions);
            assert_eq!(findings.len(), 1, "{findings:?}");
            let path = format!("overload_manager.{path}");
            assert!(findings[0].starts_with(&path), "{findings:?} at {path}");
        }
    }
}
