//! What updates do: warming, deletion, partial acceptance, and what is carried over.

mod fixture;

use std::sync::Arc;

use fixture::{
    Proxy, assignment, bad_cluster, bad_routes, eds_cluster, find, inline_listener, leads_to,
    ports, rds_listener, routes, static_cluster, update, validated_routes,
};
use weft_compile::{ResourceStatus, ResourceType, Source};

const CDS: ResourceType = ResourceType::Cluster;
const EDS: ResourceType = ResourceType::Assignment;
const LDS: ResourceType = ResourceType::Listener;
const RDS: ResourceType = ResourceType::RouteConfiguration;

fn assignments(proxy: &Proxy) -> Vec<String> {
    proxy.compiler.wanted().assignments.iter().map(|(name, _)| name.to_string()).collect()
}

fn route_configs(proxy: &Proxy) -> Vec<String> {
    proxy.compiler.wanted().route_configs.iter().map(|(name, _)| name.to_string()).collect()
}

#[test]
fn a_cluster_waits_for_its_endpoints() {
    let mut proxy = Proxy::new();
    let report = proxy.set(CDS, &[("a", eds_cluster("a", "svc", 1))]);
    assert!(report.is_accepted() && report.wanted_changed);
    assert_eq!(assignments(&proxy), ["svc"]);
    assert_eq!(proxy.compiler.warming().clusters, 1);
    assert!(find(&proxy.tables(), "a").is_none());
    proxy.add(EDS, &[("svc", assignment("svc", &[1, 2]))]);
    assert!(proxy.compiler.warming().is_over());
    assert_eq!(ports(&proxy.tables(), "a"), Some(vec![1, 2]));
}

#[test]
fn waiting_ends_when_the_server_has_no_endpoints() {
    for by_removal in [false, true] {
        let mut proxy = Proxy::new();
        proxy.set(CDS, &[("a", eds_cluster("a", "svc", 1))]);
        if by_removal {
            proxy.remove(EDS, &["svc"]);
        } else {
            proxy.missing(EDS, "svc");
        }
        assert_eq!(ports(&proxy.tables(), "a"), Some(Vec::new()));
        let dump = proxy.compiler.dump();
        assert_eq!(dump.of(EDS)[0].status, ResourceStatus::DoesNotExist);
        proxy.add(EDS, &[("svc", assignment("svc", &[1]))]);
        assert_eq!(ports(&proxy.tables(), "a"), Some(vec![1]));
    }
}

#[test]
fn a_changed_cluster_serves_as_before_until_the_new_one_is_warm() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", eds_cluster("a", "old", 1))]);
    proxy.add(EDS, &[("old", assignment("old", &[1]))]);
    let before = proxy.tables();
    proxy.set(CDS, &[("a", eds_cluster("a", "new", 1))]);
    assert_eq!(assignments(&proxy), ["new", "old"], "both versions need their endpoints");
    assert!(Arc::ptr_eq(&before, &proxy.tables()), "nothing to publish yet");
    proxy.add(EDS, &[("old", assignment("old", &[1, 2]))]);
    assert_eq!(ports(&proxy.tables(), "a"), Some(vec![1, 2]), "the old one is kept up to date");
    proxy.add(EDS, &[("new", assignment("new", &[3]))]);
    assert_eq!(ports(&proxy.tables(), "a"), Some(vec![3]));
    assert_eq!(assignments(&proxy), ["new"], "nobody needs the old endpoints");
}

#[test]
fn what_is_wanted_can_change_when_waiting_ends() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", eds_cluster("a", "old", 1))]);
    assert!(!proxy.missing(EDS, "old"));
    proxy.set(CDS, &[("a", eds_cluster("a", "new", 1))]);
    assert!(proxy.missing(EDS, "new"), "nobody refers to the old one any more");
    assert_eq!(assignments(&proxy), ["new"]);
}

#[test]
fn a_change_taken_back_leaves_everything_as_it_was() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", eds_cluster("a", "old", 1))]);
    proxy.add(EDS, &[("old", assignment("old", &[1]))]);
    let before = proxy.tables();
    proxy.set(CDS, &[("a", eds_cluster("a", "new", 1))]);
    proxy.set(CDS, &[("a", eds_cluster("a", "old", 1))]);
    assert!(proxy.compiler.warming().is_over());
    assert_eq!(assignments(&proxy), ["old"]);
    assert!(Arc::ptr_eq(&before, &proxy.tables()));
}

