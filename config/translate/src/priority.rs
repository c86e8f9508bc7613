//! Requests of high priority, which are refused last.

use weft_config::model::policy::RequestMatch;
use weft_proto::pb::envoy::config::core::v3::RoutingPriority;
use weft_proto::pb::envoy::config::route::v3 as route;

use crate::request_match;

/// The routes, with one for each of these matches before each that sends requests on.
pub(crate) fn with_priority(routes: Vec<route::Route>, high: &[RequestMatch]) -> Vec<route::Route> {
    let preferred = |route: &route::Route| -> Vec<route::Route> {
        high.iter().filter_map(|matched| of_high_priority(route, matched)).collect()
    };
    routes
        .into_iter()
        .flat_map(|route| {
            let mut all = preferred(&route);
            all.push(route);
            all
        })
        .collect()
}

/// The same for requests that are like this as well; `None` for what is sent nowhere.
fn of_high_priority(route: &route::Route, matched: &RequestMatch) -> Option<route::Route> {
    let Some(route::route::Action::Route(action)) = &route.action else { return None };
    let mut both = route.r#match.clone()?;
    both.headers.extend(request_match::headers(matched));
    let priority = RoutingPriority::High.into();
    Some(route::Route {
        r#match: Some(both),
        action: Some(route::route::Action::Route(route::RouteAction {
            priority,
            ..action.clone()
        })),
        ..route.clone()
    })
}
