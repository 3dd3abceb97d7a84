#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""Runs a shell command a hundred times, with $1 from 0 to 99, and prints what each says as it ends.

    fanout.py http://127.0.0.1:2591 EXECUTER 'echo $(($1 * $1))'

EXECUTER is one whose command is a shell: /bin/sh -c.
"""

import concurrent.futures
import sys

import berth

url, executer, command = sys.argv[1:]
with berth.Executor(url, executer) as executor:
    futures = [executor.submit(command, "task", str(n)) for n in range(100)]
    for future in concurrent.futures.as_completed(futures):
        sys.stdout.write(future.result().check().text)
