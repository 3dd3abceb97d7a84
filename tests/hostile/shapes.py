# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""Requests that no good client sends, and what each must get. Data for clients.py.

A row is (name, bytes, answers): the statuses that may come, in order, and nothing after them. None stands for an
answer that may be missing. Where a second request is hidden behind the first, it would create the task "smuggled";
clients.py looks for it.
"""
TYPE = b"Content-Type: application/json\r\n"
HIDDEN_BODY = b'{"executer":"cat","id":"smuggled"}'
HIDDEN = (b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\n" + TYPE +
          b"Content-Length: %d\r\n\r\n" % len(HIDDEN_BODY) + HIDDEN_BODY)
TASK = b'{"executer":"cat"}'
BAD = {400}          # and the connection ends
CUT = {None, 400}    # ends, with or without a word: no HTTP that can be answered


def post(fields, body=b"", target=b"/v1/tasks"):
    return b"POST %s HTTP/1.1\r\nHost: localhost\r\n" % target + TYPE + fields + b"\r\n" + body


def get(target=b"/healthz", fields=b"Host: localhost\r\n", version=b"HTTP/1.1"):
    return b"GET %s %s\r\n" % (target, version) + fields + b"\r\n"


def chunked(field):
    return post(field, b"0\r\n\r\n" + HIDDEN)


ANY_BAD = [BAD | {411, 415, 501, 505}]
SHAPES = [
    # ---- two framings: whatever follows must not be taken for a request ----
    ("Content-Length and chunked", post(b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + HIDDEN), [BAD]),
    ("chunked and Content-Length", post(b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", b"0\r\n\r\n" + HIDDEN), [BAD]),
    ("two Content-Length", post(b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(HIDDEN), HIDDEN), [BAD]),
    ("the same Content-Length twice", post(b"Content-Length: 18\r\nContent-Length: 18\r\n", TASK), [BAD]),
    ("a list of Content-Lengths", post(b"Content-Length: 18, 18\r\n", TASK), [CUT]),
    ("Content-Length with a sign", post(b"Content-Length: +18\r\n", TASK), [CUT]),
    ("Content-Length below zero", post(b"Content-Length: -1\r\n", HIDDEN), [CUT]),
    ("Content-Length in hexadecimal", post(b"Content-Length: 0x12\r\n", TASK + HIDDEN), [CUT]),
    ("Content-Length with a space in it", post(b"Content-Length: 1 8\r\n", TASK), [CUT]),
    ("Content-Length that is empty", post(b"Content-Length: \r\n", HIDDEN), [CUT]),
    ("Content-Length of 2^64", post(b"Content-Length: 18446744073709551616\r\n", HIDDEN), [CUT | {413}]),
    ("Content-Length of 2^64 + 18", post(b"Content-Length: 18446744073709551634\r\n", TASK + HIDDEN), [CUT | {413}]),
    ("Content-Length of 2^63", post(b"Content-Length: 9223372036854775808\r\n", HIDDEN), [CUT | {413}]),
    ("Content-Length with a letter", post(b"Content-Length: 18a\r\n", TASK + HIDDEN), [CUT]),
    ("a space before the colon of Content-Length", post(b"Content-Length : %d\r\n" % len(HIDDEN), HIDDEN), [CUT | {411}]),
    ("two Transfer-Encoding", chunked(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), [BAD]),
    ("Transfer-Encoding of another name", chunked(b"Transfer-Encoding: xchunked\r\n"), [CUT | {501}]),
    ("Transfer-Encoding: identity", chunked(b"Transfer-Encoding: identity\r\n"), [CUT | {501}]),
    ("Transfer-Encoding: gzip, chunked", chunked(b"Transfer-Encoding: gzip, chunked\r\n"), [CUT | {501}]),
    ("Transfer-Encoding: chunked, identity", chunked(b"Transfer-Encoding: chunked, identity\r\n"), [CUT | {501}]),
    ("Transfer-Encoding with a vertical tab", chunked(b"Transfer-Encoding: \x0bchunked\r\n"), [CUT | {501}]),
    ("Transfer-Encoding in quotes", chunked(b'Transfer-Encoding: "chunked"\r\n'), [CUT | {501}]),
    ("a space before the colon of Transfer-Encoding",
     post(b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + HIDDEN), [CUT]),
    ("Transfer-Encoding in a folded line",
     post(b"X: 1\r\n Transfer-Encoding: chunked\r\nContent-Length: %d\r\n" % len(HIDDEN), HIDDEN), [CUT | {400}]),
    ("Transfer-Encoding whose value is folded", chunked(b"Transfer-Encoding:\r\n chunked\r\n"), [CUT | {501}]),
    ("a GET with a hidden body", get(b"/healthz", b"Host: localhost\r\nContent-Length: %d\r\n" % len(HIDDEN)) + HIDDEN, [{200, 400}]),
    ("chunked in HTTP/1.0", b"POST /v1/tasks HTTP/1.0\r\n" + TYPE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN, [CUT]),

    # ---- chunks ----
    ("a chunk of negative size", post(b"Transfer-Encoding: chunked\r\n", b"-1\r\n" + HIDDEN), [CUT]),
    ("a chunk of 2^64", post(b"Transfer-Encoding: chunked\r\n", b"10000000000000000\r\n" + HIDDEN), [CUT | {413}]),
    ("a chunk of 2^64 - 1", post(b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\n" + HIDDEN), [CUT | {413}]),
    ("a chunk size in decimal with 0x", post(b"Transfer-Encoding: chunked\r\n", b"0x12\r\n" + TASK + b"\r\n0\r\n\r\n"), [CUT]),
    ("a chunk size with a space before", post(b"Transfer-Encoding: chunked\r\n", b" 12\r\n" + TASK + b"\r\n0\r\n\r\n"), [CUT]),
    ("a chunk without its line's end", post(b"Transfer-Encoding: chunked\r\n", b"12\r\n" + TASK + b"0\r\n\r\n" + HIDDEN), [CUT]),
    ("a chunk size that is empty", post(b"Transfer-Encoding: chunked\r\n", b"\r\n" + HIDDEN), [CUT]),
    ("chunk extensions without end", post(b"Transfer-Encoding: chunked\r\n", b"12;" + b"x" * 200000), [CUT | {413, 431}]),
    ("a good chunk extension", post(b"Transfer-Encoding: chunked\r\n", b"12;a=b\r\n" + TASK + b"\r\n0\r\n\r\n"), [{202}]),
    ("trailers without end", post(b"Transfer-Encoding: chunked\r\n", b"12\r\n" + TASK + b"\r\n0\r\n" + b"X: y\r\n" * 40000),
     [CUT | {202, 413, 431}]),

    # ---- lines and fields ----
    ("a folded field", get(fields=b"Host: localhost\r\nX: a\r\n b\r\n"), [{200, 400}]),
    ("a field without colon", get(fields=b"Host: localhost\r\nnonsense\r\n"), [BAD]),
    ("a field without name", get(fields=b"Host: localhost\r\n: x\r\n"), [{200, 400}]),
    # libmicrohttpd ends the text at a NUL: what is behind it counts for nothing
    ("a NUL in a field", get(fields=b"Host: localhost\r\nX: a\0b\r\n"), [{200, 400}]),
    ("a NUL in a field's name", get(fields=b"Host: localhost\r\nX\0Y: a\r\n"), [BAD]),
    ("a NUL in Host", get(fields=b"Host: localhost\0evil\r\n"), [{200, 400}]),
    ("a NUL in the target", get(b"/healthz\0x"), [{200, 400, 404}]),
    ("a space in the target", get(b"/healthz x"), [BAD]),
    ("two spaces behind the target", get(b"/healthz "), [BAD]),
    ("a tab in the target", get(b"/healthz\t"), [BAD]),
    ("a NUL escaped in the target", get(b"/healthz%00"), [BAD]),
    ("a broken escape", get(b"/v1/tasks/%zz"), [BAD]),
    ("an escaped line end in the target", get(b"/v1/tasks/a%0d%0ab"), [BAD]),
    ("a bare carriage return in a field", get(fields=b"Host: localhost\r\nX: a\rContent-Length: 5\r\n"), [{200, 400}]),

    # ---- targets and hosts ----
    ("no Host", get(fields=b""), [BAD]),
    ("two Hosts", get(fields=b"Host: localhost\r\nHost: evil.example\r\n"), [BAD]),
    ("an empty Host", get(fields=b"Host:\r\n"), [{400, 421}]),
    ("a foreign Host", get(fields=b"Host: evil.example\r\n"), [{421}]),
    ("a foreign Host that begins well", get(fields=b"Host: localhost.evil.example\r\n"), [{421}]),
    ("a foreign Host behind an @", get(fields=b"Host: localhost@evil.example\r\n"), [{421}]),
    ("a foreign Host with a good port", get(fields=b"Host: evil.example:80\r\n"), [{421}]),
    ("a foreign Host in brackets", get(fields=b"Host: [evil.example]\r\n"), [{421}]),
    ("a bracket without end", get(fields=b"Host: [\r\n"), [{421}]),
    ("a Host behind brackets", get(fields=b"Host: [::1]evil.example\r\n"), [{421}]),
    ("a Host of 10 000 bytes", get(fields=b"Host: " + b"a" * 10000 + b"\r\n"), [{421}]),
    ("absolute-form for us", get(b"http://localhost/healthz"), [{200}]),
    ("absolute-form for another", get(b"http://evil.example/healthz"), [{421}]),
    ("authority-form", get(b"localhost:80"), [{400, 404}]),
    ("asterisk-form", get(b"*"), [{400, 404}]),
    ("CONNECT", b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", [{400, 404, 405}]),
    ("a path that goes up", get(b"/v1/../healthz"), [{404}]),
    ("an escaped slash", get(b"/v1%2ftasks"), [{404}]),
    ("a path of many segments", get(b"/" + b"a/" * 5000), [{404}]),
    ("a query of many parameters", get(b"/v1/tasks?" + b"".join(b"a%d=1&" % i for i in range(100))), [BAD]),
    ("a query of very many parameters", get(b"/v1/tasks?" + b"a=1&" * 2000), [CUT]),
    ("a fragment", get(b"/healthz#x"), [{400, 404}]),
    ("bytes above 127 in the path", get(b"/v1/\xff\xfe"), [{400, 404}]),

    # ---- methods and versions ----
    ("an unknown method", b"BREW /v1/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n", [{405}]),
    ("a method in small letters", b"get /v1/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n", [{405}]),
    ("a method of 10 000 bytes", b"G" * 10000 + b" /v1/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n", [{400, 405}]),
    ("TRACE", b"TRACE /v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n\r\n", [{405}]),
    ("HTTP/0.9", b"GET /healthz\r\n\r\n", [CUT | {505}]),
    ("HTTP/2.0 in the line", get(version=b"HTTP/2.0"), [CUT | {505}]),
    ("HTTP/1.2", get(version=b"HTTP/1.2"), [{200, 505}]),
    ("HTTP/11", get(version=b"HTTP/11"), [CUT | {505}]),
    ("http/1.1", get(version=b"http/1.1"), [CUT | {505}]),
    ("HTTP/-1", get(version=b"HTTP/-1"), [CUT | {505}]),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", [CUT | {404, 405, 505}]),
    ("an upgrade to h2c", get(fields=b"Host: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"), [{200}]),
    ("an upgrade to a WebSocket", get(fields=b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"), [{200}]),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200 + b"\r\n\r\n", [CUT]),
    ("a proxy's greeting", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get(), [CUT]),
    ("the hello of SSH", b"SSH-2.0-OpenSSH_9\r\n\r\n", [CUT]),
    ("Redis' protocol", b"*1\r\n$4\r\nPING\r\n\r\n", [CUT]),
    ("empty lines and nothing", b"\r\n" * 50000, [{None, 400, 413, 414, 431}]),

    # ---- expectations and encodings ----
    ("an expectation that is none", post(b"Expect: 200-ok\r\nContent-Length: 18\r\n", TASK), [{202, 417}]),
    ("Expect: 100-continue, refused at once", post(b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n"), [{413}]),
    ("Content-Encoding: gzip", post(b"Content-Encoding: gzip\r\nContent-Length: 18\r\n", TASK), [{415}]),
    ("Content-Encoding: gzip, identity", post(b"Content-Encoding: identity, gzip\r\nContent-Length: 18\r\n", TASK), [{415}]),
    ("a type that is none", b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/jsonp\r\nContent-Length: 18\r\n\r\n" + TASK, [{415}]),
    ("an Accept without end", get(b"/v1/tasks", b"Host: localhost\r\nAccept: " + b"text/html;q=0.1," * 900 + b"\r\n"), [{406}]),
]
