/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Between berth and berth-send: `berth-send URL PATIENCE-MS FLAGS`, the task in MessagePack on standard
 * input. */
#ifndef CLI_SEND_H
#define CLI_SEND_H

#define SEND_WAIT 'w'
#define SEND_QUIET 'q'
#define SEND_JSON 'j'

#endif
