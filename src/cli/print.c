/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Output for people: tables, fields, times. Text from tasks is made harmless for a terminal. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cli.h"

/* Bytes of the control character at s, 0 for any other: of ASCII, and those that UTF-8 writes as 0xc2
 * and 0x80 to 0x9f, among which is another way to begin an escape sequence. */
static size_t control_at(const char *s, const char *end)
{
    unsigned char c = (unsigned char)*s;
    if (c < 32 || c == 127)
        return 1;
    return c == 0xc2 && s + 1 < end && (unsigned char)s[1] >= 0x80 &&
                   (unsigned char)s[1] < 0xa0
               ? 2
               : 0;
}

static void print_clean(FILE *to, const char *s, size_t len, const char *keep)
{
    for (const char *end = s + len; s < end;) {
        size_t n = control_at(s, end);
        putc(n && (!*s || !strchr(keep, *s)) ? '?' : *s, to);
        s += n ? n : 1;
    }
}

void print_line(FILE *to, const char *s)
{
    print_clean(to, s, strlen(s), "\t");
}

void print_text(const char *s)
{
    if (s)
        print_line(stdout, s);
}

void print_output(FILE *to, const char *s, size_t len)
{
    if (isatty(fileno(to)))
        print_clean(to, s, len, "\t\n");
    else
        fwrite(s, 1, len, to);
}

static void format_time(int64_t unix_ms, char *out, size_t len)
{
    time_t s = unix_ms / 1000;
    struct tm tm;
    if (!unix_ms || !localtime_r(&s, &tm))
        snprintf(out, len, "-");
    else
        strftime(out, len, "%F %T", &tm);
}

void print_time(int64_t ms)
{
    char text[32];
    format_time(ms, text, sizeof text);
    fputs(text, stdout);
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static void print_scalar(const char *key, const struct value *v)
{
    char text[32];
    switch (v->type) {
    case VALUE_BOOL:
        fputs(v->b ? "yes" : "no", stdout);
        break;
    case VALUE_INT:
        if (v->i > 1000000000000 && ends_with(key, "_ms"))
            print_time(v->i);
        else if (ends_with(key, "_ms")) {
            format_duration(v->i, text);
            fputs(text, stdout);
        } else if (v->i >= 65536 && (strstr(key, "memory") || strstr(key, "disk"))) {
            format_bytes((uint64_t)v->i, text);
            fputs(text, stdout);
        } else
            printf("%lld", (long long)v->i);
        break;
    case VALUE_UINT:
        printf("%llu", (unsigned long long)v->u);
        break;
    case VALUE_FLOAT:
        printf("%g", v->f);
        break;
    case VALUE_STR:
        print_text(v->s);
        break;
    case VALUE_BIN:
        printf("(%zu bytes)", v->len);
        break;
    default:
        putchar('-');
    }
}

/* Text of more than a line, or that came as bytes. */
static bool is_block(const struct value *v)
{
    if (v->type == VALUE_STR)
        return memchr(v->s, '\n', v->len);
    return v->type == VALUE_BIN && v->len && is_utf8(v->s, v->len) &&
           !memchr(v->s, '\0', v->len);
}

static void print_block(const struct value *v, int indent)
{
    const char *end = v->s + v->len;
    for (const char *line = v->s, *next; line < end; line = next) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        next = stop ? stop + 1 : end;
        printf("\n%*s", indent, "");
        print_clean(stdout, line, (size_t)((stop ? stop : end) - line), "\t");
    }
}

static void print_indented(const struct value *map, int indent)
{
    for (uint32_t i = 0; i < map->count; i++) {
        const char *key = map->pairs[i].key.s;
        const struct value *v = &map->pairs[i].val;
        printf("%*s%s:", indent, "", key);
        if (v->type == VALUE_MAP) {
            putchar('\n');
            print_indented(v, indent + 2);
            continue;
        }
        if (is_block(v)) {
            print_block(v, indent + 2);
        } else if (v->type != VALUE_ARRAY) {
            putchar(' ');
            print_scalar(key, v);
        }
        for (uint32_t k = 0; v->type == VALUE_ARRAY && k < v->count; k++) {
            if (v->items[k].type == VALUE_MAP) {
                putchar('\n');
                print_indented(&v->items[k], indent + 2);
            } else {
                putchar(' ');
                print_scalar(key, &v->items[k]);
            }
        }
        putchar('\n');
    }
}

void print_fields(const struct value *map)
{
    print_indented(map, 0);
}

static void cell_text(const struct column *c, const struct value *v, char *out, size_t len)
{
    out[0] = '\0';
    if (!v || v->type == VALUE_NIL)
        snprintf(out, len, "-");
    else if (v->type == VALUE_STR)
        snprintf(out, len, "%s", v->len ? v->s : "-");
    else if (v->type == VALUE_BOOL)
        snprintf(out, len, "%s", v->b ? "yes" : "no");
    else if (v->type == VALUE_INT && c->kind == COLUMN_TIME)
        format_time(v->i, out, len);
    else if (v->type == VALUE_INT && c->kind == COLUMN_BYTES)
        format_bytes((uint64_t)v->i, out);
    else if (v->type == VALUE_INT)
        snprintf(out, len, "%lld", (long long)v->i);
    else if (v->type == VALUE_FLOAT)
        snprintf(out, len, "%g", v->f);
    const char *end = out + strlen(out);
    for (char *s = out; s < end; s++)
        for (size_t n = control_at(s, end); n > 0; n--)
            s[n - 1] = '?';
}

void print_table(const struct column *columns, const struct value *rows)
{
    char text[256];
    for (const struct column *c = columns; c->title; c++)
        printf(c[1].title ? "%-*s " : "%*s", c[1].title ? c->width : 0, c->title);
    putchar('\n');
    for (uint32_t i = 0; rows && rows->type == VALUE_ARRAY && i < rows->count; i++) {
        for (const struct column *c = columns; c->title; c++) {
            cell_text(c, value_get(&rows->items[i], c->key), text, sizeof text);
            printf(c[1].title ? "%-*s " : "%*s", c[1].title ? c->width : 0, text);
        }
        putchar('\n');
    }
}

int cli_print_json(struct cli *c, const struct value *v)
{
    cleanup_buf struct buf out = BUF_INIT;
    if (value_to_json(v, &out, c->terminal) < 0)
        return EXIT_BAD;
    print_output(stdout, out.data, out.len);
    putchar('\n');
    fflush(stdout);
    return EXIT_GOOD;
}
