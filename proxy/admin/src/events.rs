//! `/events`.

use serde_json::{Map, Value, json};

use crate::{
    config_dump::timestamp,
    reply::{self, Reply},
    source::EventView,
};

/// One object for each event, the oldest first.
pub(crate) fn as_json(events: Vec<EventView>) -> Reply {
    let stamped = events.into_iter().map(|EventView { at, fields }| {
        let mut event = Map::from_iter([("timestamp".to_owned(), timestamp(at))]);
        event.extend(fields);
        Value::Object(event)
    });
    reply::json(&json!({ "events": stamped.collect::<Vec<_>>() }))
}
