//! Bodies of events: read within limits, then unpacked within limits.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::extract::broken_off;

/// The largest batch as it is sent, in bytes: 10,000 events, what an SDK holds at most, are a third of it.
pub const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// The largest batch after unpacking, in bytes.
pub const INFLATED_LIMIT: usize = 64 * 1024 * 1024;

/// Bodies up to this size are looked at on the spot; larger ones where they do not hold up others.
const SMALL: usize = 64 * 1024;

/// What all bodies that arrive, or wait to be stored, may hold together, in bytes.
const MOST_IN_MEMORY: usize = 512 * 1024 * 1024;
static IN_MEMORY: AtomicUsize = AtomicUsize::new(0);

/// How many large bodies are unpacked and checked at once; this bounds the memory they take.
static LARGE: Semaphore = Semaphore::const_new(4);

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Deflate,
}

/// How large a body may be, in bytes: as it is sent, and after unpacking.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) sent: usize,
    pub(super) unpacked: usize,
}

/// Reads a body, unpacks it and has `check` look at it; what is wrong with it is said in the answer. The
/// memory it takes counts as taken until the last copy of it is dropped: its sender may be gone long before.
pub(super) async fn receive<T: Send + 'static>(
    headers: &HeaderMap,
    body: Body,
    limits: Limits,
    check: fn(&[u8]) -> Result<T, ApiError>,
) -> Result<(Bytes, T), ApiError> {
    let packing = Packing::of(headers)?;
    let mut held = Held::default();
    let sent = read(headers, body, limits.sent, &mut held).await?;
    let look = move || {
        let plain = unpack(packing, sent, limits.unpacked)?;
        if packing != Packing::None {
            // Instead of what was sent.
            held = Held::default();
            held.grow(plain.len())?;
        }
        let checked = check(&plain)?;
        Ok((Bytes::from_owner(HeldBody { plain, _held: held }), checked))
    };
    // What is packed may be a thousand times larger inside.
    if packing == Packing::None && headers_say_small(headers) {
        return look();
    }
    let _permit = LARGE.acquire().await.map_err(ApiError::internal)?;
    tokio::task::spawn_blocking(look).await.map_err(ApiError::internal)?
}

impl Packing {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        // One that cannot be read is none that is known, and several are one after the other.
        let named = headers.get_all(header::CONTENT_ENCODING).iter();
        let named: Vec<_> = named.map(|encoding| String::from_utf8_lossy(encoding.as_bytes())).collect();
        match named.join(", ").trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::None),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            other => Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                format!(
                    "the content encoding `{}` is not known; send gzip, deflate or none",
                    other.escape_debug()
                ),
            )),
        }
    }
}

async fn read(headers: &HeaderMap, body: Body, limit: usize, held: &mut Held) -> Result<Bytes, ApiError> {
    if stated_length(headers).is_some_and(|length| length > limit) {
        return Err(ApiError::too_large(limit));
    }
    let mut chunks = body.into_data_stream();
    let mut collected = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| broken_off(&error))?;
        if collected.len() + chunk.len() > limit {
            return Err(ApiError::too_large(limit));
        }
        held.grow(chunk.len())?;
        collected.extend_from_slice(&chunk);
    }
    Ok(collected.freeze())
}

/// A body, and the memory that it takes.
struct HeldBody {
    plain: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        &self.plain
    }
}

/// What bodies hold of the memory for all of them; given back when dropped.
#[derive(Debug, Default)]
struct Held(usize);

impl Held {
    /// Holds so many bytes more.
    ///
    /// # Errors
    /// 503 if all of them together would hold too many.
    fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        if IN_MEMORY.fetch_add(bytes, Relaxed) + bytes > MOST_IN_MEMORY {
            IN_MEMORY.fetch_sub(bytes, Relaxed);
            let message = "more events arrive than can be looked at; send them again";
            return Err(ApiError::overloaded(message, Duration::from_secs(5)));
        }
        self.0 += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        IN_MEMORY.fetch_sub(self.0, Relaxed);
    }
}

