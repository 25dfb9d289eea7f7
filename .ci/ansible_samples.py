"""Writes samples to the node on this machine, or counts them: write FROM TO | expect COUNT. Standard library only."""

import json
import struct
import sys
import time
import urllib.parse
import urllib.request

NODE = "http://127.0.0.1:8080"


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def label(name, value):
    return field(1, field(1, name.encode()) + field(2, value.encode()))


def series(index, now_ms):
    sample = b"\x09" + struct.pack("<d", index) + b"\x10" + varint(now_ms)
    return field(1, label("__name__", "ansible_test") + label("index", str(index)) + field(2, sample))


def snappy(payload):
    """One block of literals: valid, not small."""
    out = varint(len(payload))
    for start in range(0, len(payload), 60):
        part = payload[start : start + 60]
        out += bytes([(len(part) - 1) << 2]) + part
    return out


def write(first, end):
    now_ms = int(time.time() * 1000)
    body = snappy(b"".join(series(index, now_ms) for index in range(first, end)))
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"}
    urllib.request.urlopen(urllib.request.Request(f"{NODE}/api/v1/push", body, headers), timeout=30).read()


def count():
    query = urllib.parse.urlencode({"query": "sum(count_over_time(ansible_test[30m]))"})
    headers = {"X-Read-Consistency": "strong"}
    request = urllib.request.Request(f"{NODE}/prometheus/api/v1/query?{query}", headers=headers)
    result = json.load(urllib.request.urlopen(request, timeout=30))["data"]["result"]
    return int(result[0]["value"][1]) if result else 0


def expect(wanted):
    found = None
    for _ in range(100):
        found = count()
        if found == wanted:
            print(f"samples: {found}")
            return
        time.sleep(0.1)
    sys.exit(f"{found} samples instead of {wanted}")


if sys.argv[1] == "write":
    write(int(sys.argv[2]), int(sys.argv[3]))
else:
    expect(int(sys.argv[2]))
