//! Redis, by as much of its protocol as is needed.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// What the server answers.
enum Reply {
    Nil,
    Text(String),
    Number(i64),
    List(Vec<Reply>),
}

pub(super) async fn clear(dsn: &str, prefix: &str) -> Result<(), String> {
    let keys = [key(prefix, "features"), key(prefix, "segments"), key(prefix, "$inited")];
    ask(dsn, &["DEL", &keys[0], &keys[1], &keys[2]]).await.map(|_| ())
}

pub(super) async fn write(dsn: &str, prefix: &str, kind: &str, item: &str, text: &str) -> Result<(), String> {
    ask(dsn, &["HSET", &key(prefix, kind), item, text]).await.map(|_| ())
}

pub(super) async fn mark(dsn: &str, prefix: &str) -> Result<(), String> {
    ask(dsn, &["SET", &key(prefix, "$inited"), ""]).await.map(|_| ())
}

pub(super) async fn is_marked(dsn: &str, prefix: &str) -> Result<bool, String> {
    Ok(matches!(ask(dsn, &["EXISTS", &key(prefix, "$inited")]).await?, Reply::Number(1)))
}

pub(super) async fn all(dsn: &str, prefix: &str, kind: &str) -> Result<Vec<(String, String)>, String> {
    let Reply::List(list) = ask(dsn, &["HGETALL", &key(prefix, kind)]).await? else {
        return Err("HGETALL was not answered with a list".to_owned());
    };
    let mut texts = list.into_iter().map(|reply| match reply {
        Reply::Text(text) => text,
        _ => String::new(),
    });
    let mut items = Vec::new();
    while let (Some(key), Some(text)) = (texts.next(), texts.next()) {
        items.push((key, text));
    }
    Ok(items)
}

fn key(prefix: &str, name: &str) -> String {
    format!("{prefix}:{name}")
}

async fn ask(dsn: &str, words: &[&str]) -> Result<Reply, String> {
    let failed = |error: std::io::Error| format!("Redis does not answer at {dsn}: {error}");
    let address = dsn.trim_start_matches("redis://").trim_end_matches('/');
    let socket = TcpStream::connect(address).await.map_err(failed)?;
    let mut socket = BufReader::new(socket);
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    socket.write_all(request.as_bytes()).await.map_err(failed)?;
    match read(&mut socket).await.map_err(failed)? {
        Ok(reply) => Ok(reply),
        Err(error) => Err(format!("Redis refused `{}`: {error}", words.join(" "))),
    }
}

/// The next reply, or what the server says is wrong.
async fn read(socket: &mut BufReader<TcpStream>) -> std::io::Result<Result<Reply, String>> {
    let mut line = String::new();
    socket.read_line(&mut line).await?;
    let line = line.trim_end();
    let (kind, rest) = line.split_at(line.len().min(1));
    let number = || rest.parse::<i64>().map_err(std::io::Error::other);
    Ok(Ok(match kind {
        "+" => Reply::Text(rest.to_owned()),
        "-" => return Ok(Err(rest.to_owned())),
        ":" => Reply::Number(number()?),
        "$" => match usize::try_from(number()?) {
            Ok(length) => {
                let mut text = vec![0; length + 2];
                socket.read_exact(&mut text).await?;
                text.truncate(length);
                Reply::Text(String::from_utf8(text).map_err(std::io::Error::other)?)
            }
            Err(_) => Reply::Nil,
        },
        "*" => {
            let mut list = Vec::new();
            for _ in 0..number()?.max(0) {
                match Box::pin(read(socket)).await? {
                    Ok(reply) => list.push(reply),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Reply::List(list)
        }
        _ => return Err(std::io::Error::other(format!("`{line}` is no reply"))),
    }))
}