fn stated_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn headers_say_small(headers: &HeaderMap) -> bool {
    stated_length(headers).is_some_and(|length| length <= SMALL)
}

/// Unpacks as far as `limit`: a bomb is noticed when that is reached, not after it went off.
fn unpack(packing: Packing, sent: Bytes, limit: usize) -> Result<Bytes, ApiError> {
    let unpacked = match packing {
        Packing::None => return Ok(sent),
        Packing::Gzip => read_up_to(limit, MultiGzDecoder::new(&sent[..])),
        Packing::Deflate => read_up_to(limit, ZlibDecoder::new(&sent[..])),
    };
    match unpacked {
        Ok(Some(plain)) => Ok(plain.into()),
        Ok(None) => Err(ApiError::too_large(limit)),
        Err(error) => Err(ApiError::bad_request(format!("the body cannot be unpacked: {error}"))),
    }
}

/// None if there is more than `limit`.
fn read_up_to(limit: usize, packed: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut plain = Vec::new();
    packed.take(limit as u64 + 1).read_to_end(&mut plain)?;
    Ok((plain.len() <= limit).then_some(plain))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(plain: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn body_is_unpacked_up_to_the_limit_and_not_beyond() {
        assert_eq!(unpack(Packing::Gzip, gzip(&[7; 1000]), 1000).unwrap().len(), 1000);
        let error = unpack(Packing::Gzip, gzip(&[7; 1001]), 1000).unwrap_err();
        assert_eq!((error.status(), error.code()), (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"));
    }

    #[test]
    fn several_gzip_members_are_one_body_with_one_limit() {
        let two = [gzip(b"[{}"), gzip(b"]")].concat();
        assert_eq!(&unpack(Packing::Gzip, two.into(), 100).unwrap()[..], b"[{}]");
        let many: Vec<u8> = std::iter::repeat_n(gzip(&[0; 100]), 20).flatten().collect();
        assert_eq!(
            unpack(Packing::Gzip, many.into(), 1000).unwrap_err().status(),
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }

    #[test]
    fn deflate_is_the_zlib_form() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"[]").unwrap();
        assert_eq!(&unpack(Packing::Deflate, encoder.finish().unwrap().into(), 10).unwrap()[..], b"[]");
    }

    #[test]
    fn damaged_compression_is_a_bad_request() {
        let whole = gzip(b"[{\"kind\":\"index\"}]");
        for damaged in [Bytes::from_static(b"[]"), whole.slice(..whole.len() - 4), Bytes::new()] {
            assert_eq!(unpack(Packing::Gzip, damaged, 1000).unwrap_err().status(), StatusCode::BAD_REQUEST);
        }
    }

    #[tokio::test]
    async fn a_body_takes_up_memory_for_as_long_as_anybody_has_it() {
        // So large that nothing else in this process comes near.
        const SIZE: usize = 8 * 1024 * 1024;
        let limits = Limits { sent: SIZE, unpacked: SIZE };
        let packed = HeaderMap::from_iter([(header::CONTENT_ENCODING, "gzip".parse().unwrap())]);
        for (headers, body) in [(HeaderMap::new(), vec![b' '; SIZE].into()), (packed, gzip(&[b' '; SIZE]))] {
            let (plain, ()) = receive(&headers, Body::from(body), limits, |_| Ok(())).await.unwrap();
            let queued = plain.clone();
            drop(plain);
            assert!((SIZE..2 * SIZE).contains(&IN_MEMORY.load(Relaxed)), "{IN_MEMORY:?}");
            drop(queued);
            assert!(IN_MEMORY.load(Relaxed) < SIZE, "{IN_MEMORY:?}");
        }
    }

    #[test]
    fn packing_is_read_from_the_header() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, value.parse().unwrap());
            Packing::of(&headers)
        };
        assert_eq!(Packing::of(&HeaderMap::new()).unwrap(), Packing::None);
        assert_eq!(of("GZIP").unwrap(), Packing::Gzip);
        assert_eq!(of("identity").unwrap(), Packing::None);
        assert_eq!(of("br").unwrap_err().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(of("gzip, gzip").unwrap_err().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}
