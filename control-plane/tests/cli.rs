//! The command line, run as a user runs it, against a real control plane.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use weft_control_plane::{ControlPlane, Settings};

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples/shop.yaml");
const SERVICE: &str = "
apiVersion: weft.dev/v1
kind: Service
metadata: {name: cart}
spec: {ports: [{port: 80, protocol: http}]}
";

fn weft(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command.args(arguments).stdin(Stdio::null()).env_remove("WEFT_SERVER");
    command
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn ran(output: &Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

fn run(arguments: &[&str]) -> Ran {
    ran(&weft(arguments).output().unwrap())
}

fn run_with_input(arguments: &[&str], input: &str) -> Ran {
    let mut command = weft(arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    ran(&child.wait_with_output().unwrap())
}

/// A control plane on ports of the kernel's choice, and where its API is.
async fn control_plane(mesh: Vec<PathBuf>) -> (ControlPlane, String) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings {
        mesh,
        config_dir: None,
        store: None,
        xds: any,
        xds_socket: None,
        admin: any,
        settle: 0,
        admin_hosts: Vec::new(),
        admin_address_path: None,
    };
    let plane = ControlPlane::start(settings).await.unwrap();
    let url = format!("http://{}", plane.admin());
    (plane, url)
}

/// Runs a command while the test's runtime goes on serving.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[test]
fn the_sample_shop_is_valid() {
    let ran = run(&["validate", SHOP]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, "valid: 3 Service, 2 Subset, 1 HTTPRoute, 4 Workload\n");
}

#[test]
fn a_wrong_document_is_shown_at_its_place_with_a_hint() {
    let ran = run_with_input(&["validate", "-"], &SERVICE.replace("http", "htpp"));
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.starts_with("-:5:"), "{}", ran.err);
    assert!(
        ran.err.contains("Service/cart spec.ports[0].protocol") && ran.err.contains("\n  hint: "),
        "{}",
        ran.err
    );
}

#[test]
fn the_exit_code_tells_what_kind_of_failure_it_was() {
    assert_eq!(run(&["validate", "/no/such/file.yaml"]).code, 1);
    assert_eq!(run(&["validate"]).code, 2);
    assert_eq!(run(&["get", "pod"]).code, 2);
    // Nobody listens on a port that was just given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = run(&["get", "--server", &format!("http://{free}")]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("hint: is the control plane running there?"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_go_in_and_come_out_again() {
    let (plane, url) = control_plane(Vec::new()).await;
    beside(move || {
        let with = |arguments: &[&'static str]| [arguments, &["--server", &url]].concat();

        let dry = run_with_input(&with(&["apply", "-f", "-", "--dry-run"]), SERVICE);
        assert_eq!(dry.code, 0, "{}", dry.err);
        assert!(
            dry.out.contains("created") && dry.out.contains("nothing was applied"),
            "{}",
            dry.out
        );
        assert_eq!(run(&with(&["get"])).out, "there are none\n");

        let applied = run_with_input(&with(&["apply", "-f", SHOP, "-f", "-"]), SERVICE);
        assert_eq!(applied.code, 0, "{}", applied.err);
        assert!(applied.out.ends_with("revision 1\n"), "{}", applied.out);

        let services = run(&with(&["get", "services"]));
        let names: Vec<_> =
            services.out.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
        assert_eq!(names, ["NAME", "cart", "catalog", "inventory", "storefront"]);

        // What comes out can go in again, and is no change.
        let yaml = run(&with(&["get", "-o", "yaml"]));
        let again = run_with_input(&with(&["apply", "-f", "-", "-o", "json"]), &yaml.out);
        assert_eq!(again.code, 0, "{}", again.err);
        let outcome: serde_json::Value = serde_json::from_str(&again.out).unwrap();
        assert_eq!(outcome["revision"], 1);
        let changes = outcome["resources"].as_array().unwrap();
        assert_eq!(changes.len(), 11);
        assert!(changes.iter().all(|one| one["change"] == "unchanged"), "{outcome}");

        assert_eq!(run(&with(&["delete", "service", "cart"])).code, 0);
        let gone = run(&with(&["get", "service", "cart"]));
        assert_eq!((gone.code, gone.err.as_str()), (4, "error: there is no Service/cart\n"));
        let needed = run(&with(&["delete", "service", "inventory"]));
        assert_eq!(needed.code, 1);
        assert!(needed.err.contains("HTTPRoute/inventory"), "{}", needed.err);

        let wrong = run_with_input(&with(&["apply", "-f", "-"]), &SERVICE.replace("http", "htpp"));
        assert_eq!(wrong.code, 1);
        assert!(
            wrong.err.starts_with("-:5:") && wrong.err.ends_with("nothing was applied\n"),
            "{}",
            wrong.err
        );

        let status = run(&with(&["status"]));
        assert_eq!(status.code, 0);
        assert!(
            status.out.contains("no workloads are registered\n\nno proxies are connected"),
            "{}",
            status.out
        );
    })
    .await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_shown_and_not_applied() {
    let (plane, url) = control_plane(Vec::new()).await;
    beside(move || {
        let with = |arguments: &[&'static str]| [arguments, &["--server", &url]].concat();
        let new = run_with_input(&with(&["diff", "-f", "-"]), SERVICE);
        assert_eq!(new.code, 1, "{}", new.err);
        assert!(new.out.starts_with("--- /dev/null\n+++ Service/cart\n@@"), "{}", new.out);
        assert_eq!(run(&with(&["get"])).out, "there are none\n");

        assert_eq!(run_with_input(&with(&["apply", "-f", "-"]), SERVICE).code, 0);
        let same = run_with_input(&with(&["diff", "-f", "-"]), SERVICE);
        assert_eq!((same.code, same.out.as_str()), (0, ""));
        let changed = SERVICE.replace("80", "81");
        let changed = run_with_input(&with(&["diff", "-f", "-"]), &changed);
        assert_eq!(changed.code, 1);
        assert!(changed.out.contains("\n-  - port: 80\n+  - port: 81\n"), "{}", changed.out);
        let wrong = run_with_input(&with(&["diff", "-f", "-"]), &SERVICE.replace("80", "0"));
        assert_eq!(wrong.code, 1);
        assert!(wrong.err.starts_with("-:5:"), "{}", wrong.err);
    })
    .await;
    plane.stop().await;
}

#[test]
fn each_client_gets_its_form_of_bootstrap() {
    let of = |client: &str, more: &[&str]| {
        let ran = run(&[&["bootstrap", "--for", client], more].concat());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        ran.out
    };
    let grpc: serde_json::Value = serde_json::from_str(&of("grpc", &[])).unwrap();
    assert_eq!(grpc["xds_servers"][0]["server_uri"], "127.0.0.1:15010");
    assert!(grpc["node"]["locality"].is_object());
    let tonic = of("tonic", &["--control-plane", "[::1]:9"]);
    assert!(tonic.contains("\"http://[::1]:9\""), "{tonic}");
    let envoy = of("envoy", &["--control-plane", "plane.example:9", "--zone", "a"]);
    assert!(
        envoy.contains("type: STRICT_DNS") && envoy.contains("address: plane.example"),
        "{envoy}"
    );
    for wrong in ["plane", "plane:0", "http://plane:1", "me@plane:1"] {
        assert_eq!(
            run(&["bootstrap", "--for", "grpc", "--control-plane", wrong]).code,
            2,
            "{wrong}"
        );
    }
    assert_eq!(run(&["bootstrap", "--for", "weft", "--service", "shop"]).code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_control_plane_are_in_force_and_kept_there() {
    let (plane, url) = control_plane(vec![SHOP.into()]).await;
    beside(move || {
        let listed = run(&["get", "service", "--server", &url]);
        assert!(
            listed.out.lines().skip(1).all(|line| line.contains("shop.yaml:")),
            "{}",
            listed.out
        );
        let refused = run(&["delete", "service", "catalog", "--server", &url]);
        assert_eq!(refused.code, 1);
        assert!(refused.err.contains("comes from a file"), "{}", refused.err);
    })
    .await;
    plane.stop().await;
}

#[test]
fn what_is_bound_to_a_process_ends_with_it() {
    // The shell starts a sleeper bound to itself. Both hold the pipe, so it ends when both have.
    let script = format!(
        "{} bound-to $$ -- sh -c 'echo started; exec sleep 600' & wait",
        env!("CARGO_BIN_EXE_weft")
    );
    let mut shell =
        Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut pipe = shell.stdout.take().unwrap();
    let mut started = [0; 8];
    pipe.read_exact(&mut started).unwrap();
    shell.kill().unwrap();
    shell.wait().unwrap();
    let mut rest = Vec::new();
    pipe.read_to_end(&mut rest).unwrap();
}

#[test]
fn what_is_bound_to_a_process_that_is_gone_does_not_start() {
    let ran = run(&["bound-to", "1", "--", "echo", "started"]);
    assert_ne!(ran.code, 0);
    assert_eq!(ran.out, "");
}
