//! How far requests are spread when endpoints are new, or not well.

use serde_json::Value;

use super::{about_it, choice, integer, list, object, text};

pub(super) fn spread() -> [(&'static str, Value); 4] {
    let slow = [
        ("window", about_it(text(), "After which they take their whole share.")),
        ("minWeightPercent", about_it(integer(1, 100), "Of their share at first; 10 without it.")),
    ];
    [
        ("slowStart", about_it(object(&["window"], &slow), "New endpoints take less at first.")),
        (
            "panicThreshold",
            about_it(
                integer(0, 100),
                "With fewer well endpoints of a hundred, all are used; 50 without it, 0 for never.",
            ),
        ),
        (
            "zones",
            about_it(
                choice(&["PreferOwn", "Any"]),
                "Whether requests stay in their zone as far as it can carry them; PreferOwn without it.",
            ),
        ),
        (
            "zoneWeights",
            about_it(
                list(
                    &object(
                        &["zone", "weight"],
                        &[("zone", text()), ("weight", integer(1, 1_000_000))],
                    ),
                    1,
                ),
                "What zones take of the requests, in place of zones; 1 for those that are not named.",
            ),
        ),
    ]
}
