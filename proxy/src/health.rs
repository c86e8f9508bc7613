//! Whether the application behind a sidecar answers.

use std::{net::Ipv4Addr, str::FromStr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{MissedTickBehavior, timeout},
};

/// Times in a row that it does not answer before it is taken for ill. One answer makes it well.
const PATIENCE: u32 = 2;
/// Enough for a status line.
const STATUS_LINE: u64 = 1024;

/// How the application is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whether it takes connections.
    Tcp,
    /// Whether it answers `GET` on this path with a status of 200 to 399.
    Http(String),
}

/// A question that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither `tcp` nor a path such as /healthz")]
pub(crate) struct NotAQuestion(String);

impl FromStr for Question {
    type Err = NotAQuestion;

    fn from_str(text: &str) -> Result<Self, NotAQuestion> {
        let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        match text {
            "tcp" => Ok(Self::Tcp),
            path if is_path => Ok(Self::Http(path.to_owned())),
            _ => Err(NotAQuestion(text.to_owned())),
        }
    }
}

/// An application, and how it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) question: Question,
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    /// How often it is asked; an answer may take as long.
    pub(crate) interval: Duration,
}

impl Check {
    /// Asks for ever, and tells after each answer whether the application is well.
    pub(crate) async fn follow(self, tell: impl Fn(bool)) {
        let mut rounds = tokio::time::interval(self.interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // It has not answered yet.
        let mut failures = PATIENCE;
        loop {
            rounds.tick().await;
            let answers = matches!(timeout(self.interval, self.ask()).await, Ok(Ok(true)));
            failures = if answers { 0 } else { failures.saturating_add(1) };
            tell(failures < PATIENCE);
        }
    }

    async fn ask(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        let Question::Http(path) = &self.question else { return Ok(true) };
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost:{}\r\nuser-agent: weft-health\r\n\
             connection: close\r\n\r\n",
            self.port
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let mut stream = stream.take(STATUS_LINE);
        while !answer.contains(&b'\n') {
            if stream.read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        Ok(is_well(&answer))
    }
}

/// Whether an answer begins with a status line of 200 to 399.
fn is_well(answer: &[u8]) -> bool {
    let line = String::from_utf8_lossy(answer);
    let mut words = line.split(' ');
    let speaks_http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    let status = words.next().and_then(|word| word.trim_end().parse::<u16>().ok());
    speaks_http && status.is_some_and(|status| (200..400).contains(&status))
}

#[cfg(test)]
mod tests {
    use tokio::{net::TcpListener, sync::mpsc};

    use super::*;

    #[test]
    fn questions() {
        assert_eq!("tcp".parse(), Ok(Question::Tcp));
        assert_eq!("/ready?x=1".parse(), Ok(Question::Http("/ready?x=1".to_owned())));
        for wrong in ["", "http", "ready", "/a b", "/a\r\nx: y"] {
            assert_eq!(wrong.parse::<Question>(), Err(NotAQuestion(wrong.to_owned())));
        }
    }

    #[test]
    fn answers() {
        for well in ["HTTP/1.1 200 OK\r\n", "HTTP/1.0 204\r\n", "HTTP/1.1 301 Moved\r\n"] {
            assert!(is_well(well.as_bytes()), "{well}");
        }
        for ill in ["", "HTTP/1.1 503 No\r\n", "HTTP/1.1 199 \r\n", "220 mail ready\r\n", "\u{0}"] {
            assert!(!is_well(ill.as_bytes()), "{ill}");
        }
    }

    #[tokio::test]
    async fn an_application_is_well_when_it_answers_and_ill_when_it_has_not_twice() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let interval = Duration::from_millis(20);
        let check = Check { question: Question::Http("/".to_owned()), port, interval };
        let (tell, mut told) = mpsc::unbounded_channel();
        tokio::spawn(check.follow(move |well| {
            let _ = tell.send(well);
        }));
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            }
        });
        while told.recv().await != Some(true) {}
        serving.abort();
        let _ = serving.await;
        // Whatever was under way; then it is asked again, and ill.
        while told.recv().await == Some(true) {}
        assert_eq!(told.recv().await, Some(false));
    }
}
