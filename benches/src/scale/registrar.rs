//! A connection that registers many workloads, each on a stream of its own.

use anyhow::Result;
use weft_proto::registry::{Phase, WorkloadState};

use super::call::{Calls, begin, open, say};

const REGISTER: &str = "/weft.registry.v1.WorkloadRegistry/Register";

/// A workload by its place in the mesh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) service: usize,
    pub(crate) endpoint: usize,
}

/// One connection of registrations.
pub(crate) struct Registrar {
    calls: Calls,
    places: Vec<Place>,
    pub(crate) acknowledged: u64,
}

impl Registrar {
    /// Registers a workload at each of these places.
    pub(crate) fn start(places: Vec<Place>, out: &mut Vec<u8>) -> Result<Self> {
        let registrar = Self { calls: Calls::default(), places, acknowledged: 0 };
        begin(out);
        for at in 0..registrar.places.len() {
            open(out, stream(at)?, REGISTER)?;
            registrar.tell(at, Phase::Serving, out)?;
        }
        Ok(registrar)
    }

    /// How many workloads it stands for.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Says that the workload at this index is in this phase now.
    pub(crate) fn tell(&self, at: usize, phase: Phase, out: &mut Vec<u8>) -> Result<()> {
        let Some(Place { service, endpoint }) = self.places.get(at).copied() else { return Ok(()) };
        let [high, low] = u16::try_from(service)?.to_be_bytes();
        let state = WorkloadState {
            service: super::plane::service_name(service),
            instance: format!("instance-{endpoint}"),
            address: format!("10.{high}.{low}.{}:15006", endpoint + 1),
            zone: format!("zone-{}", endpoint % 3),
            phase: phase.into(),
            ..WorkloadState::default()
        };
        say(out, stream(at)?, &state)
    }

    pub(crate) fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let acknowledged = &mut self.acknowledged;
        self.calls.take(bytes, out, |_, _| {
            *acknowledged += 1;
            Ok(())
        })
    }
}

/// Streams of clients have odd numbers.
fn stream(at: usize) -> Result<u32> {
    Ok(u32::try_from(at)? * 2 + 1)
}
