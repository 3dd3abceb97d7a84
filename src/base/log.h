/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The log: one line per event, to stderr, with journald's <N> prefix where journald reads it. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>

#include <berth/plugin.h>

/* Role ("host", "process", "monitor") that stands in each line; the string must stay. */
void log_init(const char *role, int level);
void log_set_level(int level);
int log_level_parse(const char *name); /* "err" "warn" "info" "debug"; -1 if unknown */
/* subject: a task id or plugin name put before the text, or NULL. */
void log_line(int level, const char *subject, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void log_linev(int level, const char *subject, const char *format, va_list ap);

#define log_err(...) log_line(BERTH_LOG_ERR, NULL, __VA_ARGS__)
#define log_warn(...) log_line(BERTH_LOG_WARN, NULL, __VA_ARGS__)
#define log_info(...) log_line(BERTH_LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_line(BERTH_LOG_DEBUG, NULL, __VA_ARGS__)

#endif
