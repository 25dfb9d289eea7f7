"""A page of odd metrics for compare-prometheus: what well-behaved targets never show.

Counters that reset, gauges that come and go, values at the edges of floats, label values that need escaping, a histogram,
and two scrapes of twenty that fail. A function of the number of scrapes, so that two runs see the same.
"""

import http.server
import math
import random
import threading


class Page:
    """The state between two scrapes."""

    def __init__(self):
        self.scrapes = 0
        self.random = random.Random(3)
        self.walk = 5000.0
        self.buckets = {'0.1': 100, '0.5': 180, '1': 240, '2.5': 290, '+Inf': 300}
        self.seconds = 250.0

    def next(self):
        """The text of the next scrape; none while the page pretends to be down."""
        n = self.scrapes
        self.scrapes += 1
        self.walk += self.random.randrange(0, 50) / 8
        self.observe(self.random.choice([0.05, 0.3, 0.7, 1.9, 7.0]))
        if n % 20 in (12, 13):
            return None
        lines = []

        def put(name, labels, value):
            pairs = ','.join('%s="%s"' % pair for pair in labels.items())
            lines.append('%s{%s} %s' % (name, pairs, value))

        for kind, value in [('steady', 1000 + 3.5 * n), ('resetting', 500 + n % 12 * 7), ('walking', self.walk)]:
            put('page_counter_total', {'kind': kind}, value)
        gauges = [('steady', 20 + n % 37 * 1.5), ('noisy', 50 + 45 * math.sin(1.7 * n)), ('constant', 33.25)]
        for kind, value in gauges + [('negative', -12.25 - n % 5), ('small', 1e-9 * (n + 1))]:
            put('page_gauge', {'kind': kind}, repr(value))
        put('page_large', {}, 10**15 + n)
        flickers = [('always', True), ('often', n % 4 != 3), ('seldom', n // 5 % 2 == 0)]
        for kind in [kind for kind, is_there in flickers if is_there]:
            put('page_flicker', {'kind': kind}, n)
        odd = ['NaN', '+Inf', '-Inf', '-0', '1.7976931348623157e+308', '5e-324', '1e-07', '123456789012345680000', '1e+21']
        for index, value in enumerate(odd + ['NaN' if n % 2 else '1']):
            put('page_odd', {'index': index}, value)
        for text in ['with \\"quoted\\" words', 'ünïcödé', 'a\\\\b', '<&>', 'two\\nlines', '{a=b}']:
            put('page_labels', {'text': text}, n)
        put('page_info', {'version': '1.2.3'}, 1)
        for bound, count in self.buckets.items():
            put('page_seconds_bucket', {'le': bound}, count)
        put('page_seconds_sum', {}, self.seconds)
        put('page_seconds_count', {}, self.buckets['+Inf'])
        return '\n'.join(lines) + '\n'

    def observe(self, seconds):
        self.seconds += seconds
        for bound in self.buckets:
            if seconds <= float(bound):
                self.buckets[bound] += 1


def serve_page():
    """Serves the page on a port of its own; ends with the process."""
    page = Page()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            text = page.next()
            body = (text or 'down for now\n').encode()
            self.send_response(503 if text is None else 200)
            self.send_header('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
