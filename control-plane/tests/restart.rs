//! A control plane that is killed and comes back must not cost a single request.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

const MESH: &str = "
apiVersion: weft.dev/v1
kind: Service
metadata: {name: inventory}
spec: {ports: [{port: 80, protocol: http}]}
";

/// How the workload is written down.
const ID: &[u8] = b"\"instance\":\"the-only-one\"";

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// As abruptly as a crash.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody else is given, and that a process can listen on again and again.
fn reserve() -> (SocketAddr, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    (socket.local_addr().unwrap().as_socket().unwrap(), socket)
}

/// The status line and body of an answer.
fn ask(address: SocketAddr, host: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn is_ok(answer: &std::io::Result<String>) -> bool {
    answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
}

/// Processes tell of their state only when asked.
fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !reached() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn folder() -> PathBuf {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("restart-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("mesh.yaml"), MESH).unwrap();
    folder
}

/// Requests without a pause.
struct Load {
    stopping: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    thread: JoinHandle<Vec<String>>,
}

impl Load {
    fn start(outbound: SocketAddr) -> Self {
        let (stopping, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let shared = (Arc::clone(&stopping), Arc::clone(&requests));
        let thread = std::thread::spawn(move || {
            let (stopping, requests) = shared;
            let mut failures = Vec::new();
            while !stopping.load(Ordering::Relaxed) {
                let answer = ask(outbound, "inventory", "/stock");
                requests.fetch_add(1, Ordering::Relaxed);
                if !is_ok(&answer) {
                    failures.push(format!("{answer:?}"));
                }
            }
            failures
        });
        Self { stopping, requests, thread }
    }

    /// Waits for a hundred requests from now.
    fn hundred(&self, when: &str) {
        let before = self.requests.load(Ordering::Relaxed);
        until(when, || self.requests.load(Ordering::Relaxed) > before + 100);
    }

    /// The answers that were no success.
    fn failures(self) -> Vec<String> {
        self.stopping.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn a_control_plane_that_is_killed_and_comes_back_costs_no_request() {
    let folder = folder();
    let (mesh, store) = (folder.join("mesh.yaml"), folder.join("mesh.db"));
    let reserved = [(); 6].map(|()| reserve());
    let [xds, control, app, inbound, outbound, admin] =
        reserved.each_ref().map(|(address, _)| *address);
    let text = |address: SocketAddr| address.to_string();

    let start_control_plane = || {
        let paths = ["--mesh", mesh.to_str().unwrap(), "--store", store.to_str().unwrap()];
        let addresses = ["--xds", &text(xds), "--admin", &text(control)];
        Process::start(&[&["control-plane"], &paths[..], &addresses[..]].concat())
    };
    let mut control_plane = start_control_plane();
    let port = app.port().to_string();
    let _service = Process::start(&["sample", "inventory", "--port", &port]);
    let identity = [
        "--service",
        "inventory",
        "--instance",
        "the-only-one",
        "--port",
        &port,
        "--concurrency",
        "1",
    ];
    let addresses =
        ["--inbound", &text(inbound), "--outbound", &text(outbound), "--admin", &text(admin)];
    let xds_url = format!("http://{xds}");
    let sidecar = ["proxy", "--no-last-known-good", "--control-plane", &xds_url];
    let _sidecar = Process::start(&[&sidecar[..], &identity[..], &addresses[..]].concat());
    until("no request gets through", || is_ok(&ask(outbound, "inventory", "/stock")));

    let load = Load::start(outbound);
    load.hundred("no requests at the start");
    until("the workload is not written down", || {
        let log = std::fs::read(folder.join("mesh.db-wal")).unwrap_or_default();
        log.windows(ID.len()).any(|window| window == ID)
    });
    control_plane.kill();
    load.hundred("no requests while the control plane is away");

    control_plane = start_control_plane();
    until("the control plane is not ready again", || is_ok(&ask(control, "localhost", "/readyz")));
    until("the sidecar is not configured again", || {
        let proxies = ask(control, "localhost", "/v1/proxies");
        proxies.is_ok_and(|answer| answer.contains("\"converged\":true,\"types\""))
    });
    load.hundred("no requests at the end");
    let failures = load.failures();
    assert!(failures.is_empty(), "{} failed, the first: {}", failures.len(), failures[0]);
    drop(control_plane);
    std::fs::remove_dir_all(folder).unwrap();
}
