//! `/events`.

use serde_json::{Map, Value, json};

use crate::{
    config_dump::timestamp,
    reply::{self, Reply},
    source::EventView,
};

/// One object for each event, the oldest first.
pub(crate) fn as_json(events: Vec<EventView>) -> Reply {
    let stamped: Vec<Value> = events.into_iter().map(event_json).collect();
    reply::json(&json!({ "events": stamped }))
}

/// An event as it is shown, and as it is written to files.
pub fn event_json(event: EventView) -> Value {
    let EventView { at, fields } = event;
    let mut stamped = Map::from_iter([("timestamp".to_owned(), timestamp(at))]);
    stamped.extend(fields);
    Value::Object(stamped)
}
