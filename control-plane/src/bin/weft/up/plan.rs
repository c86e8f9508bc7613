//! What is to run: the Workloads of a mesh, instance by instance, each with its ports.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use weft_config::Mesh;
use weft_config::model::Workload;
use weft_config::model::workload::Program;

use super::ports::{self, Reserved};

/// One instance of a service, to be run beside its sidecar.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Unique in this mesh, for example `inventory-v1-2`.
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) program: Program,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) ports: Ports,
}

/// Where an instance and its sidecar listen.
#[derive(Debug)]
pub(crate) struct Ports {
    /// The service itself.
    pub(crate) app: Reserved,
    /// Its sidecar, for the service's callers.
    pub(crate) inbound: Reserved,
    /// Its sidecar, for the service's own calls.
    pub(crate) outbound: Reserved,
    /// Its sidecar, for operators.
    pub(crate) admin: Reserved,
}

impl Instance {
    /// The name by which everybody in the mesh can call the service.
    pub(crate) fn host(&self) -> String {
        if self.namespace == weft_config::DEFAULT_NAMESPACE {
            self.service.clone()
        } else {
            format!("{}.{}", self.service, self.namespace)
        }
    }
}

/// Every instance, in the order of the Workloads' names.
pub(crate) fn instances(mesh: &Mesh) -> anyhow::Result<Vec<Instance>> {
    let mut instances = Vec::new();
    for workload in mesh.workloads().values() {
        for number in 1..=workload.instances {
            instances.push(instance(workload, number)?);
        }
    }
    Ok(instances)
}

fn instance(workload: &Workload, number: u16) -> anyhow::Result<Instance> {
    let metadata = &workload.metadata;
    let name = match (workload.instances, metadata.namespace.as_str()) {
        (1, weft_config::DEFAULT_NAMESPACE) => metadata.name.clone(),
        (_, weft_config::DEFAULT_NAMESPACE) => format!("{}-{number}", metadata.name),
        (_, namespace) => format!("{namespace}.{}-{number}", metadata.name),
    };
    let app = match workload.run.port {
        Some(port) => ports::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .with_context(|| format!("Workload/{}: port {port} is taken", metadata.name))?,
        None => ports::reserve()?,
    };
    Ok(Instance {
        name,
        service: workload.service.clone(),
        namespace: metadata.namespace.clone(),
        labels: workload.labels.clone(),
        program: workload.run.program.clone(),
        env: workload.run.env.clone(),
        ports: Ports {
            app,
            inbound: ports::reserve()?,
            outbound: ports::reserve()?,
            admin: ports::reserve()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use weft_config::Source;

    use super::*;

    #[test]
    fn every_instance_has_a_name_and_ports_of_its_own() {
        let text = "
apiVersion: weft.dev/v1
kind: Service
metadata: {name: inventory}
spec: {ports: [{port: 80, protocol: http}], endpoints: [{registered: {}}]}
---
apiVersion: weft.dev/v1
kind: Workload
metadata: {name: v1}
spec: {service: inventory, labels: {version: v1}, instances: 2, run: {sample: inventory}}
---
apiVersion: weft.dev/v1
kind: Workload
metadata: {name: v2}
spec: {service: inventory, labels: {version: v2}, run: {command: [sleep, '1']}}
";
        let mesh = Mesh::parse(&[Source::new("shop.yaml", text)]).unwrap();
        let instances = instances(&mesh).unwrap();
        let names: Vec<_> = instances.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["v1-1", "v1-2", "v2"]);
        assert_eq!(instances[2].host(), "inventory");
        assert_ne!(instances[0].ports.app.address, instances[1].ports.app.address);
    }
}
