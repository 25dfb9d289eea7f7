//! One TCP connection to one broker: requests out, answers in, in order, every call under a time-out.
//!
//! After a time-out or anything unreadable the connection is of no use any more; its owner drops it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, VersionRange, encode_request_header_into_buffer,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{KafkaError, KafkaOptions};

/// An answer larger than this is not read: fetches are asked for less, with one batch of 16 MB on top.
const ANSWER_BYTES_MAX: usize = 160 << 20;

pub struct Connection {
    stream: TcpStream,
    address: String,
    client_id: StrBytes,
    correlation_id: i32,
    /// Versions that the broker speaks, by API key.
    versions: BTreeMap<i16, VersionRange>,
    out: BytesMut,
}

impl Connection {
    /// Connects and asks which versions the broker speaks.
    pub async fn open(address: &str, options: &KafkaOptions) -> Result<Self, KafkaError> {
        let unreachable = |reason: String| KafkaError::Unreachable { address: address.to_owned(), reason };
        let stream = tokio::time::timeout(options.dial_timeout, TcpStream::connect(address))
            .await
            .map_err(|_| unreachable(format!("no connection within {} ms", options.dial_timeout.as_millis())))?
            .map_err(|error| unreachable(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
        let mut connection = Self {
            stream,
            address: address.to_owned(),
            client_id: StrBytes::from_string(options.client_id.clone()),
            correlation_id: 0,
            versions: BTreeMap::new(),
            out: BytesMut::new(),
        };
        let answer = connection.call_version(&ApiVersionsRequest::default(), 0, options.request_timeout).await?;
        KafkaError::check("ApiVersions", answer.error_code)?;
        connection.versions = answer
            .api_keys
            .iter()
            .map(|api| (api.api_key, VersionRange { min: api.min_version, max: api.max_version }))
            .collect();
        Ok(connection)
    }

    /// The highest version of a request that both sides speak, at most `cap`.
    pub fn version_of<R: Request>(&self, cap: i16) -> Result<i16, KafkaError> {
        let ours = VersionRange { min: R::VERSIONS.min, max: R::VERSIONS.max.min(cap) };
        let shared =
            self.versions.get(&R::KEY).map(|theirs| ours.intersect(theirs)).filter(|shared| !shared.is_empty());
        shared
            .map(|shared| shared.max)
            .ok_or_else(|| KafkaError::Unsupported { address: self.address.clone(), request: name_of::<R>() })
    }

    /// Sends a request in a version of [`Connection::version_of`] and waits for its answer.
    pub async fn call_version<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<R::Response, KafkaError> {
        let answer = tokio::time::timeout(timeout, self.exchange(request, version)).await;
        answer.unwrap_or_else(|_| {
            Err(KafkaError::TimedOut {
                address: self.address.clone(),
                request: name_of::<R>(),
                timeout_ms: timeout.as_millis() as u64,
            })
        })
    }

    async fn exchange<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, KafkaError> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let malformed = |address: &str, reason: String| KafkaError::Malformed {
            address: address.to_owned(),
            request: name_of::<R>(),
            reason,
        };
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(self.client_id.clone()));
        self.out.clear();
        self.out.extend_from_slice(&[0; 4]);
        encode_request_header_into_buffer(&mut self.out, &header)
            .and_then(|()| request.encode(&mut self.out, version))
            .map_err(|error| malformed(&self.address, format!("it cannot be encoded: {error}")))?;
        let len = (self.out.len() - 4) as u32;
        self.out[..4].copy_from_slice(&len.to_be_bytes());
        self.stream.write_all(&self.out).await.map_err(|error| self.unreachable(&error))?;
        let mut answer = self.read_frame(name_of::<R>()).await?;
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))
            .map_err(|error| malformed(&self.address, error.to_string()))?;
        if header.correlation_id != self.correlation_id {
            return Err(malformed(&self.address, "it answers another request".to_owned()));
        }
        R::Response::decode(&mut answer, version).map_err(|error| malformed(&self.address, error.to_string()))
    }

    async fn read_frame(&mut self, request: &'static str) -> Result<Bytes, KafkaError> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).await.map_err(|error| self.unreachable(&error))?;
        let claimed = i32::from_be_bytes(head);
        let len = usize::try_from(claimed).ok().filter(|len| *len <= ANSWER_BYTES_MAX).ok_or_else(|| {
            let reason = format!("it claims {claimed} bytes");
            KafkaError::Malformed { address: self.address.clone(), request, reason }
        })?;
        // Grown as bytes arrive: what is only claimed is not allocated.
        let mut frame = BytesMut::with_capacity(len.min(1 << 20));
        while frame.len() < len {
            let missing = len - frame.len();
            if frame.capacity() == frame.len() {
                frame.reserve(missing.min(frame.len().max(64 << 10)));
            }
            let read = (&mut self.stream).take(missing as u64).read_buf(&mut frame).await;
            if read.map_err(|error| self.unreachable(&error))? == 0 {
                return Err(self.unreachable(&std::io::Error::from(std::io::ErrorKind::UnexpectedEof)));
            }
        }
        debug_assert_eq!(frame.remaining(), len);
        Ok(frame.freeze())
    }

    fn unreachable(&self, error: &std::io::Error) -> KafkaError {
        KafkaError::Unreachable { address: self.address.clone(), reason: error.to_string() }
    }
}

fn name_of<R: Request>() -> &'static str {
    match ApiKey::try_from(R::KEY) {
        Ok(ApiKey::ApiVersions) => "ApiVersions",
        Ok(ApiKey::Metadata) => "Metadata",
        Ok(ApiKey::Fetch) => "Fetch",
        Ok(ApiKey::ListOffsets) => "ListOffsets",
        Ok(ApiKey::OffsetCommit) => "OffsetCommit",
        Ok(ApiKey::OffsetFetch) => "OffsetFetch",
        Ok(ApiKey::FindCoordinator) => "FindCoordinator",
        Ok(ApiKey::CreateTopics) => "CreateTopics",
        Ok(ApiKey::CreatePartitions) => "CreatePartitions",
        Ok(ApiKey::DescribeConfigs) => "DescribeConfigs",
        Ok(ApiKey::ListGroups) => "ListGroups",
        Ok(ApiKey::DescribeGroups) => "DescribeGroups",
        Ok(ApiKey::ConsumerGroupDescribe) => "ConsumerGroupDescribe",
        Ok(ApiKey::DeleteGroups) => "DeleteGroups",
        Ok(ApiKey::OffsetDelete) => "OffsetDelete",
        _ => "a request",
    }
}
