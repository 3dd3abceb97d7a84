/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Content negotiation between the two formats. */
#include "http_media.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include <berth/transport.h>

const char *const http_media_name[2] = {
    [BERTH_FORMAT_MSGPACK] = "application/msgpack",
    [BERTH_FORMAT_JSON] = "application/json",
};

static const struct media {
    const char *name;
    int format;
} media_table[] = {
    {"application/json", BERTH_FORMAT_JSON},
    {"application/msgpack", BERTH_FORMAT_MSGPACK},
    {"application/x-msgpack", BERTH_FORMAT_MSGPACK},
    {"application/vnd.msgpack", BERTH_FORMAT_MSGPACK},
};
#define MEDIA_COUNT (sizeof(media_table) / sizeof(media_table[0]))

static bool media_is(const char *text, size_t len, const char *name)
{
    return strlen(name) == len && !strncasecmp(text, name, len);
}

int http_media_format(const char *content_type)
{
    size_t len = strcspn(content_type, "; \t");
    for (size_t i = 0; i < MEDIA_COUNT; i++)
        if (media_is(content_type, len, media_table[i].name))
            return media_table[i].format;
    return -EINVAL;
}

/* The weight of one range in thousandths: "q=0.8" is 800; 1000 if it has none, 0 if it is broken. */
static int media_weight(const char *range, size_t len)
{
    const char *end = range + len;
    for (const char *p = memchr(range, ';', len); p;
         p = memchr(p, ';', (size_t)(end - p))) {
        p++;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        if (end - p < 3 || (*p != 'q' && *p != 'Q') || p[1] != '=')
            continue;
        if (p[2] == '1')
            return 1000;
        int weight = 0, scale = 100;
        if (p[2] != '0' || end - p < 5 || p[3] != '.')
            return 0;
        for (p += 4; p < end && *p >= '0' && *p <= '9' && scale; p++, scale /= 10)
            weight += (*p - '0') * scale;
        return weight;
    }
    return 1000;
}

struct media_wish {
    int weight[2]; /* by enum berth_format */
    int rank[2]; /* how exactly a range has named it: 1 for any, 2 application, 3 exactly */
};

static void media_wish(struct media_wish *wish, int format, int rank, int weight)
{
    if (rank < wish->rank[format] ||
        (rank == wish->rank[format] && weight <= wish->weight[format]))
        return;
    wish->rank[format] = rank;
    wish->weight[format] = weight;
}

static void media_range(struct media_wish *wish, const char *range, size_t len)
{
    size_t name = strcspn(range, ";, \t");
    int weight = media_weight(range, len);
    for (size_t i = 0; i < MEDIA_COUNT; i++) {
        if (media_is(range, name, media_table[i].name))
            media_wish(wish, media_table[i].format, 3, weight);
        else if (media_is(range, name, "application/*"))
            media_wish(wish, media_table[i].format, 2, weight);
        else if (media_is(range, name, "*/*"))
            media_wish(wish, media_table[i].format, 1, weight);
    }
}

int http_media_accept(const char *const *accept, unsigned count)
{
    struct media_wish wish = {0};
    bool any = false;
    for (unsigned i = 0; i < count; i++) {
        for (const char *p = accept[i]; *p;) {
            size_t len = strcspn(p, ",");
            p += strspn(p, " \t") <= len ? strspn(p, " \t") : len;
            len = strcspn(p, ",");
            any |= len > 0;
            if (len)
                media_range(&wish, p, len);
            p += len + (p[len] == ',');
        }
    }
    if (!any)
        return BERTH_FORMAT_JSON;
    if (!wish.weight[0] && !wish.weight[1])
        return -ENOENT;
    return wish.weight[BERTH_FORMAT_MSGPACK] > wish.weight[BERTH_FORMAT_JSON]
               ? BERTH_FORMAT_MSGPACK
               : BERTH_FORMAT_JSON;
}
