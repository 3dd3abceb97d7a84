/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* One option of a plugin's table, for the files of this folder. */
#ifndef PLUGIN_OPTION_H
#define PLUGIN_OPTION_H

#include <stdint.h>

#include <berth/plugin.h>

const char *option_type_name(uint32_t type); /* "size"; NULL if there is no such type */
const char *
option_type_words(uint32_t type); /* "a size such as 512M"; type must be known */
/* Reads text as the option's type. *ret_int and *ret_float both hold the value of a number
 * and are 0 for a string or list. 0 or -EINVAL. */
int option_parse(const struct berth_option *option, const char *text, int64_t *ret_int,
                 double *ret_float);

#endif
