/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The smallest payload: linked statically by tests/bench/run. */
int main(void)
{
    return 0;
}
