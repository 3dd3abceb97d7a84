# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Greets its argument, and says what it was given on standard input.
echo "hello, ${1:-world}"
cat
