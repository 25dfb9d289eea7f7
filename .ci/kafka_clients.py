"""Checks of a Kafka-protocol broker by foreign clients: librdkafka through confluent-kafka, and kcat. Bytes are compared.

Every call has a time-out. Prints a line per check and `N passed, N failed`.
"""

import os
import subprocess
import sys
import time
import uuid

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

ADDRESS = sys.argv[1]
TOPIC = 'clients-' + uuid.uuid4().hex[:8]
PARTITIONS = 3
CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
LARGE_BYTES = 15_000_000
CALL_SECONDS = 20
COMMON = {'bootstrap.servers': ADDRESS, 'socket.timeout.ms': 10_000}
ADMIN = AdminClient(COMMON)


def consumer(group, **more):
    settings = {'group.id': group, 'enable.auto.commit': False, 'auto.offset.reset': 'error', 'enable.partition.eof': True}
    return Consumer(COMMON | settings | {'fetch.message.max.bytes': 16_000_000} | more)


def read_all(partition):
    """Every record of a partition as (key, value, headers)."""
    reader = consumer('reader-' + TOPIC)
    try:
        reader.assign([TopicPartition(TOPIC, partition, 0)])
        records, deadline = [], time.monotonic() + CALL_SECONDS
        while time.monotonic() < deadline:
            message = reader.poll(1)
            if message is None:
                continue
            if message.error():
                if message.error().name() == '_PARTITION_EOF':
                    return records
                raise KafkaException(message.error())
            records.append((message.key(), message.value(), message.headers()))
        raise TimeoutError('the end of the partition was not reached')
    finally:
        reader.close()


def produce(partition, records, **more):
    writer = Producer(COMMON | {'enable.idempotence': False, 'acks': 'all', 'message.max.bytes': 16_000_000} | more)
    failures = []
    for key, value, headers in records:
        writer.produce(TOPIC, value, key, partition, headers=headers, on_delivery=lambda error, _: error and failures.append(error))
    left = writer.flush(CALL_SECONDS)
    assert left == 0 and not failures, (left, failures)


def creates_a_topic():
    ADMIN.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(CALL_SECONDS)
    deadline = time.monotonic() + CALL_SECONDS
    while TOPIC not in (topics := ADMIN.list_topics(timeout=CALL_SECONDS).topics):
        assert time.monotonic() < deadline, 'the topic does not appear'
        time.sleep(0.1)
    assert len(topics[TOPIC].partitions) == PARTITIONS
    try:
        ADMIN.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(CALL_SECONDS)
    except KafkaException as error:
        assert error.args[0].name() == 'TOPIC_ALREADY_EXISTS', error
    else:
        raise AssertionError('a topic was created twice')


def every_codec_comes_back():
    expected = []
    for codec in CODECS:
        records = [(b'k%d' % i, codec.encode() * i, [('Version', b'\0\0\0\1'), ('n', str(i).encode())]) for i in range(50)]
        produce(0, records, **{'compression.type': codec})
        expected += records
    assert read_all(0) == expected


def a_large_message_comes_back():
    value = os.urandom(LARGE_BYTES)
    produce(1, [(b'large', value, [])], **{'compression.type': 'none'})
    [(key, found, _)] = read_all(1)
    assert (key, found == value) == (b'large', True)


def offsets_are_listed():
    reader = consumer('offsets-' + TOPIC)
    try:
        assert reader.get_watermark_offsets(TopicPartition(TOPIC, 0), CALL_SECONDS) == (0, 50 * len(CODECS))
        assert reader.get_watermark_offsets(TopicPartition(TOPIC, 2), CALL_SECONDS) == (0, 0)
        before, after = 1_000, int(time.time() * 1000) + 3_600_000
        [found] = reader.offsets_for_times([TopicPartition(TOPIC, 0, before)], CALL_SECONDS)
        assert found.offset == 0, found
        [found] = reader.offsets_for_times([TopicPartition(TOPIC, 0, after)], CALL_SECONDS)
        assert found.offset == -1, f'no record is that late: {found}'
    finally:
        reader.close()


