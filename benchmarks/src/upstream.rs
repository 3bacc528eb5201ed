//! A stand-in service on loopback for both SDKs: it streams one `put` and takes events.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Starts it and returns its base URL. It lives as long as the process.
pub fn start(put: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let put = Arc::new(put);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let put = put.clone();
            std::thread::spawn(move || serve(connection, &put));
        }
    });
    url
}

/// Answers requests of one connection until the other side is gone.
fn serve(mut connection: TcpStream, put: &str) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).ok()? == 0 {
            return None;
        }
        let (mut length, mut chunked) = (0, false);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
        }
        if first.starts_with("GET /all") {
            let event = format!("event: put\ndata: {put}\n\n");
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            connection.write_all(head.as_bytes()).ok()?;
            // In pieces, as a service writes: some clients hand on a piece only when it is whole.
            for piece in event.as_bytes().chunks(64 << 10) {
                let framed = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
                connection.write_all(&framed).ok()?;
            }
            std::thread::sleep(std::time::Duration::from_secs(600));
            return None;
        }
        if chunked {
            skip_chunks(&mut reader)?;
        } else {
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        }
        connection.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}

fn skip_chunks(reader: &mut impl BufRead) -> Option<()> {
    loop {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let size = u64::from_str_radix(size.trim(), 16).ok()?;
        std::io::copy(&mut reader.by_ref().take(size + 2), &mut std::io::sink()).ok()?;
        if size == 0 {
            return Some(());
        }
    }
}

/// A `put` of `count` flags of about 1.4 kB each, one of them `flag`, which serves its fallthrough.
pub fn put_of(count: usize) -> String {
    let clause = |attribute: &str, values: serde_json::Value| {
        serde_json::json!({"contextKind": "user", "attribute": attribute, "op": "in", "values": values, "negate": false})
    };
    let flags: serde_json::Map<String, serde_json::Value> = (0..count)
        .map(|i| {
            let key = if i == 0 { "flag".to_owned() } else { format!("flag-{i:05}") };
            let keys: Vec<String> = (0..25).map(|k| format!("user-{i:05}-{k:03}")).collect();
            let rules = if i == 0 {
                serde_json::json!([])
            } else {
                serde_json::json!([
                    {"id": format!("rule-{i}"), "variation": 0, "trackEvents": false, "clauses": [clause("country", serde_json::json!(["NO", "SE", "DK"])), clause("plan", serde_json::json!(["pro"]))]},
                    {"id": format!("rule-{i}-b"), "trackEvents": false, "rollout": {"contextKind": "user", "variations": [{"variation": 0, "weight": 40000}, {"variation": 1, "weight": 60000}]},
                        "clauses": [clause("email", serde_json::json!([format!("someone-{i}@example.com")]))]}])
            };
            let flag = serde_json::json!({
                "key": key, "version": 1, "on": true, "salt": format!("{i:032x}"), "prerequisites": [], "contextTargets": [],
                "targets": if i == 0 { serde_json::json!([]) } else { serde_json::json!([{"variation": 0, "values": keys}]) },
                "rules": rules, "fallthrough": {"variation": 1}, "offVariation": 0, "variations": [false, true],
                "clientSide": false, "clientSideAvailability": {"usingEnvironmentId": false, "usingMobileKey": false},
                "trackEvents": false, "trackEventsFallthrough": false, "debugEventsUntilDate": null, "deleted": false
            });
            (key, flag)
        })
        .collect();
    serde_json::json!({"path": "/", "data": {"flags": flags, "segments": {}}}).to_string()
}
