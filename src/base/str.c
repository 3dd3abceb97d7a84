/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Text: UTF-8, names, near misses, secrets. */
#include "base/str.h"

#include <errno.h>
#include <string.h>

/* Length of the well-formed sequence at s (Unicode, table 3-7), 0 if there is none. */
static size_t utf8_sequence(const unsigned char *s, size_t len)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t n;

    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (len < n)
        return 0;
    switch (s[0]) {
    case 0xe0:
        low = 0xa0;
        break;
    case 0xed:
        high = 0x9f;
        break; /* surrogates */
    case 0xf0:
        low = 0x90;
        break;
    case 0xf4:
        high = 0x8f;
        break;
    }
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

size_t utf8_prefix(const char *s, size_t len)
{
    size_t i = 0, n;
    uint64_t word;

    while (i < len) {
        while (len - i >= sizeof(word)) {
            memcpy(&word, s + i, sizeof(word));
            if (word & 0x8080808080808080u)
                break;
            i += sizeof(word);
        }
        if (i == len)
            break;
        n = utf8_sequence((const unsigned char *)s + i, len - i);
        if (!n)
            break;
        i += n;
    }
    return i;
}

bool is_utf8(const char *s, size_t len)
{
    return utf8_prefix(s, len) == len;
}

void clean_text(char *s, size_t max)
{
    size_t len = strlen(s), i = 0, n;

    if (len > max) {
        /* not in the middle of a character */
        for (len = max; len && ((unsigned char)s[len] & 0xc0) == 0x80;)
            len--;
        s[len] = '\0';
    }
    while (i < len) {
        n = utf8_sequence((unsigned char *)s + i, len - i);
        if (!n || (unsigned char)s[i] < ' ' || s[i] == 0x7f)
            s[i] = s[i] == '\n' || s[i] == '\t' ? ' ' : '?';
        i += n ? n : 1;
    }
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_made_of(const char *s, size_t len, const char *others)
{
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(s[i]) && (!s[i] || !strchr(others, s[i])))
            return false;
    return true;
}

bool is_task_id(const char *s, size_t len)
{
    return s && len >= 1 && len <= 128 && is_made_of(s, len, "._:-");
}

bool is_name(const char *s)
{
    size_t len = s ? strnlen(s, 65) : 0;

    return len >= 1 && len <= 64 && is_alnum(s[0]) && is_made_of(s, len, "._-");
}

#define NEAR_MAX 64

/* Edit distance with neighbours swapped counted as one edit. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][NEAR_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2], *spare;

    for (size_t j = 0; j <= b_len; j++)
        above[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);

            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[b_len];
}

const char *nearest_name(const char *wrong, const char *const *names)
{
    size_t wrong_len = wrong ? strnlen(wrong, NEAR_MAX + 1) : 0, best = SIZE_MAX;
    const char *found = NULL;

    if (!wrong_len || wrong_len > NEAR_MAX || !names)
        return NULL;
    for (; *names; names++) {
        size_t len = strlen(*names), d;

        if (len > NEAR_MAX)
            continue;
        d = edit_distance(wrong, wrong_len, *names, len);
        if (d < best && d * 3 <= (len > wrong_len ? len : wrong_len)) {
            best = d;
            found = *names;
        }
    }
    return found;
}

bool equal_secret(const void *a, size_t a_len, const void *b, size_t b_len)
{
    const volatile unsigned char *x = a, *y = b;
    size_t n = a_len < b_len ? a_len : b_len;
    unsigned char diff = a_len != b_len;

    for (size_t i = 0; i < n; i++)
        diff |= x[i] ^ y[i];
    return !diff;
}