#[test]
fn endpoints_at_hand_warm_a_changed_cluster_at_once() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", eds_cluster("a", "svc", 1))]);
    proxy.add(EDS, &[("svc", assignment("svc", &[1]))]);
    proxy.set(CDS, &[("a", eds_cluster("a", "svc", 2)), ("b", eds_cluster("b", "svc", 1))]);
    assert!(proxy.compiler.warming().is_over());
    let tables = proxy.tables();
    assert_eq!(ports(&tables, "a"), Some(vec![1]));
    assert_eq!(ports(&tables, "b"), Some(vec![1]));
}

#[test]
fn absent_clusters_are_deleted_and_their_endpoints_forgotten() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", eds_cluster("a", "a", 1)), ("b", static_cluster("b", &[9]))]);
    proxy.add(EDS, &[("a", assignment("a", &[1]))]);
    proxy.tables();
    let report = proxy.set(CDS, &[("b", static_cluster("b", &[9]))]);
    assert!(report.wanted_changed && assignments(&proxy).is_empty());
    let tables = proxy.tables();
    assert!(find(&tables, "a").is_none() && find(&tables, "b").is_some());
    assert!(proxy.compiler.dump().of(EDS).is_empty());
    proxy.remove(CDS, &["b"]);
    assert!(find(&proxy.tables(), "b").is_none());
}

#[test]
fn endpoints_and_routes_in_use_are_never_taken_away() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", eds_cluster("a", "a", 1))]);
    proxy.add(EDS, &[("a", assignment("a", &[1]))]);
    proxy.set(LDS, &[("in", rds_listener("in", 80, "r"))]);
    proxy.add(RDS, &[("r", routes("r", "a"))]);
    let before = proxy.tables();
    proxy.remove(EDS, &["a"]);
    proxy.remove(RDS, &["r"]);
    proxy.missing(EDS, "a");
    proxy.missing(RDS, "r");
    assert!(Arc::ptr_eq(&before, &proxy.tables()));
    assert_eq!(leads_to(&before, "in"), Some(Some("a".to_owned())));
}

#[test]
fn what_is_not_wanted_is_passed_over() {
    let mut proxy = Proxy::new();
    let report = proxy.add(EDS, &[("x", assignment("x", &[1])), ("y", bad_cluster("y"))]);
    assert!(report.is_accepted());
    assert!(proxy.compiler.dump().of(EDS).is_empty());
}

#[test]
fn good_resources_count_although_others_are_bad() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", static_cluster("a", &[1])), ("b", static_cluster("b", &[1]))]);
    let before = proxy.tables();
    let report = proxy.set(CDS, &[("a", static_cluster("a", &[2])), ("b", bad_cluster("b"))]);
    let tables = proxy.tables();
    assert_eq!(ports(&tables, "a"), Some(vec![2]));
    assert!(Arc::ptr_eq(find(&before, "b").unwrap(), find(&tables, "b").unwrap()));
    assert_eq!(report.rejected.len(), 1);
    assert_eq!((report.rejected[0].index, &*report.rejected[0].name), (1, "b"));
    let detail = report.error_detail().unwrap();
    assert!(
        detail.starts_with(
            "xDS response validation errors: [resource index 1: b: INVALID_ARGUMENT: \
             errors validating Cluster resource: [lb_policy"
        ),
        "{detail}"
    );
    let dump = proxy.compiler.dump();
    let refused = dump.of(CDS)[1].refused.as_ref().unwrap();
    assert_eq!(refused.last_update_attempt, proxy.now);
    assert!(refused.details.contains("99"), "{}", refused.details);
    assert_eq!(dump.of(CDS)[1].status, ResourceStatus::Nacked);
    // The good version again clears the error.
    proxy.set(CDS, &[("a", static_cluster("a", &[2])), ("b", static_cluster("b", &[1]))]);
    assert!(proxy.compiler.dump().of(CDS)[1].refused.is_none());
}

