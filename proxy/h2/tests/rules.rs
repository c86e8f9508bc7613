//! What a peer may not do, and what it costs: each rule of RFC 9113 with the bytes that break it.

#![allow(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

mod common;

use common::{End, frame, raw::*};
use weft_h2::{PREFACE, Role, Settings, Violation};

#[test]
fn a_connection_begins_with_preface_and_settings() {
    let fresh = || End::new(Role::Server, Settings::default());
    connection_error(fresh(), b"PRI * HTTP/1.1", Violation::Preface);
    connection_error(fresh(), &[PREFACE, &frame(PING, 0, 0, &[0; 8])].concat(), Violation::Preface);
    connection_error(
        fresh(),
        &[PREFACE, &frame(SETTINGS, ACK, 0, &[])].concat(),
        Violation::Preface,
    );
}

#[test]
fn frames_have_their_sizes() {
    for (kind, stream, length) in [
        (SETTINGS, 0, 5),
        (PING, 0, 7),
        (PING, 0, 9),
        (GOAWAY, 0, 7),
        (WINDOW_UPDATE, 0, 3),
        (WINDOW_UPDATE, 1, 5),
        (RST_STREAM, 1, 3),
    ] {
        let bytes = [post(1), frame(kind, 0, stream, &vec![0; length])].concat();
        connection_error(server(), &bytes, Violation::FrameSize);
    }
    connection_error(server(), &frame(SETTINGS, ACK, 0, &[0; 6]), Violation::FrameSize);
    stream_error(
        server(),
        &[post(1), frame(PRIORITY, 0, 1, &[0; 4])].concat(),
        Violation::FrameSize,
    );
    connection_error(server(), &[0, 0x40, 1, DATA, 0, 0, 0, 0, 1], Violation::FrameTooLarge);
}

#[test]
fn frames_are_where_they_belong() {
    for kind in [DATA, HEADERS, RST_STREAM, PRIORITY] {
        connection_error(server(), &frame(kind, 0, 0, &[0; 5]), Violation::WrongStream);
    }
    for (kind, length) in [(SETTINGS, 0), (PING, 8), (GOAWAY, 8)] {
        let bytes = [post(1), frame(kind, 0, 1, &vec![0; length])].concat();
        connection_error(server(), &bytes, Violation::WrongStream);
    }
    for (kind, payload) in
        [(DATA, &[0; 5][..]), (RST_STREAM, &[0; 4]), (WINDOW_UPDATE, &[0, 0, 0, 1])]
    {
        connection_error(server(), &frame(kind, 0, 7, payload), Violation::IdleStream);
    }
    connection_error(server(), &frame(PUSH_PROMISE, 0, 1, &[0; 8]), Violation::Push);
    connection_error(client(), &frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2]), Violation::Push);
    connection_error(
        client(),
        &frame(HEADERS, 4, 2, &block(&[(":status", "200")])),
        Violation::IdleStream,
    );
    connection_error(
        client(),
        &frame(HEADERS, 4, 3, &block(&[(":status", "200")])),
        Violation::IdleStream,
    );
}

#[test]
fn streams_are_opened_in_order_and_by_clients() {
    connection_error(server(), &get(2), Violation::StreamId);
    connection_error(server(), &[get(5), get(3)].concat(), Violation::ClosedStream);
    connection_error(server(), &[get(1), get(1)].concat(), Violation::ClosedStream);
}

#[test]
fn nothing_follows_the_end() {
    // The answer is held up, so that the stream is half closed.
    let settings = Settings { max_output: 0, ..Settings::default() };
    let held = || {
        let mut end = server_with(settings.clone());
        end.read(&post(1));
        end.read(&frame(DATA, END_STREAM, 1, b"x"));
        end
    };
    stream_error(held(), &frame(DATA, 0, 1, b"x"), Violation::ClosedStream);
    stream_error(held(), &frame(HEADERS, 5, 1, &request(&[])), Violation::ClosedStream);
    connection_error(
        server(),
        &[get(1), frame(DATA, 0, 1, b"x")].concat(),
        Violation::ClosedStream,
    );
}

#[test]
fn padding_fits_its_frame() {
    connection_error(
        server(),
        &[post(1), frame(DATA, PADDED, 1, b"\x02a")].concat(),
        Violation::Padding,
    );
    connection_error(
        server(),
        &[post(1), frame(DATA, PADDED, 1, b"")].concat(),
        Violation::FrameSize,
    );
    connection_error(
        server(),
        &frame(HEADERS, PADDED | END_HEADERS, 1, b"\x09abc"),
        Violation::Padding,
    );
    let mut padded = server();
    padded.read(&post(1));
    padded.read(&frame(DATA, PADDED | END_STREAM, 1, b"\x03ab\0\0\0"));
    assert_eq!(padded.received.values().next().unwrap().body, b"ab");
}

