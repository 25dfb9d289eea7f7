//! The shapes of the requests that are served, field by field in the order of the wire.
//!
//! Source: the message definitions of Apache Kafka (`clients/src/main/resources/common/message/*Request.json`).

use super::shape::{Field, Kind, RequestShape, Tag, TagKind};

const LAST: i16 = i16::MAX;

const fn field(since: i16, kind: Kind) -> Field {
    Field { since, until: LAST, kind }
}

const fn until(since: i16, until: i16, kind: Kind) -> Field {
    Field { since, until, kind }
}

const fn shape(flexible_since: i16, fields: &'static [Field]) -> RequestShape {
    RequestShape { flexible_since, fields, tags: &[] }
}

const I8: Kind = Kind::Fixed(1);
const BOOL: Kind = Kind::Fixed(1);
const I16: Kind = Kind::Fixed(2);
const I32: Kind = Kind::Fixed(4);
const I64: Kind = Kind::Fixed(8);
const UUID: Kind = Kind::Fixed(16);

pub(super) const API_VERSIONS: RequestShape = shape(3, &[field(3, Kind::Text), field(3, Kind::Text)]);

pub(super) const SASL_HANDSHAKE: RequestShape = shape(LAST, &[field(0, Kind::Text)]);

pub(super) const METADATA: RequestShape = shape(
    9,
    &[
        field(0, Kind::List(&[field(10, UUID), field(0, Kind::Text)], &[])),
        field(4, BOOL),
        until(8, 10, BOOL),
        field(8, BOOL),
    ],
);

pub(super) const PRODUCE: RequestShape =
    shape(9, &[field(3, Kind::Text), field(0, I16), field(0, I32), field(0, Kind::List(PRODUCE_TOPIC, &[]))]);

const PRODUCE_TOPIC: &[Field] =
    &[until(0, 12, Kind::Text), field(13, UUID), field(0, Kind::List(&[field(0, I32), field(0, Kind::Blob)], &[]))];

pub(super) const FETCH: RequestShape = RequestShape {
    flexible_since: 12,
    fields: &[
        until(0, 14, I32),
        field(0, I32),
        field(0, I32),
        field(3, I32),
        field(4, I8),
        field(7, I32),
        field(7, I32),
        field(0, Kind::List(FETCH_TOPIC, &[])),
        field(7, Kind::List(FORGOTTEN_TOPIC, &[])),
        field(11, Kind::Text),
    ],
    tags: &[
        Tag { number: 0, since: 12, kind: TagKind::Value(Kind::Text) },
        Tag { number: 1, since: 15, kind: TagKind::Structure(&[field(15, I32), field(15, I64)]) },
    ],
};

const FETCH_TOPIC: &[Field] = &[
    until(0, 12, Kind::Text),
    field(13, UUID),
    field(0, Kind::List(FETCH_PARTITION, &[Tag { number: 0, since: 17, kind: TagKind::Value(UUID) }, FUTURE_TAG])),
];

/// Known to the decoder, and to no version that is served.
const FUTURE_TAG: Tag = Tag { number: 1, since: 18, kind: TagKind::Value(I64) };

const FETCH_PARTITION: &[Field] =
    &[field(0, I32), field(9, I32), field(0, I64), field(12, I32), field(5, I64), field(0, I32)];

const FORGOTTEN_TOPIC: &[Field] = &[until(0, 12, Kind::Text), field(13, UUID), field(0, Kind::FixedList(4))];

pub(super) const LIST_OFFSETS: RequestShape = shape(
    6,
    &[
        field(0, I32),
        field(2, I8),
        field(
            0,
            Kind::List(
                &[field(0, Kind::Text), field(0, Kind::List(&[field(0, I32), field(4, I32), field(0, I64)], &[]))],
                &[],
            ),
        ),
        field(10, I32),
    ],
);

pub(super) const CREATE_TOPICS: RequestShape =
    shape(5, &[field(0, Kind::List(NEW_TOPIC, &[])), field(0, I32), field(0, BOOL)]);

const NEW_TOPIC: &[Field] = &[
    field(0, Kind::Text),
    field(0, I32),
    field(0, I16),
    field(0, Kind::List(&[field(0, I32), field(0, Kind::FixedList(4))], &[])),
    field(0, Kind::List(&[field(0, Kind::Text), field(0, Kind::Text)], &[])),
];

pub(super) const DELETE_TOPICS: RequestShape = shape(
    4,
    &[field(6, Kind::List(&[field(6, Kind::Text), field(6, UUID)], &[])), until(0, 5, Kind::TextList), field(0, I32)],
);

pub(super) const CREATE_PARTITIONS: RequestShape =
    shape(2, &[field(0, Kind::List(GROWN_TOPIC, &[])), field(0, I32), field(0, BOOL)]);

