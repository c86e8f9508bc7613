//! One child process: started, listened to, stopped, never left behind.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

/// How many of a process's last lines are kept, to be shown when it dies.
const LINES_KEPT: usize = 12;
/// How much of a line is kept.
const LINE_LENGTH: usize = 400;

/// Where the news of processes go.
#[derive(Clone)]
pub(crate) struct News {
    /// Hears of every process that ended.
    pub(crate) deaths: mpsc::UnboundedSender<Death>,
    /// Whether to print each line a process writes.
    pub(crate) print_logs: bool,
}

/// The end of a process.
#[derive(Debug)]
pub(crate) struct Death {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) last_lines: Vec<String>,
}

/// A running process, or one that ran.
pub(crate) struct Process {
    name: String,
    pid: Pid,
    lines: Lines,
    ended: watch::Receiver<bool>,
}

/// `program` as a child that ends with this process, in a group of its own: a Ctrl-C on the
/// terminal reaches only us, and we stop the children in good order.
pub(crate) fn command(program: &OsStr) -> anyhow::Result<Command> {
    let mut command =
        Command::new(std::env::current_exe().context("cannot find our own executable")?);
    command
        .args(["bound-to", &std::process::id().to_string(), "--"])
        .arg(program)
        .process_group(0)
        .kill_on_drop(true)
        // What it writes is shown among other text.
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Settings of ours that happen to be in the environment are not meant for this mesh.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"WEFT_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

impl Process {
    /// Starts `command`. To be called on the main thread: the kernel ties the child to the life of
    /// the thread that forks it.
    pub(crate) fn start(name: &str, mut command: Command, news: &News) -> anyhow::Result<Self> {
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .context("a child without an id")?;
        let lines = Lines::new(name, news.print_logs);
        let readers = [
            child.stdout.take().map(|output| tokio::spawn(lines.clone().read(output))),
            child.stderr.take().map(|output| tokio::spawn(lines.clone().read(output))),
        ];
        let (ending, ended) = watch::channel(false);
        tokio::spawn(see_to_its_end(child, readers, lines.clone(), ending, news.deaths.clone()));
        Ok(Self { name: name.to_owned(), pid, lines, ended })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The last lines that it wrote.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.lines.last()
    }

    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Asks it, and what it has started, to stop: a shell would keep the signal to itself.
    pub(crate) fn terminate(&self) {
        // Reaping happens on this thread only, so the id is still its own.
        if !self.has_ended() {
            let _ = kill_process_group(self.pid, Signal::TERM);
        }
    }

    /// Waits for its end, but not longer than `patience`; then kills it and what it has started.
    pub(crate) async fn wait_or_kill(&mut self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.ended.wait_for(|ended| *ended)).await.is_ok();
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = self.ended.wait_for(|ended| *ended).await.is_ok();
    }
}

async fn see_to_its_end(
    mut child: Child,
    readers: [Option<tokio::task::JoinHandle<()>>; 2],
    lines: Lines,
    ending: watch::Sender<bool>,
    deaths: mpsc::UnboundedSender<Death>,
) {
    let status = match child.wait().await {
        Ok(status) => describe(status),
        Err(error) => format!("was lost: {error}"),
    };
    // Its last words may still be in the pipes; whoever inherited them may keep them open, though.
    for reader in readers.into_iter().flatten() {
        let _ = tokio::time::timeout(Duration::from_millis(200), reader).await;
    }
    let _ = deaths.send(Death { name: lines.name.to_string(), status, last_lines: lines.last() });
    ending.send_replace(true);
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The tail of what a process writes.
#[derive(Clone)]
struct Lines {
    name: Arc<str>,
    print: bool,
    tail: Arc<Mutex<VecDeque<String>>>,
}

impl Lines {
    fn new(name: &str, print: bool) -> Self {
        Self { name: name.into(), print, tail: Arc::default() }
    }

    fn last(&self) -> Vec<String> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn push(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line).trim_end().to_owned();
        if self.print {
            eprintln!("[{}] {line}", self.name);
        }
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == LINES_KEPT {
            tail.pop_front();
        }
        tail.push_back(line);
    }

    /// Reads to the end. A line is cut, not gathered, when it is longer than we keep.
    async fn read(self, mut output: impl AsyncRead + Unpin) {
        let mut chunk = [0; 4096];
        let mut line = Vec::new();
        while let Ok(length @ 1..) = output.read(&mut chunk).await {
            for &byte in chunk.iter().take(length) {
                match byte {
                    b'\n' => {
                        self.push(&line);
                        line.clear();
                    }
                    _ if line.len() < LINE_LENGTH => line.push(byte),
                    _ => {}
                }
            }
        }
        if !line.is_empty() {
            self.push(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_last_lines_are_kept_and_long_ones_are_cut() {
        let lines = Lines::new("test", false);
        let mut text: String = (0..100).map(|n| format!("line {n}\n")).collect();
        text.push_str(&"x".repeat(10_000));
        lines.clone().read(text.as_bytes()).await;
        let last = lines.last();
        assert_eq!(last.len(), LINES_KEPT);
        assert_eq!(last[LINES_KEPT - 2], "line 99");
        assert_eq!(last[LINES_KEPT - 1], "x".repeat(LINE_LENGTH));
    }
}
