# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""What can go wrong. Each text says what was wrong and, where it can be known, what would be right."""


class Error(Exception):
    """The base of all errors of this package."""


class Rejected(Error):
    """The task was refused, and has not run: it is wrong, names an unknown executer, or breaks a policy."""

    def __init__(self, message, code="rejected", result=None):
        super().__init__(message)
        self.code = code  # such as "unknown-executer"
        self.result = result  # Result, or None if the host gave none


class Conflict(Rejected):
    """The id was used for a different task."""


class Unauthorized(Error):
    """The server wants another token or password, or does not allow it."""


class NotFound(Error):
    """There is no such task, or its result is no longer kept."""


class Unavailable(Error):
    """The server was away, or without room, for longer than the client's patience.

    What was being sent may have arrived. Sending it again with the same id does no harm.
    """


class NotDone(Error, TimeoutError):
    """The task is not done yet. It goes on."""


class TaskFailed(Error):
    """The task ran and did not succeed; raised by Result.check()."""

    def __init__(self, message, result):
        super().__init__(message)
        self.result = result
