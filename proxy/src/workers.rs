//! The worker threads: each with a runtime of its own, told what to do by messages.

use std::{io, rc::Rc, sync::Arc, thread};

use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
};
use weft_compile::Tables;
use weft_http::{Host, Load, Phase, Worker, WorkerOptions};
use weft_net::Acceptor;

use crate::sockets::Socket;

/// What a worker is told.
pub(crate) enum Command {
    /// These are the tables from now on.
    Publish(Arc<Tables>),
    /// Accept here for the listener of this name, until the sender is dropped.
    Accept { listener: Arc<str>, socket: Socket, until: oneshot::Receiver<()> },
    /// The next phase of life.
    Advance(Phase),
    /// How much is going on?
    Load(oneshot::Sender<Load>),
}

/// All worker threads. Dropping it ends them.
pub(crate) struct Workers {
    threads: Vec<WorkerThread>,
}

struct WorkerThread {
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` workers with the same options; `seeds` gives each its own randomness.
    pub(crate) fn start(
        count: usize,
        options: &WorkerOptions,
        mut seeds: impl FnMut() -> u64,
    ) -> io::Result<Self> {
        let threads = (0..count.max(1))
            .map(|index| {
                let (commands, inbox) = mpsc::unbounded_channel();
                let options = WorkerOptions { seed: seeds(), ..options.clone() };
                let thread = thread::Builder::new()
                    .name(format!("worker-{index}"))
                    .spawn(move || run(options, inbox))?;
                Ok(WorkerThread { commands: Some(commands), thread: Some(thread) })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { threads })
    }

    /// No workers at all, for checking a configuration.
    pub(crate) fn none() -> Self {
        Self { threads: Vec::new() }
    }

    pub(crate) fn count(&self) -> usize {
        self.threads.len()
    }

    pub(crate) fn publish(&self, tables: &Arc<Tables>) {
        self.each(|_| Command::Publish(Arc::clone(tables)));
    }

    pub(crate) fn advance(&self, phase: Phase) {
        self.each(|_| Command::Advance(phase));
    }

    /// Sends one worker a command. A worker that is gone has panicked, which ends the process.
    pub(crate) fn tell(&self, worker: usize, command: Command) {
        if let Some(commands) = self.threads.get(worker).and_then(|t| t.commands.as_ref()) {
            let _ = commands.send(command);
        }
    }

    /// Asks each worker what goes on in it.
    pub(crate) fn ask_load(&self) -> Vec<oneshot::Receiver<Load>> {
        (0..self.count())
            .map(|worker| {
                let (answer, load) = oneshot::channel();
                self.tell(worker, Command::Load(answer));
                load
            })
            .collect()
    }

    fn each(&self, mut command: impl FnMut(usize) -> Command) {
        for worker in 0..self.count() {
            self.tell(worker, command(worker));
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for thread in &mut self.threads {
            thread.commands = None;
        }
        for thread in &mut self.threads {
            if let Some(thread) = thread.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

/// The machine, for formats that name it or a variable of this process.
pub(crate) fn this_host() -> Host {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Host { name: name.trim().into(), variables: variables.collect() }
}

/// A worker's thread: a runtime that lives and dies here.
fn run(options: WorkerOptions, inbox: mpsc::UnboundedReceiver<Command>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    match runtime {
        Ok(runtime) => runtime.block_on(obey(Worker::new(options), inbox)),
        Err(error) => tracing::error!(%error, "a worker cannot start"),
    }
}

async fn obey(worker: Rc<Worker>, mut inbox: mpsc::UnboundedReceiver<Command>) {
    tokio::task::spawn_local(Rc::clone(&worker).maintain());
    tokio::task::spawn_local(Rc::clone(&worker).serve_claims());
    tokio::task::spawn_local(Rc::clone(&worker).watch_lag());
    while let Some(command) = inbox.recv().await {
        match command {
            Command::Publish(tables) => worker.publish(tables),
            Command::Advance(phase) => worker.advance(phase),
            Command::Load(answer) => drop(answer.send(worker.load())),
            Command::Accept { listener, socket, until } => {
                let acceptor = match socket {
                    Socket::Tcp(socket) => Acceptor::from_tcp(socket),
                    Socket::Unix(socket) => Acceptor::from_unix(socket),
                };
                match acceptor {
                    Ok(acceptor) => {
                        let until = async { drop(until.await) };
                        tokio::task::spawn_local(
                            Rc::clone(&worker).serve(listener, acceptor, until),
                        );
                    }
                    Err(error) => tracing::error!(%listener, %error, "cannot watch a socket"),
                }
            }
        }
    }
}
