//! R17: streams that are no good text. What a standard reader passes over disturbs nothing; what it
//! cannot pass over restarts the stream, and the flags of before stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use flagstaff_sdk::{Client, Config, DataSourceErrorKind};
use flagstaff_testkit::{eventually, flag};
use serde_json::json;

use super::raw_service::{RawService, STREAM_HEAD, send};
use super::{last_error, patch, put, value, wait_for_value};
use crate::support::{KEY, started};

fn client_of(service: &RawService) -> Client {
    let config = Config::new(KEY)
        .base_uri(service.url())
        .initial_reconnect_delay(Duration::from_millis(5))
        .send_events(false)
        .diagnostic_opt_out(true);
    started(config)
}

/// Nothing more comes, and the connection stays open as long as any test waits.
fn stay_open() {
    sleep(Duration::from_secs(300));
}

/// After these pieces the same stream still brings changes.
fn survives(what: &str, pieces: Vec<Vec<u8>>) {
    let service = RawService::start(move |_, connection| {
        send(connection, STREAM_HEAD);
        send(connection, &put([flag("f").serving("old")]));
        for piece in &pieces {
            send(connection, piece);
        }
        send(connection, &patch(flag("f").version(9).serving("new")));
        stay_open();
    });
    let client = client_of(&service);
    eventually(&format!("the stream went on after {what}"), || (value(&client, "f") == "new").then_some(()));
    assert_eq!(service.connections(), 1, "{what}");
    assert_eq!(last_error(&client), None, "{what}");
}

/// After these pieces the stream is opened again, and until it brings something the flags are the old.
fn restarts(what: &str, pieces: Vec<Vec<u8>>, kind: DataSourceErrorKind) {
    let old_flags_seen = Arc::new(AtomicBool::new(false));
    let may_go_on = old_flags_seen.clone();
    let service = RawService::start(move |number, connection| {
        send(connection, STREAM_HEAD);
        if number == 0 {
            send(connection, &put([flag("f").serving("old")]));
            for piece in &pieces {
                send(connection, piece);
            }
            if kind == DataSourceErrorKind::NetworkError {
                return;
            }
        } else {
            while !may_go_on.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(1));
            }
            send(connection, &put([flag("f").version(3).serving("second")]));
        }
        stay_open();
    });
    let client = client_of(&service);
    eventually(&format!("the stream was opened again after {what}"), || {
        (service.connections() == 2).then_some(())
    });
    assert_eq!(value(&client, "f"), "old", "{what}");
    assert_eq!(last_error(&client), Some(kind), "{what}");
    old_flags_seen.store(true, Ordering::SeqCst);
    wait_for_value(&client, "f", "second");
}

fn one(bytes: impl AsRef<[u8]>) -> Vec<Vec<u8>> {
    vec![bytes.as_ref().to_vec()]
}

#[test]
fn what_is_no_message_of_ours_is_passed_over() {
    survives("an unknown event", one("event: new-thing\ndata: junk\n\n"));
    survives("an event without data", one("event: put\n\nevent: patch\nid: 3\n\n"));
    survives("unknown fields", one("nothing\n:\nx: y\ndatas: {\n\n"));
    survives("a path that is not known", one("event: patch\ndata: {\"path\":\"/x\",\"data\":1}\n\n"));
    survives("times that are none", one("retry: 99999999999999999999999\nretry: -1\nretry: 1e3\nretry\n\n"));
    survives("blank lines", one("\n\r\n\r\n\n\r".repeat(100)));
}

#[test]
fn bytes_that_are_no_text_disturb_nothing_where_nothing_is_read_of_them() {
    survives("no UTF-8 in a comment", one(b": \xff\xfe\xc3\x28\n\n"));
    survives("no UTF-8 in an unknown event", one(b"event: \xff\ndata: \xc3\x28\n\n"));
    survives("no UTF-8 in an id", one(b"id: \xff\xfe\n\n"));
    survives("NUL in comments, names and ids", one(b":\0\0\n\0: x\nid: a\0b\nevent: pu\0t\ndata: 1\n\n"));
    survives("a byte order mark in the middle", one("\u{feff}event: put\ndata: {\n\n"));
}

#[test]
fn bytes_that_are_no_text_in_a_message_restart_the_stream() {
    let wrong = DataSourceErrorKind::InvalidData;
    restarts(
        "no UTF-8 in a patch",
        one(b"event: patch\ndata: {\"path\":\"/flags/f\xff\",\"data\":{}}\n\n"),
        wrong,
    );
    restarts("half a character", one(b"event: put\ndata: {\"data\":{\"flags\":{\"\xc3\":{}}}}\n\n"), wrong);
    restarts(
        "NUL in a message",
        one(b"event: patch\ndata: {\"path\":\"/flags/f\0\",\"data\":{}}\n\n"),
        wrong,
    );
    restarts(
        "no UTF-8 in what nobody knows",
        one(b"event: put\ndata: {\"data\":{\"x\":\"\xff\"}}\n\n"),
        wrong,
    );
    restarts("a put of nothing", one("event: put\ndata\n\n"), wrong);
}

#[test]
fn a_stream_that_ends_in_mid_event_changes_nothing() {
    let ended = DataSourceErrorKind::NetworkError;
    let whole = patch(flag("f").version(2).serving("half"));
    for length in [1, 12, whole.len() / 2, whole.len() - 2, whole.len() - 1] {
        restarts("the end in mid-event", one(&whole[..length]), ended);
    }
}

#[test]
fn lines_may_end_in_three_ways_and_packets_anywhere() {
    let message = String::from_utf8(patch(flag("f").version(2).serving("middle"))).unwrap();
    for line_end in ["\n", "\r", "\r\n"] {
        let message = message.replace('\n', line_end);
        let bytes = message.bytes().map(|byte| vec![byte]).collect();
        survives(&format!("{line_end:?}, byte by byte"), bytes);
        survives(&format!("{line_end:?}, at once"), one(&message));
    }
    let joined = "event:patch\ndata:{\"path\":\ndata: \"/flags/g\",\"data\"\ndata::{\"version\":1}}\n\n";
    survives("a message on several lines", one(joined));
}

#[test]
fn a_byte_order_mark_may_begin_a_stream() {
    let service = RawService::start(|_, connection| {
        send(connection, STREAM_HEAD);
        for byte in "\u{feff}".bytes() {
            send(connection, &[byte]);
        }
        send(connection, &put([flag("f").serving("there")]));
        stay_open();
    });
    let client = client_of(&service);
    assert_eq!(value(&client, "f"), "there");
}

#[test]
fn lines_of_ten_megabytes_are_lines_like_others() {
    let long = "x".repeat(10 << 20);
    survives("a long comment", one(format!(":{long}\n\n")));
    survives("a long unknown event", one(format!("event: {long}\ndata: {long}\n\n")));
    survives("a long id", one(format!("id: {long}\n\n")));
    survives("a long patch", one(patch(flag("long").with("variations", json!([long])))));
    restarts(
        "a long line that is no JSON",
        one(format!("event: patch\ndata: {long}\n\n")),
        DataSourceErrorKind::InvalidData,
    );
}
