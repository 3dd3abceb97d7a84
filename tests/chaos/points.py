# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""The file that a berthd with --enable-crash-points shares with its tests: see src/base/crash.c."""
import mmap
import os
import struct
import subprocess

HEAD = struct.Struct("=qI52x")
SLOT = struct.Struct("=56sII")


class Points:
    """What the roles pass, and where they are to die. Empty for a berthd without crash points."""

    def __init__(self, path, berthd):
        self.path = path
        self.index = {}
        self.map = None
        with open(path, "wb"):
            pass
        os.chmod(path, 0o600)
        subprocess.run([berthd, "--version"], env={**os.environ, "BERTH_CRASH_FILE": path},
                       stdout=subprocess.DEVNULL, check=True)
        if not os.path.getsize(path):
            return
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)
        for i in range(HEAD.unpack_from(self.map, 0)[1]):
            name = SLOT.unpack_from(self.map, self.at(i))[0].rstrip(b"\0").decode()
            if name:
                self.index[name] = i

    @staticmethod
    def at(i):
        return HEAD.size + i * SLOT.size

    def names(self):
        return list(self.index)

    def passed(self, name):
        return SLOT.unpack_from(self.map, self.at(self.index[name]))[1]

    def crash_at(self, name):
        return SLOT.unpack_from(self.map, self.at(self.index[name]))[2]

    def arm(self, name, nth):
        """Whoever passes it the NTH time from now dies there; only that one."""
        struct.pack_into("=I", self.map, self.at(self.index[name]) + 60, self.passed(name) + nth)

    def disarm(self, name):
        struct.pack_into("=I", self.map, self.at(self.index[name]) + 60, 0)

    def fired(self, name):
        return 0 < self.crash_at(name) <= self.passed(name)

    def set_clock(self, offset_ms):
        struct.pack_into("=q", self.map, 0, offset_ms)
