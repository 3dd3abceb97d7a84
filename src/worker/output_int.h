/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What writer and reader of a ring file agree on. */
#ifndef WORKER_OUTPUT_INT_H
#define WORKER_OUTPUT_INT_H

#include <endian.h>

#define OUTPUT_POS ".pos"
#define OUTPUT_CLAIMED 0 /* offset: the stream's length, before bytes are overwritten */
#define OUTPUT_THERE \
    8 /* offset: the stream's length that can be read, after they were written */

#endif
