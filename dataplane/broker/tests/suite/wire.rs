//! A client that sends what it is told, version by version, and decodes what comes back to the last byte.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, StrBytes};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use uuid::Uuid;

use crate::broker::Broker;

pub struct Wire {
    stream: TcpStream,
    correlation_id: i32,
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn name(topic: &str) -> TopicName {
    TopicName(text(topic))
}

impl Wire {
    pub fn connect(broker: &Broker) -> Self {
        let stream = TcpStream::connect(broker.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, correlation_id: 0 }
    }

    /// The versions of an API that the broker, the codec and the suite have in common.
    pub fn versions<R: Request>(&mut self) -> RangeInclusive<i16> {
        let answer = self.call(0, &ApiVersionsRequest::default());
        let ranges: HashMap<i16, (i16, i16)> =
            answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        let (min, max) = ranges[&R::KEY];
        // The codec's request and response may disagree on a version that is just coming.
        let codec_max = R::VERSIONS.max.min(R::Response::VERSIONS.max);
        min.max(R::VERSIONS.min)..=max.min(codec_max)
    }

    /// Sends a request and reads its answer.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request);
        self.receive::<R>(version)
    }

    /// The newest common version.
    pub fn call_newest<R: Request>(&mut self, request: &R) -> R::Response {
        let version = *self.versions::<R>().end();
        self.call(version, request)
    }

    pub fn send<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(text("suite")));
        let mut bytes = BytesMut::new();
        header.encode(&mut bytes, R::header_version(version)).unwrap();
        request.encode(&mut bytes, version).unwrap();
        self.send_frame(&bytes);
    }

    pub fn send_frame(&mut self, body: &[u8]) {
        self.send_raw(&(body.len() as i32).to_be_bytes());
        self.send_raw(body);
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        // A broker may have closed already; the answer tells.
        let _ = self.stream.write_all(bytes);
    }

    /// Reads the next answer, which must be the one to the request that is `behind` requests before the last.
    pub fn receive_behind<R: Request>(&mut self, version: i16, behind: i32) -> R::Response {
        let mut body = self.frame().expect("an answer");
        let header = ResponseHeader::decode(&mut body, R::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, self.correlation_id - behind);
        let response = R::Response::decode(&mut body, version).unwrap();
        assert_eq!(body.remaining(), 0, "API {} version {version}", R::KEY);
        response
    }

    pub fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        self.receive_behind::<R>(version, 0)
    }

    /// The next frame, or `None` where the broker closed the connection.
    pub fn frame(&mut self) -> Option<Bytes> {
        let mut len = [0; 4];
        match self.stream.read_exact(&mut len) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the broker neither answers nor closes")
            }
            Err(_) => return None,
        }
        let mut body = vec![0; i32::from_be_bytes(len) as usize];
        self.stream.read_exact(&mut body).unwrap();
        Some(body.into())
    }

    /// Makes a topic and waits until it can be used. Gives its id.
    pub fn create_topic(&mut self, topic: &str, partition_count: i32) -> Uuid {
        let new = CreatableTopic::default().with_name(name(topic)).with_num_partitions(partition_count);
        let request = CreateTopicsRequest::default().with_timeout_ms(10_000);
        let response = self.call_newest(&request.with_topics(vec![new.with_replication_factor(1)]));
        assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
        self.wait_for_leaders(topic, partition_count)
    }

    /// Waits until every partition of a topic has a leader that knows it. Gives the topic's id.
    pub fn wait_for_leaders(&mut self, topic: &str, partition_count: i32) -> Uuid {
        for _ in 0..100 {
            let wanted = metadata_request::MetadataRequestTopic::default().with_name(Some(name(topic)));
            let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
            let response = self.call_newest(&request.with_allow_auto_topic_creation(false));
            let found = &response.topics[0];
            let are_led = found.partitions.iter().all(|partition| partition.error_code == 0);
            let is_known = found.error_code == 0 && found.partitions.len() == partition_count as usize && are_led;
            // Apache Kafka tells of a leader before that leader knows.
            if is_known && (0..partition_count).all(|partition| self.is_led(topic, partition)) {
                return found.topic_id;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{topic} did not come up");
    }

    fn is_led(&mut self, topic: &str, partition: i32) -> bool {
        let wanted = list_offsets_request::ListOffsetsPartition::default();
        let wanted = wanted.with_partition_index(partition).with_timestamp(-1);
        let wanted =
            list_offsets_request::ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![wanted]);
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![wanted]);
        self.call(4, &request).topics[0].partitions[0].error_code == 0
    }

    /// Produces the records of one partition.
    pub fn produce(
        &mut self,
        version: i16,
        topic: (&str, Uuid),
        partition: i32,
        records: Bytes,
    ) -> PartitionProduceResponse {
        let response = self.call(version, &produce_request(version, topic, partition, records));
        response.responses[0].partition_responses[0].clone()
    }
}

/// A produce that waits for all replicas.
pub fn produce_request(version: i16, topic: (&str, Uuid), partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let data = TopicProduceData::default().with_partition_data(vec![data]);
    let data = if version >= 13 { data.with_topic_id(topic.1) } else { data.with_name(name(topic.0)) };
    ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![data])
}

/// One batch with a record for each timestamp.
pub fn batch(compression: Compression, timestamps: &[i64]) -> Bytes {
    encode_batch(compression, (-1, -1, 0), timestamps)
}

/// A batch of an idempotent producer: its id, its epoch, and the sequence of the first record.
pub fn sequenced(producer: (i64, i16, i32), timestamps: &[i64]) -> Bytes {
    encode_batch(Compression::None, producer, timestamps)
}

fn encode_batch(compression: Compression, producer: (i64, i16, i32), timestamps: &[i64]) -> Bytes {
    let (producer_id, producer_epoch, sequence) = producer;
    let record = |(offset, timestamp): (usize, &i64)| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id,
        producer_epoch,
        timestamp_type: TimestampType::Creation,
        offset: offset as i64,
        // The encoder begins a new batch where the sequence does.
        sequence: sequence + offset as i32,
        timestamp: *timestamp,
        key: Some(Bytes::from_static(b"key")),
        value: Some(vec![b'v'; 200].into()),
        headers: IndexMap::new(),
    };
    let records: Vec<Record> = timestamps.iter().enumerate().map(record).collect();
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, &records, &RecordEncodeOptions { version: 2, compression }).unwrap();
    bytes.freeze()
}

/// Milliseconds, near enough to now that a broker believes them.
pub fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}