#[test]
fn header_blocks_are_not_interrupted() {
    let begun = frame(HEADERS, END_STREAM, 1, &request(&[])[..5]);
    let rest = &request(&[])[5..];
    for other in
        [frame(PING, 0, 0, &[0; 8]), frame(CONTINUATION, 4, 3, rest), frame(DATA, 0, 1, b"")]
    {
        connection_error(server(), &[begun.clone(), other].concat(), Violation::Continuation);
    }
    connection_error(server(), &frame(CONTINUATION, 4, 1, rest), Violation::Continuation);
    let mut whole = server();
    whole.read(
        &[begun, frame(CONTINUATION, 0, 1, &rest[..3]), frame(CONTINUATION, 4, 1, &rest[3..])]
            .concat(),
    );
    assert!(whole.received.values().next().unwrap().request.is_some());
}

#[test]
fn settings_and_windows_have_ranges() {
    let setting = |id: u16, value: u32| {
        frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
    };
    connection_error(server(), &setting(2, 2), Violation::Setting);
    connection_error(client(), &setting(2, 1), Violation::Setting);
    connection_error(server(), &setting(4, 1 << 31), Violation::WindowSetting);
    connection_error(server(), &setting(5, 100), Violation::Setting);
    let grow = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    connection_error(server(), &grow(0, 0), Violation::ZeroIncrement);
    connection_error(server(), &grow(0, (1 << 31) - 1), Violation::WindowOverflow);
    stream_error(server(), &[post(1), grow(1, 0)].concat(), Violation::ZeroIncrement);
    stream_error(server(), &[post(1), grow(1, (1 << 31) - 1)].concat(), Violation::WindowOverflow);
    let widened = [post(1), grow(1, 1 << 30), setting(4, (1 << 31) - 1)].concat();
    connection_error(server(), &widened, Violation::WindowOverflow);
}

#[test]
fn windows_are_held() {
    let small = Settings { initial_connection_window_size: 65_535, ..Settings::default() };
    let data: Vec<_> = (0..5).flat_map(|_| frame(DATA, 0, 1, &[0; 16_384])).collect();
    connection_error(
        server_with(small),
        &[post(1), data.clone()].concat(),
        Violation::WindowExceeded,
    );
    let small = Settings { initial_stream_window_size: 65_535, ..Settings::default() };
    stream_error(server_with(small), &[post(1), data].concat(), Violation::WindowExceeded);
}

#[test]
fn malformed_requests_cost_their_stream() {
    let head =
        |fields: &[(&str, &str)]| frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields));
    let without = |name| GET.into_iter().filter(|it| it.0 != name).collect::<Vec<_>>();
    let with = |name, value| [without(name), vec![(name, value)]].concat();
    for (fields, violation) in [
        (without(":method"), Violation::PseudoField),
        (without(":scheme"), Violation::PseudoField),
        (without(":path"), Violation::PseudoField),
        (with(":path", ""), Violation::PseudoValue),
        (with(":path", "relative"), Violation::PseudoValue),
        (with(":path", "*"), Violation::PseudoValue),
        (with(":method", "G T"), Violation::PseudoValue),
        (with(":authority", "a b"), Violation::PseudoValue),
        (with(":method", "CONNECT"), Violation::PseudoField),
        ([&GET[..], &[(":path", "/")]].concat(), Violation::PseudoField),
        ([&GET[..], &[(":status", "200")]].concat(), Violation::PseudoField),
        ([&GET[..], &[(":unknown", "1")]].concat(), Violation::PseudoField),
        ([&GET[..], &[(":protocol", "websocket")]].concat(), Violation::PseudoField),
        ([&[("x-a", "1")], &GET[..]].concat(), Violation::PseudoField),
        ([&GET[..], &[("X-Upper", "1")]].concat(), Violation::FieldName),
        ([&GET[..], &[("", "1")]].concat(), Violation::FieldName),
        ([&GET[..], &[("x y", "1")]].concat(), Violation::FieldName),
        ([&GET[..], &[("x", "a\nb")]].concat(), Violation::FieldValue),
        ([&GET[..], &[("connection", "close")]].concat(), Violation::ConnectionField),
        ([&GET[..], &[("transfer-encoding", "chunked")]].concat(), Violation::ConnectionField),
        ([&GET[..], &[("upgrade", "x")]].concat(), Violation::ConnectionField),
        ([&GET[..], &[("keep-alive", "x")]].concat(), Violation::ConnectionField),
        ([&GET[..], &[("proxy-connection", "x")]].concat(), Violation::ConnectionField),
        ([&GET[..], &[("te", "gzip")]].concat(), Violation::ConnectionField),
        ([&GET[..], &[("content-length", "1")]].concat(), Violation::ContentLength),
        ([&GET[..], &[("content-length", "-1")]].concat(), Violation::ContentLength),
        ([&GET[..], &[("content-length", "+1")]].concat(), Violation::ContentLength),
    ] {
        let mut end = server();
        end.read(&head(&fields));
        assert_eq!(end.refused, [violation], "{fields:?}");
        stream_error(server(), &head(&fields), violation);
    }
    let mut fine = server();
    let options = [with(":path", "*"), vec![("te", "trailers")]].concat();
    let options: Vec<_> = options
        .into_iter()
        .map(|(name, value)| (name, if name == ":method" { "OPTIONS" } else { value }))
        .collect();
    fine.read(&head(&options));
    fine.read(&frame(HEADERS, 5, 3, &block(&[(":method", "CONNECT"), (":authority", "a:1")])));
    assert_eq!(fine.received.len(), 2);
}

