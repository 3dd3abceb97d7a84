# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""What the tests of HTTP cannot do in bash: MessagePack, doc/openapi.json, Prometheus' text.

wire.py pack               JSON on standard input becomes MessagePack; NAME_b64 becomes NAME, binary
wire.py unpack             the reverse
wire.py openapi DOC SEEN   complaints about answers that DOC does not describe. SEEN has a line
                           METHOD PATH STATUS TYPE FILE (with tabs) for each answer
wire.py metrics FILE       complaints about text that is not in the exposition format
"""
import base64
import json
import re
import sys


def to_bytes(v):
    if isinstance(v, list):
        return [to_bytes(x) for x in v]
    if not isinstance(v, dict):
        return v
    return {k.removesuffix("_b64"): base64.b64decode(x) if k.endswith("_b64") else to_bytes(x)
            for k, x in v.items()}


def from_bytes(v):
    if isinstance(v, list):
        return [from_bytes(x) for x in v]
    if not isinstance(v, dict):
        return v
    return {k + "_b64" if isinstance(x, bytes) else k:
            base64.b64encode(x).decode() if isinstance(x, bytes) else from_bytes(x)
            for k, x in v.items()}


def unpack(data):
    import msgpack
    return from_bytes(msgpack.unpackb(data, raw=False))


# ---- doc/openapi.json ----

class Schemas:
    """As much of JSON Schema as the document uses; a word that is not known here is an error."""
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
             "number": (int, float), "null": type(None)}
    ignored = {"description", "format", "default", "contentEncoding", "title"}

    def __init__(self, doc):
        self.doc = doc

    def resolve(self, node):
        while "$ref" in node:
            found = self.doc
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    def is_type(self, v, names):
        names = [names] if isinstance(names, str) else names
        return any(isinstance(v, self.types[n]) and (n == "boolean" or not isinstance(v, bool))
                   for n in names)

    def check(self, v, schema, at):
        schema = self.resolve(schema)
        for word, arg in schema.items():
            if word not in self.ignored:
                yield from getattr(self, "on_" + word)(v, arg, at, schema)

    def on_type(self, v, arg, at, _):
        if not self.is_type(v, arg):
            yield f"{at}: {v!r} is no {arg}"

    def on_enum(self, v, arg, at, _):
        if v not in arg:
            yield f"{at}: {v!r} is not one of {arg}"

    def on_const(self, v, arg, at, _):
        if v != arg:
            yield f"{at}: {v!r} is not {arg!r}"

    def on_pattern(self, v, arg, at, _):
        if isinstance(v, str) and not re.search(arg, v):
            yield f"{at}: {v!r} does not match {arg}"

    def on_required(self, v, arg, at, _):
        for name in arg:
            if isinstance(v, dict) and name not in v:
                yield f"{at}: '{name}' is missing"

    def on_properties(self, v, arg, at, _):
        for name, schema in arg.items():
            if isinstance(v, dict) and name in v:
                yield from self.check(v[name], schema, f"{at}.{name}")

    def on_additionalProperties(self, v, arg, at, schema):
        for name in v if isinstance(v, dict) else ():
            if name in schema.get("properties", {}):
                continue
            if arg is False:
                yield f"{at}: '{name}' is not described"
            elif arg is not True:
                yield from self.check(v[name], arg, f"{at}.{name}")

    def on_items(self, v, arg, at, _):
        for i, x in enumerate(v if isinstance(v, list) else ()):
            yield from self.check(x, arg, f"{at}[{i}]")

    def on_oneOf(self, v, arg, at, _):
        if sum(not list(self.check(v, s, at)) for s in arg) != 1:
            yield f"{at}: {v!r} fits not one of {len(arg)}"


def path_of(doc, target):
    words = target.split("?")[0].split("/")
    for path in doc["paths"]:
        parts = path.split("/")
        if len(parts) == len(words) and all(p == w or p.startswith("{") for p, w in zip(parts, words)):
            return path
    return None


def body_of(kind, file):
    with open(file, "rb") as f:
        data = f.read()
    if kind == "application/msgpack":
        return unpack(data)
    if kind.endswith("json"):
        return json.loads(data)
    return data.decode(errors="replace")


def check_answer(schemas, method, target, status, kind, file):
    """Yields complaints; a path or method that is not there is no answer of an operation."""
    path = path_of(schemas.doc, target)
    operation = path and schemas.doc["paths"][path].get({"HEAD": "get"}.get(method, method.lower()))
    at = f"{method} {target} {status}"
    if not operation:
        if status not in ("404", "405", "400", "401"):
            yield f"{at}: no such operation"
        return
    answer = operation["responses"].get(status)
    if not answer:
        yield f"{at}: the status is not described"
        return
    content = schemas.resolve(answer).get("content", {})
    if kind not in content:
        yield f"{at}: the type '{kind}' is not described"
    elif method != "HEAD":
        yield from schemas.check(body_of(kind, file), content[kind]["schema"], at)


def openapi(doc_file, seen_file):
    with open(doc_file) as f:
        schemas = Schemas(json.load(f))
    good = set()
    with open(seen_file) as f:
        for line in f:
            method, target, status, kind, file = line.rstrip("\n").split("\t")
            yield from check_answer(schemas, method, target, status, kind, file)
            path = path_of(schemas.doc, target)
            if status.startswith("2") and path:
                good.add((method.lower(), path, status, kind))
    for path, item in schemas.doc["paths"].items():
        for method in item.keys() - {"parameters"}:
            for status, answer in item[method]["responses"].items():
                for kind in schemas.resolve(answer).get("content", {}) if status < "300" else ():
                    if (method, path, status, kind) not in good:
                        yield f"{method} {path}: {status} with {kind} was never seen"


# ---- /metrics ----

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(\{{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*\}})? '
                    r"(NaN|[+-]?Inf|[+-]?[0-9.]+(?:e[+-]?[0-9]+)?)$")


def check_histogram(name, samples):
    buckets = [float(v) for n, labels, v in samples if n == name + "_bucket"]
    count = [float(v) for n, labels, v in samples if n == name + "_count"]
    if not buckets or buckets != sorted(buckets) or count != buckets[-1:]:
        yield f"{name}: buckets {buckets} and count {count} do not fit"
    if not any(n == name + "_bucket" and '"+Inf"' in labels for n, labels, v in samples):
        yield f"{name}: no bucket '+Inf'"


def metrics(file):
    with open(file, newline="") as f:
        text = f.read()
    if not text.endswith("\n") or "\r" in text:
        yield "lines do not end as they should"
    kinds, helped, samples, current = {}, set(), [], None
    for line in text.splitlines():
        head = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
        sample = SAMPLE.fullmatch(line)
        if head and head[1] == "HELP":
            if head[2] in helped:
                yield f"{head[2]}: two times HELP"
            helped.add(head[2])
        elif head:
            current = head[2]
            kinds[current] = head[3]
        elif not sample:
            yield f"not understood: {line}"
        elif re.sub("_(bucket|sum|count)$", "", sample[1]) != current and sample[1] != current:
            yield f"{sample[1]}: does not stand below its TYPE"
        else:
            samples.append((sample[1], sample[2] or "", sample[3]))
    if len({s[:2] for s in samples}) != len(samples):
        yield "a sample comes twice"
    for name, kind in kinds.items():
        if kind == "counter" and not name.endswith("_total"):
            yield f"{name}: a counter's name ends with _total"
        if kind == "histogram":
            yield from check_histogram(name, samples)
    if helped != kinds.keys():
        yield "HELP and TYPE do not come in pairs"


def main(what, *args):
    if what == "pack":
        import msgpack
        sys.stdout.buffer.write(msgpack.packb(to_bytes(json.load(sys.stdin)), use_bin_type=True))
    elif what == "unpack":
        print(json.dumps(unpack(sys.stdin.buffer.read())))
    else:
        for complaint in {"openapi": openapi, "metrics": metrics}[what](*args):
            print(complaint)


main(*sys.argv[1:])
