//! `weft up`, as a user runs it: a control plane, sidecars and services in processes of their own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples/shop.yaml");

fn up(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    command
        .arg("up")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A mesh file of this test's own.
fn file(name: &str, run: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let text = format!(
        "apiVersion: weft.dev/v1
kind: Service
metadata: {{name: app}}
spec: {{ports: [{{port: 80, protocol: http}}]}}
---
apiVersion: weft.dev/v1
kind: Workload
metadata: {{name: app}}
spec: {{service: app, run: {run}}}
"
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Every `ip:port` in `text`.
fn addresses(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'));
    words.filter(|word| word.starts_with("127.0.0.1:")).collect()
}

fn terminate(child: &Child) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
}

#[test]
fn the_sample_shop_passes_its_check() {
    let output = up(&[SHOP, "--check", "--requests", "300"]).output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("300 of 300 requests to storefront succeeded"), "{out}");
    assert!(out.contains("inventory-v2 has weight 10 of 100"), "{out}");
    assert!(!out.contains("FAILED"), "{out}");
    let addresses = addresses(&out);
    assert!(addresses.len() > 24, "{out}");
    for address in addresses {
        assert!(
            TcpStream::connect(address).is_err(),
            "something still listens on {address}\n{out}"
        );
    }
}

#[test]
fn a_running_mesh_shows_its_traffic_and_leaves_nothing_when_it_is_asked_to_stop() {
    let mut child = up(&[SHOP]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut text = String::new();
    for line in lines.by_ref() {
        text.push_str(&line);
        text.push('\n');
        if line.starts_with("caller:") {
            break;
        }
    }
    assert!(text.contains("curl -H 'Host: storefront'"), "{text}");
    let caller = text.lines().last().unwrap();
    assert!(caller.contains(" 100% success"), "{text}");
    terminate(&child);
    let rest: Vec<_> = lines.collect();
    assert!(child.wait().unwrap().success());
    assert_eq!(rest.last().map(String::as_str), Some("stopped; nothing is left running"));
    for address in addresses(&text) {
        assert!(TcpStream::connect(address).is_err(), "something still listens on {address}");
    }
}

#[test]
fn a_gateway_lets_requests_in() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples/ingress.yaml");
    let mut text = std::fs::read_to_string(example).unwrap();
    // Ports of the kernel's choice in place of the example's. They are taken on another address for
    // as long as the test runs, so that nobody is given them in the meantime.
    let mut held = Vec::new();
    for port in ["18080", "18432", "18443"] {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let free = listener.local_addr().unwrap().port().to_string();
        text = text.replace(&format!("port: {port}"), &format!("port: {free}"));
        held.push(listener);
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ingress.yaml");
    std::fs::write(&path, text).unwrap();
    let output = up(&[path.to_str().unwrap(), "--check", "--requests", "20"]).output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let said = "answered 10 of 10 requests for http://www.shop.example.com/";
    assert!(out.contains(said), "{out}");
}

#[test]
fn a_service_that_dies_at_the_start_is_reported_with_its_last_words() {
    let file = file("dies.yaml", r#"{command: [sh, -c, "echo no database; exit 7"]}"#);
    let output = up(&[file.to_str().unwrap()]).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("app exited with code 7; its last lines:\n  no database"), "{err}");
}

#[test]
fn a_file_without_workloads_is_refused_with_a_hint() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/examples/standalone.yaml");
    let output = up(&[file]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hint:"));
}
