/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Between berth-fetch and who runs it: `berth-fetch get|put`, the URL in the
 * environment. */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#define FETCH_URL "BERTH_FETCH_URL"
#define FETCH_EXIT_USAGE 2
#define FETCH_EXIT_REFUSED \
    3 /* trying again will not help: 4xx, a redirect, no such scheme */
#define FETCH_EXIT_FAILED 4 /* it may: network, 5xx */

#endif