#[test]
fn names_must_be_unique_and_agree() {
    let mut proxy = Proxy::new();
    let twice = [
        ("a", static_cluster("a", &[1])),
        ("b", static_cluster("b", &[1])),
        ("a", static_cluster("a", &[2])),
        ("c", static_cluster("other", &[1])),
    ];
    let report = proxy.set(CDS, &twice);
    let rejected: Vec<_> = report.rejected.iter().map(|r| (r.index, &*r.name)).collect();
    assert_eq!(rejected, [(0, "a"), (2, "a"), (3, "c")]);
    let tables = proxy.tables();
    assert!(find(&tables, "a").is_none() && find(&tables, "b").is_some());
}

#[test]
fn an_endpoint_update_rebuilds_exactly_one_cluster() {
    let mut proxy = Proxy::new();
    let clusters = ["a", "b", "c"].map(|name| (name, eds_cluster(name, name, 1)));
    proxy.set(CDS, &clusters);
    proxy.add(EDS, &["a", "b", "c"].map(|name| (name, assignment(name, &[1, 2]))));
    proxy.set(LDS, &[("in", rds_listener("in", 80, "r"))]);
    proxy.add(RDS, &[("r", routes("r", "a"))]);
    let before = proxy.tables();
    proxy.add(EDS, &[("b", assignment("b", &[2, 3]))]);
    let after = proxy.tables();
    for name in ["a", "c"] {
        assert!(Arc::ptr_eq(find(&before, name).unwrap(), find(&after, name).unwrap()), "{name}");
    }
    assert!(Arc::ptr_eq(before.listener("in").unwrap(), after.listener("in").unwrap()));
    let routes = |tables: &weft_compile::Tables| tables.routes[0].clone().unwrap();
    assert!(Arc::ptr_eq(&routes(&before), &routes(&after)));
    let (old, new) = (find(&before, "b").unwrap(), find(&after, "b").unwrap());
    assert!(!Arc::ptr_eq(old, new));
    assert_eq!(old.id, new.id);
    assert!(Arc::ptr_eq(&old.stats, &new.stats));
    assert!(Arc::ptr_eq(&old.connection, &new.connection));
    let carried = &old.balancer.hosts()[1].endpoint;
    assert!(Arc::ptr_eq(carried, &new.balancer.hosts()[0].endpoint), "port 2 is the same");
    assert_eq!(after.version, before.version + 1);
}

#[test]
fn other_connection_settings_make_other_endpoints() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", eds_cluster("a", "a", 1))]);
    proxy.add(EDS, &[("a", assignment("a", &[1]))]);
    let before = proxy.tables();
    proxy.set(CDS, &[("a", eds_cluster("a", "a", 2))]);
    let after = proxy.tables();
    let endpoint = |tables| Arc::clone(&find(tables, "a").unwrap().balancer.hosts()[0].endpoint);
    assert!(!Arc::ptr_eq(&endpoint(&before), &endpoint(&after)));
}

#[test]
fn the_same_again_changes_nothing() {
    let mut proxy = Proxy::new();
    let configure = |proxy: &mut Proxy| {
        proxy.set(CDS, &[("a", eds_cluster("a", "a", 1))]);
        proxy.add(EDS, &[("a", assignment("a", &[1]))]);
        proxy.set(LDS, &[("in", rds_listener("in", 80, "r"))]);
        proxy.add(RDS, &[("r", routes("r", "a"))]);
        proxy.tables()
    };
    let first = configure(&mut proxy);
    assert!(Arc::ptr_eq(&first, &configure(&mut proxy)));
}

#[test]
fn a_listener_waits_for_its_routes() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", static_cluster("a", &[1]))]);
    let report = proxy.set(LDS, &[("in", rds_listener("in", 80, "r"))]);
    assert!(report.wanted_changed);
    assert_eq!(route_configs(&proxy), ["r"]);
    assert_eq!(leads_to(&proxy.tables(), "in"), None);
    proxy.add(RDS, &[("r", routes("r", "a"))]);
    assert_eq!(leads_to(&proxy.tables(), "in"), Some(Some("a".to_owned())));
    proxy.set(LDS, &[("in", rds_listener("in", 80, "other"))]);
    assert_eq!(leads_to(&proxy.tables(), "in"), Some(Some("a".to_owned())), "as before");
    assert_eq!(proxy.compiler.warming().listeners, 1);
    proxy.missing(RDS, "other");
    assert_eq!(leads_to(&proxy.tables(), "in"), Some(None), "404, not the old routes");
}

