//! How a control plane stops.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use weft_control_plane::{ControlPlane, Settings};
use weft_proto::registry::workload_registry_client::WorkloadRegistryClient;
use weft_proto::registry::{Phase, WorkloadState};
use weft_store::{Sqlite, Store as _, StoreError};

/// How the workload is written down.
const WRITTEN: &[u8] = b"\"service\":\"cart\",\"instance\":\"one\"";

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_ended_and_who_is_registered_stays_remembered() {
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("stop-{}.db", std::process::id()));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings {
        mesh: Vec::new(),
        config_dir: None,
        store: Some(path.clone()),
        xds_socket: None,
        xds: any,
        admin: any,
        settle: 0,
        admin_hosts: Vec::new(),
        admin_address_path: None,
    };
    let plane = ControlPlane::start(settings).await.unwrap();

    let mut client =
        WorkloadRegistryClient::connect(format!("http://{}", plane.xds())).await.unwrap();
    let (states, receiver) = mpsc::channel(1);
    let state = WorkloadState {
        service: "cart".into(),
        instance: "one".into(),
        address: "127.0.0.1:1".into(),
        phase: Phase::Serving.into(),
        ..WorkloadState::default()
    };
    states.send(state).await.unwrap();
    let mut answers = client.register(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap();
    let log = path.with_extension("db-wal");
    while !std::fs::read(&log)
        .unwrap_or_default()
        .windows(WRITTEN.len())
        .any(|window| window == WRITTEN)
    {
        tokio::task::yield_now().await;
    }

    tokio::time::timeout(Duration::from_secs(20), plane.stop()).await.unwrap();
    assert!(answers.message().await.is_err(), "the stream ends, and not as if all was said");
    // The last write may still be on its way to the disk, on a thread of its own.
    let store = loop {
        match Sqlite::open(&path) {
            Err(StoreError::InUse { .. }) => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    let mut kept = String::new();
    for part in 0..16 {
        let name: &'static str = format!("workloads-{part:x}").leak();
        kept += &store.kept(name).await.unwrap().unwrap_or_default();
    }
    assert!(kept.as_bytes().windows(WRITTEN.len()).any(|window| window == WRITTEN), "{kept}");
    for file in [path.clone(), log, path.with_extension("db-shm")] {
        let _ = std::fs::remove_file(file);
    }
}
