# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""What was measured, as a table for the terminal and as a page."""

import os
import platform
import re
import shlex
import subprocess

MIB = 1024 * 1024


class Report:
    def __init__(self):
        self.sections = []

    def section(self, title, text):
        self.sections.append((title, " ".join(text.split()), []))

    def row(self, what, value, unit, bar=None, digits=2):
        """bar: (">=" or "<=", number), in the row's unit."""
        verdict = ""
        if bar:
            met = value >= bar[1] if bar[0] == ">=" else value <= bar[1]
            verdict = f"{'≥' if bar[0] == '>=' else '≤'} {bar[1]:g}: {'met' if met else 'MISSED'}"
        self.sections[-1][2].append((what, f"{value:,.{digits}f}".replace(",", " "), unit, verdict))
        print(f"  {what:<62} {self.sections[-1][2][-1][1]:>12} {unit:<12} {verdict}", flush=True)

    def begin(self, title, text):
        self.section(title, text)
        print(title, flush=True)

    def missed(self):
        return [row[0] for _, _, rows in self.sections for row in rows if "MISSED" in row[3]]

    def page(self, head):
        lines = [head]
        for title, text, rows in self.sections:
            lines += ["", f"## {title}", "", text, "", "| | value | | bar |", "|---|---:|---|---|"]
            lines += [f"| {what} | {value} | {unit} | {verdict} |" for what, value, unit, verdict in rows]
        missed = self.missed()
        lines += ["", "## Bars that were missed", ""]
        lines += [f"- {what}" for what in missed] or ["None."]
        return "\n".join(lines) + "\n"


def first_match(path, pattern, otherwise):
    with open(path) as file:
        found = re.search(pattern, file.read(), re.M)
    return found[1] if found else otherwise


def compiler():
    return shlex.split(os.environ.get("CC", "cc"))


def machine():
    """What a reader needs to compare with another machine, and nothing that names this one."""
    memory_kb = int(first_match("/proc/meminfo", r"^MemTotal:\s*(\d+)", "0"))
    version = subprocess.run([*compiler(), "--version"], capture_output=True, text=True).stdout
    return {
        "CPU": first_match("/proc/cpuinfo", r"^model name\s*:\s*(.*)", platform.machine()),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_kb / 1024 / 1024:.0f} GiB",
        "kernel": platform.release(),
        "control groups": cgroups(),
        "compiler": version.splitlines()[0] if version else "unknown",
    }


def cgroups():
    with open("/proc/mounts") as mounts:
        kinds = {line.split()[2] for line in mounts}
    return "version 1" if "cgroup" in kinds else "version 2" if "cgroup2" in kinds else "none"


def commit(folder):
    """The commit that was measured; changes that are not in it are said."""
    def git(*args):
        return subprocess.run(["git", "-C", folder, *args], capture_output=True, text=True).stdout.strip()

    name = git("rev-parse", "--short=12", "HEAD") or "unknown (no git)"
    changed = [line for line in git("status", "--porcelain", "-uno").splitlines() if "doc/benchmarks.md" not in line]
    return name + (" with changes" if changed else "")
