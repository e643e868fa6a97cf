//! Reading a request's body: bounded before and after decompression, given up when it stalls, and held against the
//! memory that all bodies may take together.

use std::io;
use std::time::Duration;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::Body;
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, BodyStream};
use std::sync::Arc;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::io::StreamReader;

use super::problem::Problem;

/// Bytes that one permit of the budget stands for.
const PERMIT_BYTES: u64 = 4096;
/// Zstandard's window in a content coding is at most 8 MB (RFC 9659), so that a small body cannot take much memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// The memory that all bodies under way may take together.
#[derive(Debug, Clone)]
pub(crate) struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let permits =
            usize::try_from(bytes.div_ceil(PERMIT_BYTES)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(permits)))
    }
}

/// What bounds a body.
#[derive(Debug, Clone)]
pub(crate) struct BodyLimits {
    /// Bytes, before and after decompression.
    pub bytes_max: u64,
    /// A body of which nothing arrives for so long is given up.
    pub idle_timeout: Duration,
    /// What all bodies take from.
    pub budget: BodyBudget,
}

/// A body in memory, decompressed. Its share of the budget is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ReceivedBody {
    /// The bytes; those of the connection's buffer where the body arrived in one piece.
    pub bytes: Bytes,
    _share: Share,
}

#[derive(Debug)]
struct Share {
    budget: BodyBudget,
    bytes: u64,
    permits: Option<OwnedSemaphorePermit>,
}

impl Share {
    fn new(budget: &BodyBudget) -> Self {
        Self { budget: budget.clone(), bytes: 0, permits: None }
    }

    /// Takes what `bytes` more need; never waits, since a body that waits for another's end may wait for itself.
    fn take(&mut self, bytes: u64) -> Result<(), Problem> {
        let before = self.bytes.div_ceil(PERMIT_BYTES);
        self.bytes += bytes;
        let wanted = u32::try_from(self.bytes.div_ceil(PERMIT_BYTES) - before).unwrap_or(u32::MAX);
        if wanted == 0 {
            return Ok(());
        }
        let permit = self.budget.0.clone().try_acquire_many_owned(wanted).map_err(|_| {
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "overloaded",
                "too many request bodies are held in memory",
            )
            .retry_after(1)
        })?;
        match &mut self.permits {
            Some(permits) => permits.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut codings = headers
            .get_all(header::CONTENT_ENCODING)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .map(|coding| coding.trim().to_ascii_lowercase())
            .filter(|coding| !coding.is_empty() && coding != "identity");
        let (first, second) = (codings.next(), codings.next());
        match (first.as_deref(), second) {
            (None, _) => Ok(Self::Identity),
            (Some("gzip" | "x-gzip"), None) => Ok(Self::Gzip),
            (Some("zstd"), None) => Ok(Self::Zstd),
            (Some(other), _) => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-content-encoding",
                format!("bodies encoded as `{other}` are not read, nor several encodings at once"),
            )
            .hint("send it as it is, or with `content-encoding: gzip` or `zstd`")
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"))),
        }
    }
}

/// Reads a body to its end and decompresses it on the way.
///
/// # Errors
/// 400 when the connection or the compression breaks off, 408 when it stalls, 413 over the limit, 415 for another
/// encoding, 429 when the budget is used up.
pub(crate) async fn read_body(
    headers: &HeaderMap,
    body: Body,
    limits: &BodyLimits,
) -> Result<ReceivedBody, Problem> {
    let coding = Coding::of(headers)?;
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > limits.bytes_max) {
        return Err(too_large(limits));
    }
    let mut share = Share::new(&limits.budget);
    let bytes = match coding {
        Coding::Identity => read_plain(body, declared, limits, &mut share).await?,
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(compressed(body, limits));
            decoder.multiple_members(true);
            read_decoded(decoder, limits, &mut share).await?
        }
        Coding::Zstd => {
            let parameters = [DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)];
            let mut decoder = ZstdDecoder::with_params(compressed(body, limits), &parameters);
            decoder.multiple_members(true);
            read_decoded(decoder, limits, &mut share).await?
        }
    };
    Ok(ReceivedBody { bytes, _share: share })
}

/// The body's frames in one piece; the only frame itself where there is one.
async fn read_plain(
    mut body: Body,
    declared: Option<u64>,
    limits: &BodyLimits,
    share: &mut Share,
) -> Result<Bytes, Problem> {
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    loop {
        let frame =
            tokio::time::timeout(limits.idle_timeout, body.frame()).await.map_err(|_| stalled(limits))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| broken_off(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        share.take(data.len() as u64)?;
        if share.bytes > limits.bytes_max {
            return Err(too_large(limits));
        }
        match &first {
            None => first = Some(data),
            Some(start) => {
                if rest.is_empty() {
                    // What is declared is only reserved, not touched: a lie costs the sender more than the node.
                    rest.reserve(
                        usize::try_from(declared.unwrap_or(0)).unwrap_or(0).max(start.len() + data.len()),
                    );
                    rest.extend_from_slice(start);
                }
                rest.extend_from_slice(&data);
            }
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
}

async fn read_decoded(
    mut decoder: impl AsyncRead + Unpin,
    limits: &BodyLimits,
    share: &mut Share,
) -> Result<Bytes, Problem> {
    const STEP: usize = 64 << 10;
    let mut bytes = BytesMut::new();
    loop {
        bytes.reserve(STEP);
        let read = decoder.read_buf(&mut bytes).await.map_err(|error| decoding_failed(&error, limits))?;
        if read == 0 {
            return Ok(bytes.freeze());
        }
        share.take(read as u64)?;
        if share.bytes > limits.bytes_max {
            return Err(too_large(limits));
        }
    }
}

/// The compressed bytes as a reader, itself bounded by the limit and the idle time.
fn compressed(body: Body, limits: &BodyLimits) -> impl AsyncBufRead + Unpin + use<> {
    let (bytes_max, idle_timeout) = (limits.bytes_max, limits.idle_timeout);
    let mut bytes = 0u64;
    let frames = TryStreamExt::map_err(BodyStream::new(body), io::Error::other);
    let data = frames.try_filter_map(|frame| async move { Ok(frame.into_data().ok()) });
    let bounded = tokio_stream::StreamExt::timeout(data, idle_timeout).map(move |item| match item {
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        Ok(Err(error)) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)),
        Ok(Ok(data)) => {
            bytes += Bytes::len(&data) as u64;
            if bytes > bytes_max { Err(io::Error::from(io::ErrorKind::FileTooLarge)) } else { Ok(data) }
        }
    });
    StreamReader::new(Box::pin(bounded))
}

fn decoding_failed(error: &io::Error, limits: &BodyLimits) -> Problem {
    match error.kind() {
        io::ErrorKind::TimedOut => stalled(limits),
        io::ErrorKind::FileTooLarge => too_large(limits),
        io::ErrorKind::ConnectionAborted => broken_off(error),
        _ => Problem::bad_request(format!("the body is not what its content-encoding says: {error}")),
    }
}

fn stalled(limits: &BodyLimits) -> Problem {
    let detail = format!("nothing of the body arrived for {:?}", limits.idle_timeout);
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body-stalled", detail)
        .header(header::CONNECTION, HeaderValue::from_static("close"))
}

fn broken_off(error: &dyn std::fmt::Display) -> Problem {
    Problem::bad_request(format!("the body broke off: {error}"))
}

fn too_large(limits: &BodyLimits) -> Problem {
    let detail = format!("a body has at most {} bytes, before and after decompression", limits.bytes_max);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
        .with("bytes_max", limits.bytes_max)
        .hint("send the records in smaller batches")
}
