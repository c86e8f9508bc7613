//! From a request to its reply.

use std::sync::Arc;

use http::{Method, StatusCode, request::Parts};
use tokio::runtime::Handle;
use weft_telemetry::OverloadStats;

use crate::{
    clusters,
    command::Command,
    config_dump::{ConfigDump, Request},
    endpoint::{self, Endpoint, Kind},
    events, explain, guard, help, listeners, logging,
    pieces::PieceWriter,
    query::Parameters,
    refusal::Refusal,
    reply::{self, Reply},
    server::Admin,
    server_info,
    source::{ServerState, Source},
    stats,
};

/// Answers a request. A refusal is an answer too.
pub(crate) async fn answer(admin: &Admin, request: &Parts) -> Reply {
    match admit(admin, request) {
        Ok((endpoint, parameters)) => {
            serve(admin, endpoint, &parameters).await.unwrap_or_else(|refusal| refusal.reply())
        }
        Err(refusal) => refusal.reply(),
    }
}

/// Who may ask for what, and how.
fn admit<'a>(
    admin: &Admin,
    request: &'a Parts,
) -> Result<(&'static Endpoint, Parameters<'a>), Refusal> {
    let endpoint = endpoint::find(request.uri.path());
    let mutates = endpoint.is_some_and(|endpoint| endpoint.kind.mutates());
    guard::check(&request.uri, &request.headers, mutates, &admin.settings.host_names)?;
    let endpoint = endpoint.ok_or(Refusal::UnknownPath)?;
    allow_method(&request.method, mutates)?;
    let known = endpoint.parameters.iter().map(|(name, _)| *name);
    let parameters = Parameters::parse(request.uri.query().unwrap_or_default(), known)?;
    Ok((endpoint, parameters))
}

/// Who may call a gRPC service: programs, and no web page.
pub(crate) fn admit_grpc<B>(admin: &Admin, request: &http::Request<B>) -> Result<(), Refusal> {
    let names = &admin.settings.host_names;
    guard::check(request.uri(), request.headers(), true, names)?;
    // A page can only send this type after it was allowed to ask for it, which it never is.
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    let is_grpc =
        content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let is_call = *request.method() == Method::POST && is_grpc;
    if is_call { Ok(()) } else { Err(Refusal::NoCall) }
}

async fn serve(
    admin: &Admin,
    endpoint: &Endpoint,
    parameters: &Parameters<'_>,
) -> Result<Reply, Refusal> {
    let source = &admin.source;
    let order = |command| admin.order(command);
    Ok(match endpoint.kind {
        Kind::Home => reply::html(help::page()),
        Kind::Help => reply::ok(help::text()),
        Kind::Live => reply::ok("LIVE\n"),
        Kind::Ready => ready(&**source, parameters),
        Kind::ServerInfo => server_info::as_json(source.state(), &source.server_info()),
        Kind::Stats => stats::stats(source.stats(), parameters)?,
        Kind::Prometheus => stats::prometheus(source.stats(), parameters)?,
        Kind::Clusters => {
            let filter = stats::name_filter(parameters.value("filter"))?;
            let shown = clusters::matching(source.clusters(), filter.as_ref());
            if wants_json(endpoint, parameters)? {
                clusters::as_json(&shown)
            } else {
                clusters::text(&shown)
            }
        }
        Kind::Listeners if wants_json(endpoint, parameters)? => {
            listeners::as_json(&source.listeners())
        }
        Kind::Listeners => listeners::text(&source.listeners()),
        Kind::ConfigDump => config_dump(admin, parameters).await?,
        Kind::Explain => {
            let question = explain::question(parameters)?;
            let found = explain::explain(&**source, &question)?;
            if wants_json(endpoint, parameters)? {
                explain::as_json(&question, &found)
            } else {
                explain::text(&question, &found)
            }
        }
        Kind::Events => events::as_json(source.events()),
        Kind::Logging => logging::change(parameters, source.log_level(), order)?,
        Kind::DrainListeners => {
            order(Command::DrainListeners { graceful: parameters.flag("graceful") })?;
            reply::ok("OK\n")
        }
        Kind::Quit => {
            order(Command::Quit)?;
            reply::ok("OK\n")
        }
    })
}

fn allow_method(method: &Method, mutates: bool) -> Result<(), Refusal> {
    let (allowed, required) = if mutates {
        (*method == Method::POST, "POST")
    } else {
        (matches!(*method, Method::GET | Method::HEAD | Method::POST), "GET")
    };
    if allowed { Ok(()) } else { Err(Refusal::Method { method: method.clone(), required }) }
}

fn ready(source: &dyn Source, parameters: &Parameters<'_>) -> Reply {
    let state = source.state();
    let status = match state {
        ServerState::Live => StatusCode::OK,
        ServerState::PreInitializing | ServerState::Initializing | ServerState::Draining => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let mut text = format!("{}\n", state.name());
    if parameters.flag("verbose") {
        let configuration = source.last_known_good().map_or_else(
            || "as last said by its source".to_owned(),
            |age| format!("last known good, {} s old", age.as_secs()),
        );
        let server = if source.is_connected() { "connected" } else { "not connected" };
        let load = load(&source.stats().overload);
        text += &format!("configuration: {configuration}\ncontrol plane: {server}\nload: {load}\n");
    }
    reply::text(status, text)
}

/// What of its load is refused. It is ready all the same: to be taken out for that would send all of it to
/// others, who then have more, and an orchestrator may end what is not ready.
fn load(overload: &OverloadStats) -> String {
    let late = match overload.late_workers.get() {
        0 => "",
        _ => "; workers are late, and refuse requests of default priority",
    };
    let memory = match (overload.sheds_requests.get(), overload.sheds_connections.get()) {
        (_, 1) => {
            "memory is beyond --max-memory-mib or reject_incoming_connections: connections and requests are refused"
        }
        (1, _) => {
            "memory is beyond --shed-memory-mib or stop_accepting_requests: requests of default priority are refused"
        }
        _ => "memory is within its bounds",
    };
    format!("{memory}{late}")
}

fn wants_json(endpoint: &Endpoint, parameters: &Parameters<'_>) -> Result<bool, Refusal> {
    match parameters.value("format") {
        None | Some("text") => Ok(false),
        Some("json") => Ok(true),
        Some(_) => Err(Refusal::Format { path: endpoint.path, formats: "json|text" }),
    }
}

async fn config_dump(admin: &Admin, parameters: &Parameters<'_>) -> Result<Reply, Refusal> {
    let request = Request {
        include_eds: parameters.flag("include_eds"),
        name: stats::name_filter(parameters.value("name_regex"))?,
    };
    // One at a time: what a dump needs in memory is then bounded, however many ask.
    let turn = Arc::clone(&admin.dumps).acquire_owned().await;
    let turn = turn.map_err(|_| Refusal::ShuttingDown)?;
    let source = Arc::clone(&admin.source);
    let (mut writer, body) = PieceWriter::new(Handle::current());
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let dump = ConfigDump { bootstrap: source.bootstrap(), resources: source.dump(), request };
        if let Err(error) = dump.write(&mut writer).and_then(|()| writer.finish()) {
            tracing::debug!(%error, "a configuration dump was not read to its end");
        }
    });
    Ok(reply::json_pieces(body))
}
