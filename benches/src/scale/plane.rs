//! The control plane as a process, and the mesh that it serves.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::Process;

const START: Duration = Duration::from_secs(30);

/// A running control plane.
pub(crate) struct ControlPlane {
    pub(crate) process: Process,
    pub(crate) xds: SocketAddr,
    folder: PathBuf,
}

/// The name of a Service by its number.
pub(crate) fn service_name(number: usize) -> String {
    format!("service-{number:04}")
}

impl ControlPlane {
    /// Starts `program` on one core with a mesh of this many Services.
    pub(crate) fn start(program: &Path, core: usize, services: usize) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("weft-scale-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let (mesh, admin) = (folder.join("mesh.yaml"), folder.join("admin"));
        fs::write(&mesh, documents(services))?;
        let _ = fs::remove_file(&admin);
        let store = folder.join("mesh.db");
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(folder.join(format!("mesh.db{suffix}")));
        }
        let path = |path: &Path| path.display().to_string();
        let arguments = [
            ["--mesh".to_owned(), path(&mesh)],
            ["--store".to_owned(), path(&store)],
            ["--xds".to_owned(), "127.0.0.1:0".to_owned()],
            ["--admin".to_owned(), "127.0.0.1:0".to_owned()],
            ["--admin-address-path".to_owned(), path(&admin)],
            ["--log-level".to_owned(), "warn".to_owned()],
        ];
        let log = folder.join("control-plane.log");
        let mut process = Process::start(program, arguments.as_flattened(), core, &log)?;
        let deadline = Instant::now() + START;
        let xds = loop {
            process.must_run()?;
            if let Some(xds) = fs::read_to_string(&admin).ok().and_then(|at| xds_address(&at).ok())
            {
                break xds;
            }
            if Instant::now() >= deadline {
                bail!("the control plane did not start:\n{}", process.words());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Ok(Self { process, xds, folder })
    }

    /// The most memory that it ever had resident, in KiB.
    pub(crate) fn peak(&self) -> Result<u64> {
        self.process.peak()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn documents(services: usize) -> String {
    let mut text = String::new();
    for number in 0..services {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "apiVersion: weft.dev/v1\nkind: Service\nmetadata: {{name: {}}}\nspec:\n  \
             ports: [{{port: 80, protocol: http}}]\n  endpoints: [{{registered: {{}}}}]\n---",
            service_name(number)
        );
    }
    text
}

/// Asks the admin interface where proxies connect.
fn xds_address(admin: &str) -> Result<SocketAddr> {
    let mut stream = TcpStream::connect(admin.trim())?;
    write!(stream, "GET /v1/info HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let info: serde_json::Value = serde_json::from_str(body)?;
    let xds = info.get("xds").and_then(|xds| xds.as_str()).context("no xds address")?;
    Ok(xds.parse()?)
}
