"""Expectations of a Kafka-protocol broker, asked through Apache Kafka's own command line tools with their default settings.

One story: a topic is made, written, read by a group, described, moved, and deleted. With a binary of wellhead also: a running node
is moved by `kafka-consumer-groups --reset-offsets`. Prints a line per check and `N passed, N failed`.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

JARS, ADDRESS = sys.argv[1:3]
BINARY = sys.argv[3] if len(sys.argv) > 3 else None
RUN = uuid.uuid4().hex[:8]
TOPIC, GROUP, OTHER = f'tools-{RUN}', f'group-{RUN}', f'other-{RUN}'
CALL_SECONDS = 60
WAIT_SECONDS = 60
TOOLS = {
    'console-producer': 'org.apache.kafka.tools.ConsoleProducer',
    'console-consumer': 'org.apache.kafka.tools.consumer.ConsoleConsumer',
    'topics': 'org.apache.kafka.tools.TopicCommand',
    'configs': 'kafka.admin.ConfigCommand',
    'consumer-groups': 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
    'delete-records': 'org.apache.kafka.tools.DeleteRecordsCommand',
}
# For quick starts; nothing that the tools speak depends on it.
JAVA = ['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xmx256m', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn']


def command(tool, *arguments):
    return [*JAVA, '-cp', JARS + '/*', TOOLS[tool], '--bootstrap-server', ADDRESS, *arguments]


def run(tool, *arguments, stdin=''):
    """Exit status and everything that was printed."""
    done = subprocess.run(command(tool, *arguments), input=stdin, capture_output=True, text=True, timeout=CALL_SECONDS)
    return done.returncode, done.stdout + done.stderr


def tool(name, *arguments, stdin=''):
    status, printed = run(name, *arguments, stdin=stdin)
    assert status == 0, f'{name} {arguments} ended with {status}: {printed}'
    assert 'Exception' not in printed and 'ERROR' not in printed, printed
    return printed


def rows(printed, *columns):
    """The wanted columns of a table that a tool prints about groups, as a sorted list."""
    table = [line.split() for line in printed.splitlines() if line.strip()]
    head = next(at for at, row in enumerate(table) if row[0] == 'GROUP')
    places = [table[head].index(column) for column in columns]
    return sorted(tuple(row[place] for place in places) for row in table[head + 1:] if row[0].endswith(RUN))


def until(what, is_true):
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_true():
        assert time.monotonic() < deadline, f'never seen: {what}'
        time.sleep(0.2)


def topics_are_made_and_grow():
    tool('topics', '--create', '--topic', TOPIC, '--partitions', '2', '--config', 'retention.ms=86400000')
    status, printed = run('topics', '--create', '--topic', TOPIC)
    assert status != 0 and 'TopicExistsException' in printed, printed
    tool('topics', '--alter', '--topic', TOPIC, '--partitions', '3')
    assert TOPIC in tool('topics', '--list').split()
    described = tool('topics', '--describe', '--topic', TOPIC)
    assert 'PartitionCount: 3' in described and 'ReplicationFactor: 1' in described, described
    assert 'retention.ms=86400000' in described and described.count('Leader: ') == 3, described


def settings_are_changed_and_told():
    of_topic = ['--entity-type', 'topics', '--entity-name', TOPIC]
    tool('configs', '--alter', *of_topic, '--add-config', 'retention.ms=7200000,retention.bytes=1000000000')
    described = tool('configs', '--describe', *of_topic)
    assert 'retention.ms=7200000' in described and 'retention.bytes=1000000000' in described, described
    tool('configs', '--alter', *of_topic, '--delete-config', 'retention.bytes')
    described = tool('configs', '--describe', *of_topic)
    assert 'retention.ms=7200000' in described and 'retention.bytes' not in described, described
    status, printed = run('configs', '--alter', *of_topic, '--add-config', 'no.such.setting=1')
    assert status != 0 and 'no.such.setting' in printed, printed
    assert 'max.message.bytes' in tool('configs', '--describe', '--all', *of_topic)


def records_are_written_and_read_by_a_group():
    lines = [f'key-{at}:value {at}' for at in range(300)]
    keyed = ['--property', 'parse.key=true', '--property', 'key.separator=:']
    tool('console-producer', '--topic', TOPIC, *keyed, stdin='\n'.join(lines) + '\n')
    shown = ['--property', 'print.key=true', '--property', 'key.separator=:']
    read = tool('console-consumer', '--topic', TOPIC, '--group', GROUP, '--from-beginning', '--max-messages', '300', *shown)
    assert sorted(line for line in read.splitlines() if line.startswith('key-')) == sorted(lines), read[:2000]


def a_group_is_listed_and_described():
    assert GROUP in tool('consumer-groups', '--list').split()
    printed = tool('consumer-groups', '--describe', '--group', GROUP)
    found = rows(printed, 'TOPIC', 'PARTITION', 'LAG', 'CONSUMER-ID')
    assert found == [(TOPIC, str(partition), '0', '-') for partition in range(3)], printed
    states = tool('consumer-groups', '--describe', '--group', GROUP, '--state')
    assert 'Empty' in states, states
    assert 'Empty' in tool('consumer-groups', '--list', '--state', 'Empty'), 'listed by state'


def members_share_a_topic_and_are_shown():
    # Two consumers of one group: each has its part, and the tool may not move the group while they are there.
    readers = [subprocess.Popen(command('console-consumer', '--topic', TOPIC, '--group', OTHER),
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
    try:
        def members():
            status, printed = run('consumer-groups', '--describe', '--group', OTHER, '--members')
            return [int(count) for (count,) in rows(printed, '#PARTITIONS')] if status == 0 and '#PARTITIONS' in printed else []
        until('two members share three partitions', lambda: sorted(members()) == [1, 2])
        assert 'Stable' in tool('consumer-groups', '--describe', '--group', OTHER, '--state')
        _, printed = run('consumer-groups', '--reset-offsets', '--group', OTHER, '--topic', TOPIC, '--to-earliest', '--execute')
        assert 'is not empty' in printed or 'inactive' in printed, printed
        _, printed = run('consumer-groups', '--delete', '--group', OTHER)
        assert 'not empty' in printed, printed
    finally:
        for reader in readers:
            reader.send_signal(signal.SIGTERM)
        for reader in readers:
            reader.wait(CALL_SECONDS)
    assert 'deletion' in tool('consumer-groups', '--delete', '--group', OTHER).lower()


def a_group_is_moved():
    moved = ['--reset-offsets', '--group', GROUP, '--topic', TOPIC + ':0']
    tool('consumer-groups', *moved, '--to-earliest', '--dry-run')
    printed = tool('consumer-groups', '--describe', '--group', GROUP)
    assert [lag for (lag,) in rows(printed, 'LAG')] == ['0'] * 3, printed
    tool('consumer-groups', *moved, '--to-earliest', '--execute')
    tool('consumer-groups', *moved, '--shift-by', '2', '--execute')
    printed = tool('consumer-groups', '--describe', '--group', GROUP)
    assert rows(printed, 'PARTITION', 'CURRENT-OFFSET')[0] == ('0', '2'), printed
    tool('consumer-groups', *moved, '--to-datetime', '2000-01-01T00:00:00.000', '--execute')
    printed = tool('consumer-groups', '--describe', '--group', GROUP)
    assert rows(printed, 'PARTITION', 'CURRENT-OFFSET')[0] == ('0', '0'), printed


def offsets_and_groups_are_deleted():
    printed = tool('consumer-groups', '--delete-offsets', '--group', GROUP, '--topic', TOPIC + ':1')
    assert 'Successful' in printed, printed
    printed = tool('consumer-groups', '--describe', '--group', GROUP)
    with_offset = [partition for partition, offset in rows(printed, 'PARTITION', 'CURRENT-OFFSET') if offset != '-']
    assert with_offset == ['0', '2'], printed
    tool('consumer-groups', '--delete', '--group', GROUP)
    assert GROUP not in tool('consumer-groups', '--list').split()


def records_are_deleted():
    with tempfile.NamedTemporaryFile('w', suffix='.json') as file:
        json.dump({'version': 1, 'partitions': [{'topic': TOPIC, 'partition': 0, 'offset': 5}]}, file)
        file.flush()
        printed = tool('delete-records', '--offset-json-file', file.name)
    assert 'low_watermark: 5' in printed, printed
    read = tool('console-consumer', '--topic', TOPIC, '--partition', '0', '--offset', 'earliest', '--max-messages', '1',
                '--property', 'print.offset=true')
    assert 'Offset:5' in read, read


def topics_are_deleted():
    tool('topics', '--delete', '--topic', TOPIC)
    until('the topic is gone', lambda: TOPIC not in tool('topics', '--list').split())
    status, printed = run('topics', '--describe', '--topic', TOPIC)
    assert status != 0 and 'does not exist' in printed, printed


class Node:
    """A wellhead on the broker under test, without samples of its own."""

    def __init__(self, folder):
        self.topic, self.group = f'node-{RUN}', f'node-group-{RUN}'
        self.file = Path(folder, 'data', 'node.json')
        flags = {
            'data-dir': self.file.parent,
            'server.http-listen-port': 0,
            'shards': 1,
            'self-monitoring.enabled': 'false',
            'ingest-storage.kafka.address': ADDRESS,
            'ingest-storage.kafka.topic': self.topic,
            'ingest-storage.kafka.consumer-group': self.group,
            'ingest-storage.kafka.auto-create-topic-default-partitions': 1,
        }
        self.log = open(Path(folder, 'log'), 'wb')
        self.process = subprocess.Popen([BINARY, *(f'--{name}={value}' for name, value in flags.items())],
                                        stdout=self.log, stderr=self.log)
        until('the node is ready', lambda: self.file.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, Path(folder, 'log').read_text()[-2000:]
        self.http = json.loads(self.file.read_text())['http']

    def get(self, path):
        return urllib.request.urlopen(self.http + path, timeout=10).read()

    def partition(self):
        return json.loads(self.get('/wellhead/status'))['partitions'][0]

    def consumed(self):
        """Records consumed since the start."""
        page = self.get('/metrics').decode()
        found = [line for line in page.splitlines() if line.startswith('wellhead_consumer_records_total')]
        return sum(int(float(line.split()[-1])) for line in found)

    def counted(self):
        query = urllib.parse.urlencode({'query': 'sum(count_over_time(written[1h]))'})
        result = json.loads(self.get('/prometheus/api/v1/query?' + query))['data']['result']
        return int(result[0]['value'][1]) if result else 0

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(CALL_SECONDS)
        self.log.close()


def varint(number):
    encoded = b''
    while number > 0x7F:
        encoded, number = encoded + bytes([number & 0x7F | 0x80]), number >> 7
    return encoded + bytes([number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def push(node, timestamp_ms, series_count):
    """One sample for each series, by remote write 1: protobuf, in snappy that only has literals."""
    body = b''
    for at in range(series_count):
        labels = [(b'__name__', b'written'), (b'at', b'%d' % at)]
        sample = b'\x09' + bytes(6) + b'\xf0\x3f' + b'\x10' + varint(timestamp_ms)
        body += field(1, b''.join(field(1, field(1, name) + field(2, value)) for name, value in labels) + field(2, sample))
    compressed = varint(len(body))
    for begin in range(0, len(body), 60_000):
        literal = body[begin:begin + 60_000]
        compressed += b'\xf4' + (len(literal) - 1).to_bytes(2, 'little') + literal
    headers = {'Content-Encoding': 'snappy', 'Content-Type': 'application/x-protobuf', 'X-Prometheus-Remote-Write-Version': '0.1.0'}
    request = urllib.request.Request(node.http + '/api/v1/push', compressed, headers)
    assert urllib.request.urlopen(request, timeout=10).status == 200


def a_running_node_is_moved():
    pushes, series_count = 6, 50
    with tempfile.TemporaryDirectory() as folder:
        node = Node(folder)
        try:
            begin_ms = int(time.time() * 1000) - 60_000
            for at in range(pushes):
                push(node, begin_ms + at * 1000, series_count)
            until('all samples are there', lambda: node.counted() == pushes * series_count)
            end = node.partition()['high_watermark']
            until('the group is told', lambda: node.partition()['committed_next'] == end)
            generation, consumed = node.partition()['generation'], node.consumed()
            moved = ['--group', node.group, '--topic', node.topic]
            tool('consumer-groups', '--reset-offsets', *moved, '--to-offset', '2', '--execute')
            until('the order is obeyed', lambda: node.partition()['generation'] == generation + 1)
            until('the rest is read again', lambda: node.consumed() == consumed + end - 2)
            until('the group is told again', lambda: node.partition()['committed_next'] == end)
            assert node.counted() == pushes * series_count, f'{node.counted()} samples: some were doubled or lost'
            push(node, begin_ms + pushes * 1000, series_count)
            until('it goes on', lambda: node.counted() == (pushes + 1) * series_count)
            assert node.partition()['generation'] == generation + 1, 'an order was obeyed twice'
            assert node.consumed() == consumed + end - 2 + 1, 'nothing is read a third time'
        finally:
            node.end()


CHECKS = [
    topics_are_made_and_grow,
    settings_are_changed_and_told,
    records_are_written_and_read_by_a_group,
    a_group_is_listed_and_described,
    members_share_a_topic_and_are_shown,
    a_group_is_moved,
    offsets_and_groups_are_deleted,
    records_are_deleted,
    topics_are_deleted,
]


def main():
    failed, checks = 0, CHECKS + ([a_running_node_is_moved] if BINARY else [])
    for check in checks:
        name, start = check.__name__.replace('_', ' '), time.monotonic()
        try:
            check()
            print('ok    ', name, f'({time.monotonic() - start:.0f} s)', flush=True)
        except Exception as error:  # noqa: BLE001: whatever it is, it is this check's failure
            failed += 1
            print('FAILED', name, '-', type(error).__name__, error, flush=True)
    print(f'{len(checks) - failed} passed, {failed} failed')
    return 1 if failed else 0


sys.exit(main())
