# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""The numbered tasks of a round, what became of each, and what DESIGN §3 says about that."""
import os
import threading
import time

from transports import Refused, output_of

KINDS = {"short": 6, "long": 4, "fail": 3, "fork": 2, "files": 2, "input": 1, "signal": 1, "slow": 1,
         "cancel": 1}
INPUT_BYTES = 150000  # a record that no attempt's directory keeps


class Task:
    def __init__(self, number, kind, transport, rng, marks, spread=1.2):
        self.number, self.id = number, f"t{number:03}-{kind}"
        self.kind, self.transport = kind, transport
        self.retries = rng.choice((0, 0, 1, 2))
        self.delay = rng.uniform(0, spread)
        self.cancel_after = rng.uniform(0.05, 1.0) if kind == "cancel" else None
        what, argument = kind, ""
        self.body = {"id": self.id, "executer": "chaos", "retries": self.retries}
        if kind in ("long", "fork"):
            argument = f"{rng.uniform(0.1, 1.5):.2f}"
        elif kind == "cancel":
            what, argument = "long", "1.50"
        elif kind == "fail":
            argument = str(rng.randint(1, 90))
        elif kind == "signal":
            argument = str(rng.choice((6, 9, 11)))
        elif kind == "slow":
            argument = "600"
            self.body["timeout_ms"] = rng.randint(100, 800)
        elif kind == "input":
            argument = str(INPUT_BYTES)
            self.body["input"] = "x" * INPUT_BYTES
        self.argument = argument
        self.body["args"] = [what, self.id, argument]
        self.marks_path = f"{marks}/{self.id}"
        with open(self.marks_path, "w"):
            pass
        os.chmod(self.marks_path, 0o666)  # each attempt has a uid of its own
        self.was_accepted = self.cancelled = False
        self.copies = 1  # of it that its senders have made; a host that has forgotten one begins anew with another
        self.results = []  # (channel, result, size of the marks when it came)
        self.trouble = []
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        time.sleep(self.delay)
        try:
            self.transport.run(self)
        except Refused as e:
            self.trouble.append(str(e))

    def accepted(self):
        self.was_accepted = True

    def result(self, channel, body):
        self.results.append((channel, body, os.path.getsize(self.marks_path)))

    def marks(self, offset=0):
        """[(what, (host, attempt), code or None)]"""
        with open(self.marks_path) as f:
            f.seek(offset)
            lines = [line.split() for line in f]
        return [(w[0], (w[1], int(w[2])), int(w[3]) if len(w) > 3 else None) for w in lines]

    # ---- the check ----

    @staticmethod
    def attempt_of(body):
        return body.get("host"), body.get("attempt")

    def essence(self, body):
        return (self.attempt_of(body), body.get("verdict"), body.get("blame"), body.get("exit_code"),
                body.get("signal"), output_of(body))

    def check(self, max_losses, full, witness_gone):
        """Complaints. full: the disk was, for a while. witness_gone: it could not take what happened, and who knew
        it was killed: an attempt is forgotten then, and its number given again when it has ended."""
        bad = list(self.trouble)
        if not self.results:
            return bad + ["no result came"]
        if witness_gone and not self.was_accepted:
            return bad  # its result was told on the line; nobody was left who could know that
        if len({self.essence(body) for _, body, _ in self.results}) > 1:
            bad.append("two different results: " + str([(c, self.essence(b)) for c, b, _ in self.results]))
        for channel, body, size in self.results:
            if self.copies == 1 and any(a[0] == body["host"] for _, a, _ in self.marks(size)):
                bad.append(f"it wrote on after its result came by {channel}")
        result, marks = self.results[0][1], self.marks()
        return bad + self.check_marks(marks, result, witness_gone) + self.check_result(marks, result, max_losses, full)

    def check_marks(self, marks, result, witness_gone):
        bad, last = [], {}
        for what, (host, attempt), _ in marks:
            before = last.get(host, 0)
            if attempt < before and self.copies == 1:
                bad.append(f"attempt {attempt} wrote '{what}' after attempt {before} had begun on {host}")
            last[host] = max(before, attempt)
        for what in ("start", "end"):
            seen = [a for w, a, _ in marks if w == what]
            if len(seen) != len(set(seen)) and self.copies == 1 and not witness_gone:
                bad.append(f"an attempt has two '{what}' marks: {seen}")
        if last.get(result["host"], 0) > result["attempt"]:
            bad.append(f"attempt {last[result['host']]} ran, the result is of attempt {result['attempt']}")
        return bad

    def check_result(self, marks, result, max_losses, full):
        verdict, attempt = result["verdict"], self.attempt_of(result)
        ends = {a: code for w, a, code in marks if w == "end"}
        starts = {a for w, a, _ in marks if w == "start"}
        bad, code = [], ends.get(attempt)
        if verdict in ("succeeded", "failed"):
            want = -result["signal"] if result.get("signal") else result.get("exit_code")
            if code != want:
                bad.append(f"the result says {want}, the payload wrote {code}")
            told = result.get("output_truncated") and "stdout_error" in result.get("evidence", {})
            if output_of(result) != f"{self.id} {result['attempt']}\n" and not told:
                bad.append(f"the output is {output_of(result)!r}, and nothing says why: {result}")
        if verdict not in self.verdicts(full) and result.get("blame") != "node":
            bad.append(f"the verdict is {verdict} ({result.get('blame')}): {result.get('error')}")
        if self.kind in ("fail", "signal") and verdict == "failed" and len(ends) <= self.retries:
            bad.append(f"it failed {len(ends)} times, with {self.retries} retries")
        if verdict == "succeeded" and code != 0:
            bad.append("it succeeded without an end")
        if verdict == "cancelled" and attempt in starts and not self.cancelled:
            bad.append("nobody cancelled it")
        return bad + self.check_attempts(result, max_losses)

    def verdicts(self, full):
        if self.cancelled:
            return ("succeeded", "failed", "timeout", "cancelled")
        if self.kind == "files" and full:  # it could not write them
            return ("succeeded", "failed")
        return {"fail": ("failed",), "signal": ("failed",), "slow": ("timeout",)}.get(self.kind, ("succeeded",))

    def check_attempts(self, result, max_losses):
        """Failures use retries up, losses are free but capped."""
        verdict, attempt, blame = result["verdict"], result["attempt"], result.get("blame")
        fails = self.kind in ("fail", "signal", "slow")
        least, most = 1, 1 + max_losses
        if self.cancelled:  # no attempt follows
            least = 0
            most += self.retries
        elif blame == "node":
            least = 1 + max_losses
            most += self.retries if fails else 0
        elif fails:
            least += self.retries
            most += self.retries
        if least <= attempt <= most:
            return []
        return [f"{attempt} attempts, with {self.retries} retries it should be {least} to {most}"]

    def disturbed(self):
        """Attempts whose payload began, and that are not what the result is about."""
        marks, last = self.marks(), self.results[-1][1] if self.results else {}
        starts = {a for w, a, _ in marks if w == "start"}
        ends = {a: code for w, a, code in marks if w == "end"}
        if self.kind == "slow":
            return max(0, len(starts) - 1 - self.retries)
        if self.kind in ("fail", "signal"):
            counted = len(starts & set(ends))
            return len(starts - set(ends)) + max(0, counted - 1 - self.retries)
        done = self.attempt_of(last) if last.get("verdict") in ("succeeded", "cancelled") else None
        return len(starts - {done})


def make_tasks(rng, count, transports, marks, spread):
    kinds, weights = list(KINDS), list(KINDS.values())
    ways = [t for t in transports.values() for _ in range(t.weight)]
    return [Task(i, rng.choices(kinds, weights)[0], rng.choice(ways), rng, marks, spread) for i in range(count)]