#[test]
fn extended_connect_is_taken_where_it_is_allowed() {
    let settings = Settings { allow_connect: true, ..Settings::default() };
    let mut end = server_with(settings);
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/chat"),
        (":authority", "a"),
    ];
    end.read(&frame(HEADERS, END_HEADERS, 1, &block(&fields)));
    let request = end.received.values().next().unwrap().request.as_ref().unwrap();
    let protocol = request.extensions().get::<weft_h2::Protocol>().unwrap();
    assert_eq!(protocol.0, "websocket");
    assert_eq!(request.uri().path(), "/chat");
}

#[test]
fn bodies_are_as_long_as_announced() {
    let post = |length| frame(HEADERS, END_HEADERS, 1, &request(&[("content-length", length)]));
    stream_error(
        server(),
        &[post("3"), frame(DATA, 0, 1, b"four")].concat(),
        Violation::ContentLength,
    );
    stream_error(
        server(),
        &[post("3"), frame(DATA, 1, 1, b"tw")].concat(),
        Violation::ContentLength,
    );
    let trailers = frame(HEADERS, 5, 1, &block(&[("x-end", "1")]));
    stream_error(server(), &[post("3"), trailers].concat(), Violation::ContentLength);
    let mut fine = server();
    fine.read(&[post("3"), frame(DATA, 1, 1, b"abc")].concat());
    assert!(fine.received.values().next().unwrap().ended);
}

#[test]
fn trailers_end_the_message_and_have_no_pseudo_fields() {
    let plain = frame(HEADERS, END_HEADERS, 1, &block(&[("x-end", "1")]));
    stream_error(server(), &[post(1), plain].concat(), Violation::MessageOrder);
    let pseudo = frame(HEADERS, 5, 1, &block(&[(":path", "/")]));
    stream_error(server(), &[post(1), pseudo].concat(), Violation::PseudoField);
}

#[test]
fn responses_are_held_to_their_order() {
    let head = |status, flags| frame(HEADERS, flags, 1, &block(&[(":status", status)]));
    stream_error(client(), &frame(DATA, 0, 1, b"early"), Violation::MessageOrder);
    stream_error(client(), &head("100", 5), Violation::MessageOrder);
    stream_error(client(), &head("101", 4), Violation::MessageOrder);
    stream_error(client(), &frame(HEADERS, 4, 1, &block(&[("x", "1")])), Violation::PseudoField);
    stream_error(client(), &head("20", 4), Violation::PseudoValue);
    let many: Vec<_> = (0..17).flat_map(|_| head("103", 4)).collect();
    stream_error(client(), &many, Violation::InformationalFlood);
    let mut fine = client();
    let not_modified = block(&[(":status", "304"), ("content-length", "99")]);
    fine.read(&frame(HEADERS, 5, 1, &not_modified));
    assert!(fine.received.values().next().unwrap().ended);
}

#[test]
fn streams_do_not_depend_on_themselves() {
    let own = [&1u32.to_be_bytes()[..], &[16]].concat();
    stream_error(
        server(),
        &[post(1), frame(PRIORITY, 0, 1, &own)].concat(),
        Violation::SelfDependency,
    );
    let head = [&own[..], &request(&[])].concat();
    let head = frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, &head);
    connection_error(server(), &head, Violation::SelfDependency);
}

#[test]
fn compression_errors_cost_the_connection() {
    connection_error(server(), &frame(HEADERS, 5, 1, &[0xff, 0xff, 0xff]), Violation::Compression);
}
