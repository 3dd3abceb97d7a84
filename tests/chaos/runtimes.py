# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""Where tasks run. To add one: a subclass of Runtime, and its name in RUNTIMES."""


class Runtime:
    name = ""

    def config(self, work):
        """Its entry in the config's list of runtimes."""
        raise NotImplementedError

    def executer(self, marks, work, name):
        """An entry in the list of executers: it runs payload.sh with the marks' directory writable, and tells it
        the directory of its daemon."""
        raise NotImplementedError

    def left(self, daemon):
        """What it left on the machine, one line each, besides processes, control groups and mounts."""
        return []


class ProcessRuntime(Runtime):
    name = "process"

    def config(self, work):
        return '{ plugin = "process"; }'

    def executer(self, marks, work, name):
        return (f'{{ name = "{name}"; runtime = "process"; command = [ "/bin/sh", "{marks}/payload.sh" ];\n'
                f'     env = {{ CHAOS_MARKS = "{marks}"; CHAOS_NODE = "{work}"; }}; bind_rw = [ "{marks}" ]; }}')


RUNTIMES = {r.name: r for r in (ProcessRuntime,)}
