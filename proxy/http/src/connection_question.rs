//! `ratelimit` of connections: a service is asked before a chain gets one.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use weft_balance::EndpointState;
use weft_compile::{AskedConnections, Cluster, ConnectionQuestion, Priority};
use weft_format::View;
use weft_rls::{Answer, Descriptor, Question, Verdict};
use weft_telemetry::GaugeGuard;

use crate::{
    client::Client,
    facts,
    greeting::greeting,
    rpc::{Call, Failed},
    upstream::OwnPools,
    worker::Worker,
};

/// What stands for what a format does not know.
const UNKNOWN: &str = "-";

/// Whether a service lets this connection through; `local` is where it connected to.
pub(crate) async fn lets_through(
    worker: &Rc<Worker>,
    asked: &Arc<AskedConnections>,
    client: &Client,
    local: Option<SocketAddr>,
) -> bool {
    let AskedConnections { question, stats } = &**asked;
    stats.total.inc();
    let said = {
        let _active = GaugeGuard::raise(Arc::clone(stats), |stats| &stats.active);
        ask(worker, question, client, local).await
    };
    let goes_on = match said {
        Ok(Verdict::Within) => {
            stats.ok.inc();
            true
        }
        Ok(Verdict::Over) => {
            stats.over_limit.inc();
            false
        }
        Err(failed) => {
            stats.error.inc();
            tracing::debug!(cluster = %question.service.cluster, %failed, "rate limit service");
            if !question.denies_on_error {
                stats.failure_mode_allowed.inc();
            }
            !question.denies_on_error
        }
    };
    if !goes_on {
        stats.cx_closed.inc();
    }
    goes_on
}

async fn ask(
    worker: &Rc<Worker>,
    question: &ConnectionQuestion,
    client: &Client,
    local: Option<SocketAddr>,
) -> Result<Verdict, Failed> {
    let view = facts::of_client(worker, client, local);
    let descriptors = described(question, &view);
    let body = Question { domain: &question.domain, descriptors: &descriptors }.to_body();
    // A cluster that is told who the client is has no connections for all.
    let own = OwnPools::default();
    let pool_of = |cluster: &Arc<Cluster>, endpoint: &Arc<EndpointState>| {
        own.pool_for(worker.pools(), cluster, endpoint, Priority::Default, |asked| {
            greeting(asked, client.peer.ip().zip(local), &client.tlvs, &view)
        })
    };
    let (service, timeout) = (&question.service, question.timeout);
    let tables = worker.tables();
    let call = Call::new((worker, pool_of), &tables, service, (weft_rls::PATH, body), timeout)?;
    drop(tables);
    Ok(Answer::read(call.answer().await?)?.verdict)
}

fn described(question: &ConnectionQuestion, view: &View<'_>) -> Vec<Descriptor> {
    let entry = |(key, format): &(Box<str>, weft_format::Format)| {
        let mut value = Vec::new();
        format.render(view, UNKNOWN, &mut value);
        (key.clone(), Box::from(String::from_utf8_lossy(&value)))
    };
    let descriptor = |entries: &weft_compile::FormattedDescriptor| Descriptor {
        entries: entries.iter().map(entry).collect(),
        ..Descriptor::default()
    };
    question.descriptors.iter().map(descriptor).collect()
}