const GROWN_TOPIC: &[Field] =
    &[field(0, Kind::Text), field(0, I32), field(0, Kind::List(&[field(0, Kind::FixedList(4))], &[]))];

pub(super) const DELETE_RECORDS: RequestShape = shape(
    2,
    &[
        field(0, Kind::List(&[field(0, Kind::Text), field(0, Kind::List(&[field(0, I32), field(0, I64)], &[]))], &[])),
        field(0, I32),
    ],
);

pub(super) const INIT_PRODUCER_ID: RequestShape =
    shape(2, &[field(0, Kind::Text), field(0, I32), field(3, I64), field(3, I16)]);

pub(super) const INCREMENTAL_ALTER_CONFIGS: RequestShape =
    shape(1, &[field(0, Kind::List(ALTERED_RESOURCE, &[])), field(0, BOOL)]);

const ALTERED_RESOURCE: &[Field] = &[
    field(0, I8),
    field(0, Kind::Text),
    field(0, Kind::List(&[field(0, Kind::Text), field(0, I8), field(0, Kind::Text)], &[])),
];

pub(super) const DESCRIBE_CLUSTER: RequestShape = shape(0, &[field(0, BOOL), field(1, I8), field(2, BOOL)]);

pub(super) const JOIN_GROUP: RequestShape = shape(
    6,
    &[
        field(0, Kind::Text),
        field(0, I32),
        field(1, I32),
        field(0, Kind::Text),
        field(5, Kind::Text),
        field(0, Kind::Text),
        field(0, Kind::List(&[field(0, Kind::Text), field(0, Kind::Blob)], &[])),
        field(8, Kind::Text),
    ],
);

pub(super) const SYNC_GROUP: RequestShape = shape(
    4,
    &[
        field(0, Kind::Text),
        field(0, I32),
        field(0, Kind::Text),
        field(3, Kind::Text),
        field(5, Kind::Text),
        field(5, Kind::Text),
        field(0, Kind::List(&[field(0, Kind::Text), field(0, Kind::Blob)], &[])),
    ],
);

pub(super) const HEARTBEAT: RequestShape =
    shape(4, &[field(0, Kind::Text), field(0, I32), field(0, Kind::Text), field(3, Kind::Text)]);

pub(super) const LEAVE_GROUP: RequestShape = shape(
    4,
    &[
        field(0, Kind::Text),
        until(0, 2, Kind::Text),
        field(3, Kind::List(&[field(3, Kind::Text), field(3, Kind::Text), field(5, Kind::Text)], &[])),
    ],
);

pub(super) const LIST_GROUPS: RequestShape = shape(3, &[field(4, Kind::TextList), field(5, Kind::TextList)]);

pub(super) const DESCRIBE_GROUPS: RequestShape = shape(5, &[field(0, Kind::TextList), field(3, BOOL)]);

pub(super) const DELETE_GROUPS: RequestShape = shape(2, &[field(0, Kind::TextList)]);

pub(super) const OFFSET_DELETE: RequestShape = shape(
    LAST,
    &[field(0, Kind::Text), field(0, Kind::List(&[field(0, Kind::Text), field(0, Kind::FixedList(4))], &[]))],
);

pub(super) const DESCRIBE_CONFIGS: RequestShape = shape(
    4,
    &[
        field(0, Kind::List(&[field(0, I8), field(0, Kind::Text), field(0, Kind::TextList)], &[])),
        field(0, BOOL),
        field(3, BOOL),
    ],
);

pub(super) const FIND_COORDINATOR: RequestShape =
    shape(3, &[until(0, 3, Kind::Text), field(1, I8), field(4, Kind::TextList)]);

pub(super) const OFFSET_COMMIT: RequestShape = shape(
    8,
    &[
        field(0, Kind::Text),
        field(0, I32),
        field(0, Kind::Text),
        field(7, Kind::Text),
        until(0, 4, I64),
        field(0, Kind::List(&[field(0, Kind::Text), field(0, Kind::List(COMMIT_PARTITION, &[]))], &[])),
    ],
);

const COMMIT_PARTITION: &[Field] = &[field(0, I32), field(0, I64), field(6, I32), field(0, Kind::Text)];

pub(super) const OFFSET_FETCH: RequestShape = shape(
    6,
    &[
        until(0, 7, Kind::Text),
        until(0, 7, Kind::List(OFFSET_FETCH_TOPIC, &[])),
        field(8, Kind::List(OFFSET_FETCH_GROUP, &[])),
        field(7, BOOL),
    ],
);

const OFFSET_FETCH_TOPIC: &[Field] = &[field(0, Kind::Text), field(0, Kind::FixedList(4))];

const OFFSET_FETCH_GROUP: &[Field] =
    &[field(8, Kind::Text), field(9, Kind::Text), field(9, I32), field(8, Kind::List(OFFSET_FETCH_TOPIC, &[]))];