#[test]
fn refused_routes_do_not_keep_a_new_listener_waiting() {
    let mut proxy = Proxy::new();
    proxy.set(LDS, &[("in", rds_listener("in", 80, "r"))]);
    let report = proxy.add(RDS, &[("r", bad_routes("r"))]);
    let reason = report.rejected[0].reasons[0].to_string();
    assert!(reason.starts_with("virtual_hosts: ") && reason.contains("all"), "{reason}");
    assert_eq!(leads_to(&proxy.tables(), "in"), Some(None));
    // But one that serves already waits for better ones.
    proxy.add(RDS, &[("r", routes("r", "a"))]);
    proxy.set(LDS, &[("in", rds_listener("in", 80, "r2"))]);
    proxy.add(RDS, &[("r2", bad_routes("r2"))]);
    assert_eq!(proxy.compiler.warming().listeners, 1);
    assert!(matches!(leads_to(&proxy.tables(), "in"), Some(Some(_))));
}

#[test]
fn an_update_of_routes_leaves_listeners_alone() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", static_cluster("a", &[1])), ("b", static_cluster("b", &[2]))]);
    proxy.set(LDS, &[("in", rds_listener("in", 80, "r"))]);
    proxy.add(RDS, &[("r", routes("r", "a"))]);
    let before = proxy.tables();
    proxy.add(RDS, &[("r", routes("r", "b"))]);
    let after = proxy.tables();
    assert!(Arc::ptr_eq(before.listener("in").unwrap(), after.listener("in").unwrap()));
    assert_eq!(leads_to(&after, "in"), Some(Some("b".to_owned())));
    assert_eq!(leads_to(&before, "in"), Some(Some("a".to_owned())), "pinned tables do not move");
}

#[test]
fn routes_stay_for_connections_that_drain() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", static_cluster("a", &[1]))]);
    proxy.set(LDS, &[("in", rds_listener("in", 80, "r"))]);
    proxy.add(RDS, &[("r", routes("r", "a"))]);
    let before = proxy.tables();
    let chain = before.listener("in").unwrap().chains.only().unwrap();
    let weft_compile::Chain::Http(connection) = chain.chain.clone() else { panic!("not HTTP") };
    drop(before);
    proxy.set(LDS, &[]);
    assert!(route_configs(&proxy).is_empty());
    let draining = proxy.tables();
    assert!(draining.listeners.is_empty());
    assert!(draining.routes_of(&connection, |_| None).is_some());
    drop((draining, connection));
    assert!(proxy.tables().routes.iter().all(Option::is_none));
}

#[test]
fn clusters_that_routes_name_are_checked_where_that_is_asked_for() {
    let mut proxy = Proxy::new();
    let report = proxy.set(LDS, &[("in", inline_listener("in", 80, "nowhere"))]);
    let reason = report.rejected[0].reasons[0].to_string();
    assert!(reason.contains("route_config.virtual_hosts[0].routes[0].route"), "{reason}");
    assert!(reason.contains("unknown cluster \"nowhere\""), "{reason}");
    proxy.set(CDS, &[("nowhere", static_cluster("nowhere", &[1]))]);
    assert!(proxy.set(LDS, &[("in", inline_listener("in", 80, "nowhere"))]).is_accepted());
    proxy.set(LDS, &[("in", rds_listener("in", 80, "r"))]);
    assert!(proxy.add(RDS, &[("r", routes("r", "unknown"))]).is_accepted());
    assert!(!proxy.add(RDS, &[("r", validated_routes("r", "unknown"))]).is_accepted());
    assert_eq!(leads_to(&proxy.tables(), "in"), Some(Some(String::new())), "no such cluster");
}