def offsets_of_a_group_without_members_are_kept():
    group = 'group-' + TOPIC
    writer = consumer(group)
    try:
        positions = [TopicPartition(TOPIC, 0, 7, 'stamp: a b'), TopicPartition(TOPIC, 1, 1)]
        writer.commit(offsets=positions, asynchronous=False)
        found = writer.committed([TopicPartition(TOPIC, partition) for partition in range(PARTITIONS)], CALL_SECONDS)
        assert [one.offset for one in found] == [7, 1, -1001], found
        assert found[0].metadata == 'stamp: a b', found[0].metadata
    finally:
        writer.close()
    request = ConsumerGroupTopicPartitions(group, [TopicPartition(TOPIC, 0)])
    listed = ADMIN.list_consumer_group_offsets([request])[group].result(CALL_SECONDS)
    assert listed.topic_partitions[0].offset == 7


def configuration_is_told():
    resource = ConfigResource(ResourceType.TOPIC, TOPIC)
    config = ADMIN.describe_configs([resource])[resource].result(CALL_SECONDS)
    assert int(config['max.message.bytes'].value) >= 16_000_000, config['max.message.bytes']


def an_offset_outside_is_refused():
    reader = consumer('outside-' + TOPIC)
    try:
        reader.assign([TopicPartition(TOPIC, 0, 10_000)])
        deadline = time.monotonic() + CALL_SECONDS
        while time.monotonic() < deadline:
            message = reader.poll(1)
            if message is not None and message.error():
                assert message.error().name() in ('OFFSET_OUT_OF_RANGE', '_AUTO_OFFSET_RESET'), message.error()
                return
        raise TimeoutError('no error for an offset beyond the end')
    finally:
        reader.close()


def kcat(*arguments, stdin=b''):
    command = ['kcat', '-b', ADDRESS, '-m', '10', *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=CALL_SECONDS, check=True).stdout


def kcat_writes_and_reads():
    lines = b''.join(b'key-%d:value %d\n' % (i, i) for i in range(1000))
    kcat('-P', '-t', TOPIC, '-p', '2', '-K', ':', stdin=lines)
    assert kcat('-C', '-t', TOPIC, '-p', '2', '-o', 'beginning', '-e', '-q', '-K', ':') == lines
    assert kcat('-C', '-t', TOPIC, '-p', '2', '-o', '-3', '-e', '-q') == b'value 997\nvalue 998\nvalue 999\n'
    assert TOPIC.encode() in kcat('-L')


def an_unknown_topic_is_an_error():
    unknown = 'unknown-' + uuid.uuid4().hex[:8]
    found = ADMIN.list_topics(unknown, timeout=CALL_SECONDS).topics[unknown]
    assert found.error is not None and found.error.name() == 'UNKNOWN_TOPIC_OR_PART', found.error


def deletes_a_topic():
    ADMIN.delete_topics([TOPIC])[TOPIC].result(CALL_SECONDS)
    deadline = time.monotonic() + CALL_SECONDS
    while TOPIC in ADMIN.list_topics(timeout=CALL_SECONDS).topics:
        assert time.monotonic() < deadline, 'the topic stays'
        time.sleep(0.1)


CHECKS = [
    creates_a_topic,
    every_codec_comes_back,
    a_large_message_comes_back,
    offsets_are_listed,
    offsets_of_a_group_without_members_are_kept,
    configuration_is_told,
    an_offset_outside_is_refused,
    kcat_writes_and_reads,
    an_unknown_topic_is_an_error,
    deletes_a_topic,
]


def main():
    failed = 0
    for check in CHECKS:
        name = check.__name__.replace('_', ' ')
        try:
            check()
            print('ok    ', name)
        except Exception as error:  # noqa: BLE001: whatever it is, it is this check's failure
            failed += 1
            print('FAILED', name, '-', type(error).__name__, error)
    print(f'{len(CHECKS) - failed} passed, {failed} failed')
    return 1 if failed else 0


sys.exit(main())
