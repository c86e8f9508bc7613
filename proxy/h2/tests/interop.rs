//! The machine against the crate `h2`, in both roles, over pipes in memory.

#![allow(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

mod common;

use bytes::Bytes;
use common::{End, map};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use weft_h2::{Role, Settings};

/// Runs our end over a pipe until `done`.
async fn run(end: &mut End, pipe: &mut DuplexStream, done: impl Fn(&End) -> bool) {
    let mut buffer = vec![0; 5_000];
    while !done(end) {
        while !end.unreleased.is_empty() {
            end.release();
        }
        end.pump();
        let out = end.write_all();
        if !out.is_empty() {
            pipe.write_all(&out).await.unwrap();
            continue;
        }
        let n = pipe.read(&mut buffer).await.unwrap();
        if n == 0 {
            return;
        }
        end.read(&buffer[..n]);
        assert_eq!(end.failed, None);
    }
    pipe.write_all(&end.write_all()).await.unwrap();
}

async fn read_body(body: &mut h2::RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut all = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        all.extend_from_slice(&piece);
    }
    (all, body.trailers().await.unwrap())
}

async fn send_body(mut stream: h2::SendStream<Bytes>, body: Vec<u8>, trailers: Option<HeaderMap>) {
    stream.send_data(body.into(), trailers.is_none()).unwrap();
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers).unwrap();
    }
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from(n % 253).unwrap()).collect()
}

#[tokio::test]
async fn our_server_answers_its_client() {
    let (theirs, mut ours) = duplex(64 * 1024);
    let server = async {
        let mut end = End::new(Role::Server, Settings::default());
        run(&mut end, &mut ours, |_| false).await;
        assert_eq!(end.machine.open_streams(), 0);
    };
    let client = async {
        let (mut sender, connection) = h2::client::handshake(theirs).await.unwrap();
        let connection = tokio::spawn(connection);
        for (length, trailers) in [(0, false), (5, true), (1_000_000, false), (300_000, true)] {
            sender = sender.ready().await.unwrap();
            let request =
                Request::post("http://echo.test/path").header("x-a", "1").body(()).unwrap();
            let (response, stream) = sender.send_request(request, false).unwrap();
            let trailers = trailers.then(|| map(&[("x-end", "1")]));
            send_body(stream, body(length), trailers.clone()).await;
            let mut response = response.await.unwrap();
            assert_eq!(response.headers()["x-a"], "1");
            let (echoed, end) = read_body(response.body_mut()).await;
            assert_eq!(echoed, body(length));
            assert_eq!(end, trailers);
        }
        drop(sender);
        connection.await.unwrap().unwrap();
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn our_client_is_answered_by_its_server() {
    let (theirs, mut ours) = duplex(64 * 1024);
    let server = async {
        let mut connection = h2::server::handshake(theirs).await.unwrap();
        while let Some(accepted) = connection.accept().await {
            let (mut request, mut respond) = accepted.unwrap();
            tokio::spawn(async move {
                let (body, trailers) = read_body(request.body_mut()).await;
                let mut response = Response::new(());
                *response.headers_mut() = request.headers().clone();
                let stream = respond.send_response(response, false).unwrap();
                send_body(stream, body, trailers).await;
            });
        }
    };
    let client = async {
        let mut end = End::new(Role::Client, Settings::default());
        let sizes = [(0, false), (5, true), (1_000_000, false), (300_000, true)];
        let keys: Vec<_> = sizes
            .iter()
            .map(|(length, trailers)| {
                end.request(body(*length).into(), &map(&[("x-a", "1")]), *trailers).unwrap()
            })
            .collect();
        run(&mut end, &mut ours, |end| {
            keys.iter().all(|key| end.received.get(key).is_some_and(|it| it.ended))
        })
        .await;
        for (key, (length, trailers)) in keys.iter().zip(sizes) {
            let received = &end.received[key];
            assert_eq!(received.response.as_ref().unwrap().headers()["x-a"], "1");
            assert_eq!(received.body, body(length));
            assert_eq!(received.trailers.is_some(), trailers);
        }
        end.machine.shut_down();
        ours.write_all(&end.write_all()).await.unwrap();
        drop(ours);
    };
    tokio::join!(server, client);
}
