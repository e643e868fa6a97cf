//! One connection to one broker: a request, then its answer.
//!
//! A connection whose request was given up half-way is of no use any more, because its answer may still come: whoever
//! holds one takes it out of its place for the time of a call and puts it back afterwards.

use std::collections::HashMap;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::KafkaError;
use crate::call::Call;
use crate::error::WAITING;
use crate::security::{sasl, tls};

/// A broker that does not answer for this long is as good as gone.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long connecting may take, TLS and login included.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// An answer larger than this is no answer of Kafka.
const ANSWER_BYTES_MAX: usize = 512 << 20;

/// What a connection is opened with.
#[derive(Clone)]
pub(crate) struct Security {
    pub(crate) tls: Option<TlsConnector>,
    pub(crate) sasl: Option<flowline_model::KafkaSasl>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// See the module.
pub(crate) struct Connection {
    broker: String,
    client_id: StrBytes,
    stream: Box<dyn Stream>,
    correlation_id: i32,
    /// The versions that the broker knows of each request.
    versions: HashMap<i16, (i16, i16)>,
}

impl Connection {
    /// Connects, begins TLS, and logs in.
    pub(crate) async fn open(broker: &str, client_id: &str, security: &Security) -> Result<Self, KafkaError> {
        let opened = timeout(CONNECT_PATIENCE, Self::open_patiently(broker, client_id, security)).await;
        opened.unwrap_or_else(|_| {
            Err(failed(broker, "connecting", format!("no answer within {CONNECT_PATIENCE:?}")))
        })
    }

    async fn open_patiently(broker: &str, client_id: &str, security: &Security) -> Result<Self, KafkaError> {
        let connecting = |reason: String| failed(broker, "connecting", reason);
        let stream = TcpStream::connect(broker).await.map_err(|error| connecting(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| connecting(error.to_string()))?;
        let stream: Box<dyn Stream> = match &security.tls {
            None => Box::new(stream),
            Some(connector) => {
                let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let begun = tls::begin(connector, host, stream).await;
                Box::new(begun.map_err(|reason| failed(broker, "beginning TLS", reason))?)
            }
        };
        let mut connection = Self {
            broker: broker.to_owned(),
            client_id: StrBytes::from_string(client_id.to_owned()),
            stream,
            correlation_id: 0,
            versions: HashMap::from([(ApiVersionsRequest::KEY as i16, (0, 0))]),
        };
        let answer = connection.call(&ApiVersionsRequest::default()).await?;
        crate::error::check(answer.error_code, || format!("to say what {broker} knows"))?;
        let ranges = answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        connection.versions = ranges.collect();
        if let Some(settings) = &security.sasl {
            sasl::login(&mut connection, settings).await?;
        }
        Ok(connection)
    }

    /// Host and port.
    pub(crate) fn broker(&self) -> &str {
        &self.broker
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call<Q: Call>(&mut self, request: &Q) -> Result<Q::Answer, KafkaError> {
        self.call_within(PATIENCE, Q::VERSION_MAX, request).await
    }

    /// Sends a request in no newer version than this one and waits for its answer, no longer than `patience`. After a
    /// failure the connection must not be used again.
    pub(crate) async fn call_within<Q: Call>(
        &mut self,
        patience: Duration,
        version_max: i16,
        request: &Q,
    ) -> Result<Q::Answer, KafkaError> {
        let version = self.version::<Q>(version_max)?;
        let sent = self.encode(request, version)?;
        let answered = timeout(patience, self.exchange(&sent)).await;
        let answer = match answered {
            Ok(answer) => answer.map_err(|error| failed(&self.broker, WAITING, error.to_string())),
            Err(_) => Err(failed(&self.broker, WAITING, format!("none came within {patience:?}"))),
        };
        self.decode::<Q>(answer?, version)
    }

    /// The newest version of a request that both sides know, no newer than this one.
    pub(crate) fn version<Q: Call>(&self, version_max: i16) -> Result<i16, KafkaError> {
        let known = self.versions.get(&(Q::KEY as i16)).copied();
        let version = known.and_then(|(oldest, newest)| {
            let version = newest.min(version_max).min(Q::VERSION_MAX).min(Q::VERSIONS.max);
            (version >= oldest.max(Q::VERSIONS.min)).then_some(version)
        });
        version.ok_or_else(|| KafkaError::Version {
            broker: self.broker.clone(),
            request: format!("{:?}", Q::KEY),
        })
    }

    fn encode<Q: Call>(&mut self, request: &Q, version: i16) -> Result<BytesMut, KafkaError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(Q::KEY as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(self.client_id.clone()));
        let mut buffer = BytesMut::new();
        buffer.put_u32(0);
        let encoded = header
            .encode(&mut buffer, Q::header_version(version))
            .and_then(|()| request.encode(&mut buffer, version));
        encoded.map_err(|error| KafkaError::Settings {
            reason: format!("a request {:?} of version {version} cannot be written: {error}", Q::KEY),
        })?;
        let bytes = (buffer.len() - 4) as u32;
        buffer[..4].copy_from_slice(&bytes.to_be_bytes());
        Ok(buffer)
    }

    async fn exchange(&mut self, sent: &[u8]) -> std::io::Result<Bytes> {
        self.stream.write_all(sent).await?;
        self.stream.flush().await?;
        let bytes = self.stream.read_u32().await? as usize;
        if bytes > ANSWER_BYTES_MAX {
            return Err(std::io::Error::other(format!("an answer of {bytes} bytes is announced")));
        }
        let mut answer = BytesMut::zeroed(bytes);
        self.stream.read_exact(&mut answer).await?;
        Ok(answer.freeze())
    }

    fn decode<Q: Call>(&self, mut answer: Bytes, version: i16) -> Result<Q::Answer, KafkaError> {
        let malformed = |reason: String| KafkaError::Malformed {
            broker: self.broker.clone(),
            request: format!("{:?}", Q::KEY),
            reason,
        };
        let header = ResponseHeader::decode(&mut answer, Q::Answer::header_version(version))
            .map_err(|error| malformed(error.to_string()))?;
        if header.correlation_id != self.correlation_id {
            return Err(malformed("it answers another request".to_owned()));
        }
        Q::Answer::decode(&mut answer, version).map_err(|error| malformed(error.to_string()))
    }
}

fn failed(broker: &str, action: &'static str, reason: String) -> KafkaError {
    KafkaError::Connection { broker: broker.to_owned(), action, reason }
}