#[test]
fn an_address_has_one_listener() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", static_cluster("a", &[1]))]);
    let two = [("x", inline_listener("x", 80, "a")), ("y", inline_listener("y", 80, "a"))];
    let report = proxy.set(LDS, &two);
    assert_eq!(&*report.rejected[0].name, "y");
    assert!(report.error_detail().unwrap().contains("127.0.0.1:80 is the address of listener"));
    assert!(proxy.set(LDS, &[("y", inline_listener("y", 80, "a"))]).is_accepted(), "x is gone");
    let swapped = [("y", inline_listener("y", 81, "a")), ("x", inline_listener("x", 80, "a"))];
    assert!(proxy.set(LDS, &swapped).is_accepted());
    let any_port = [("x", inline_listener("x", 0, "a")), ("y", inline_listener("y", 0, "a"))];
    assert!(proxy.set(LDS, &any_port).is_accepted(), "the kernel gives each its own");
}

#[test]
fn static_resources_stay_and_win() {
    let mut proxy = Proxy::new();
    let mut fixed = update(CDS, &[("a", static_cluster("a", &[1]))]);
    fixed.source = Source::Static;
    proxy.apply(&fixed);
    let report = proxy.set(CDS, &[("a", static_cluster("a", &[2]))]);
    assert!(report.is_accepted());
    assert!(report.warned[0].warnings[0].text.contains("static"));
    let again = proxy.set(CDS, &[("a", static_cluster("a", &[2]))]);
    assert!(again.warned.is_empty(), "said once");
    proxy.set(CDS, &[]);
    proxy.remove(CDS, &["a"]);
    assert_eq!(ports(&proxy.tables(), "a"), Some(vec![1]));
    assert_eq!(proxy.compiler.dump().of(CDS)[0].source, Source::Static);
}

#[test]
fn a_slot_is_never_given_to_another_name() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", static_cluster("a", &[1]))]);
    let a = find(&proxy.tables(), "a").unwrap().id;
    proxy.set(CDS, &[("b", static_cluster("b", &[1]))]);
    let tables = proxy.tables();
    assert_ne!(find(&tables, "b").unwrap().id, a);
    assert!(tables.cluster(a).is_none());
    proxy.set(CDS, &[("a", static_cluster("a", &[1]))]);
    assert_eq!(find(&proxy.tables(), "a").unwrap().id, a);
}

#[test]
fn dumps_show_every_state() {
    let mut proxy = Proxy::new();
    proxy.set(CDS, &[("a", eds_cluster("a", "a", 1)), ("w", eds_cluster("w", "w", 1))]);
    proxy.add(EDS, &[("a", assignment("a", &[1]))]);
    let at = proxy.now;
    proxy.set(LDS, &[("in", rds_listener("in", 80, "r"))]);
    let dump = proxy.compiler.dump();
    let [a, w] = dump.of(CDS) else { panic!("two clusters") };
    assert_eq!(a.active.as_ref().unwrap().value, eds_cluster("a", "a", 1));
    assert!(a.warming.is_none() && w.active.is_none() && w.warming.is_some());
    let [a, w] = dump.of(EDS) else { panic!("two assignments") };
    assert_eq!((a.status, w.status), (ResourceStatus::Acked, ResourceStatus::Requested));
    assert_eq!(a.active.as_ref().unwrap().last_updated, at);
    assert!(dump.of(LDS)[0].warming.is_some());
    assert_eq!(dump.of(RDS)[0].status, ResourceStatus::Requested);
    proxy.tables();
    let views = proxy.compiler.cluster_views();
    assert_eq!(views.len(), 1);
    assert_eq!(views[0].eds_service_name.as_deref(), Some("a"));
    assert!(views[0].added_via_api);
}

#[test]
fn ten_thousand_clusters_are_published_once() {
    let names: Vec<String> = (0..10_000).map(|n| format!("cluster-{n}")).collect();
    let clusters: Vec<_> =
        names.iter().map(|name| (name.as_str(), static_cluster(name, &[1, 2]))).collect();
    let mut proxy = Proxy::new();
    assert!(proxy.set(CDS, &clusters).is_accepted());
    let tables = proxy.tables();
    assert_eq!((tables.version, tables.clusters.iter().flatten().count()), (1, 10_000));
    assert!(Arc::ptr_eq(&tables, &proxy.tables()));
}
