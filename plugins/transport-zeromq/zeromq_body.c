/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* One table says which keys a body may have. */
#include "zeromq_body.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "zeromq_pack.h"

#define ID_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"
#define BIT(type) (1u << (type))

static const char *const type_names[] = {"READY",  "SUBMIT", "ACCEPTED", "EVENT",
                                         "RESULT", "CANCEL", "STATUS",   "PING",
                                         "PONG",   "ERROR",  ""};

enum field_kind { FIELD_TEXT, FIELD_WORD, FIELD_INT, FIELD_BOOL, FIELD_IDS };

static const struct field {
    const char *name;
    unsigned types; /* bits */
    enum field_kind kind;
    size_t offset, size;
    int64_t least, most; /* INT */
} fields[] = {
#define AT(member) offsetof(struct body, member), sizeof(((struct body *)0)->member)
    {"v", BIT(BODY_READY), FIELD_INT, AT(v), 0, INT64_MAX},
    {"client", BIT(BODY_READY), FIELD_WORD, AT(client), 0, 0},
    {"window", BIT(BODY_READY), FIELD_INT, AT(window), 1, ZEROMQ_WINDOW_MAX},
    {"events", BIT(BODY_READY), FIELD_BOOL, AT(events), 0, 0},
    {"durable", BIT(BODY_READY), FIELD_BOOL, AT(durable), 0, 0},
    {"id", BIT(BODY_CANCEL) | BIT(BODY_STATUS), FIELD_WORD, AT(id), 0, 0},
    {"ids", BIT(BODY_RESULT), FIELD_IDS, AT(ids), 0, 0},
    {"n", BIT(BODY_PING) | BIT(BODY_PONG), FIELD_INT, AT(n), 0, INT64_MAX},
    {"code", BIT(BODY_ERROR), FIELD_TEXT, AT(code), 0, 0},
    {"message", BIT(BODY_ERROR), FIELD_TEXT, AT(message), 0, 0},
#undef AT
};
#define FIELDS (sizeof fields / sizeof fields[0])

enum body_type body_type_of(const char *name, size_t len)
{
    int type = 0;
    while (type < BODY_UNKNOWN &&
           (strlen(type_names[type]) != len || memcmp(type_names[type], name, len) != 0))
        type++;
    return (enum body_type)type;
}

const char *body_type_name(enum body_type type)
{
    return type_names[type];
}

__attribute__((format(printf, 3, 4))) static int wrong(char *why, int code,
                                                       const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(why, BODY_WHY, format, ap);
    va_end(ap);
    return -code;
}

/* ---- one field ---- */

static int read_word(const struct field *f, const struct item *it, char *ret, char *why)
{
    if (item_copy(it, ret, f->size) && ret[0] && !ret[strspn(ret, ID_CHARS)])
        return 0;
    ret[0] = '\0';
    return wrong(why, EINVAL, "'%s' must be a string of 1 to %zu of [A-Za-z0-9._:-]",
                 f->name, f->size - 1);
}

static int read_ids(const struct item *it, struct reader *r, struct body *ret, char *why)
{
    ret->ids = r->at;
    ret->id_count = it->count;
    for (uint32_t i = 0; it->type == ITEM_ARRAY && i < it->count; i++) {
        struct item id;
        if (item_read(r, &id) < 0 || id.type != ITEM_STR)
            return wrong(why, EINVAL, "'ids' must be an array of strings");
    }
    if (it->type != ITEM_ARRAY)
        return wrong(why, EINVAL, "'ids' must be an array of strings");
    ret->ids_len = (size_t)(r->at - (const unsigned char *)ret->ids);
    return 0;
}

static int read_field(const struct field *f, struct reader *r, struct body *ret, char *why)
{
    char *to = (char *)ret + f->offset;
    struct item it;
    if (item_read(r, &it) < 0)
        return wrong(why, EPROTO, "the body ends within '%s'", f->name);
    switch (f->kind) {
    case FIELD_TEXT:
        if (it.type == ITEM_STR && it.len >= f->size)
            it.len = f->size - 1;
        item_copy(&it, to, f->size);
        return it.type == ITEM_STR ? 0
                                   : wrong(why, EINVAL, "'%s' must be a string", f->name);
    case FIELD_WORD:
        return read_word(f, &it, to, why);
    case FIELD_BOOL:
        *(bool *)to = it.n != 0;
        return it.type == ITEM_BOOL
                   ? 0
                   : wrong(why, EINVAL, "'%s' must be true or false", f->name);
    case FIELD_INT:
        if (it.type != ITEM_INT || it.n < f->least || it.n > f->most)
            return wrong(why, EINVAL, "'%s' must be an integer from %lld to %lld", f->name,
                         (long long)f->least, (long long)f->most);
        memcpy(to, &it.n, sizeof it.n);
        return 0;
    default:
        return read_ids(&it, r, ret, why);
    }
}

/* ---- a body ---- */

static const struct field *find_field(enum body_type type, const struct item *key)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].types & BIT(type) && item_is(key, fields[i].name))
            return &fields[i];
    return NULL;
}

static int unknown_key(enum body_type type, const struct item *key, char *why)
{
    char known[128] = "";
    size_t n = 0;
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].types & BIT(type))
            n += (size_t)snprintf(known + n, sizeof known - n, "%s'%s'", n ? ", " : "",
                                  fields[i].name);
    if (key->type != ITEM_STR)
        return wrong(why, EINVAL, "a key of %s is a %s: keys are strings, %s",
                     type_names[type], item_type_name(key->type), known);
    return wrong(why, EINVAL, "%s has no key '%.*s': its keys are %s", type_names[type],
                 key->len < 64 ? (int)key->len : 64, key->s, known);
}

static int read_pair(enum body_type type, struct reader *r, struct body *ret, char *why)
{
    struct item key;
    if (item_read(r, &key) < 0)
        return wrong(why, EPROTO, "the body ends too early, or is no MessagePack");
    const struct field *f = find_field(type, &key);
    if (f)
        return read_field(f, r, ret, why);
    if (type != BODY_ERROR)
        return unknown_key(type, &key, why);
    return item_skip(r) == 0 ? 0 : wrong(why, EPROTO, "the body ends too early");
}

/* A task's id; whatever else is wrong with the task, the host says so. */
static int read_task(struct reader *r, uint32_t pairs, struct body *ret, char *why)
{
    static const struct field id = {"id", 0, FIELD_WORD, 0, BODY_ID, 0, 0};
    for (uint32_t i = 0; i < pairs; i++) {
        struct item key, value;
        struct reader at;
        if (item_read(r, &key) < 0)
            return wrong(why, EPROTO, "the task ends too early, or is no MessagePack");
        at = *r;
        if (key.type > ITEM_EXT || item_skip(r) < 0)
            return wrong(why, EPROTO, "the task ends too early, or is no MessagePack");
        if (!item_is(&key, "id"))
            continue;
        item_read(&at, &value);
        if (read_word(&id, &value, ret->id, why) < 0)
            return -EINVAL;
    }
    if (ret->id[0])
        return 0;
    return wrong(
        why, EINVAL,
        "the task has no 'id': give it one, by which it is known when it is sent again");
}

static int check_needed(enum body_type type, const struct body *b, char *why)
{
    if (type == BODY_READY && b->v != ZEROMQ_VERSION)
        return wrong(why, EPROTO, "'v' must be %d, the version of the protocol spoken here",
                     ZEROMQ_VERSION);
    if ((type == BODY_CANCEL || type == BODY_STATUS) && !b->id[0])
        return wrong(why, EINVAL, "%s needs 'id', the task's", type_names[type]);
    if (type == BODY_RESULT && !b->ids)
        return wrong(why, EINVAL,
                     "RESULT needs 'ids', the tasks whose results have arrived");
    return 0;
}

int body_read(enum body_type type, const void *data, size_t len, struct body *ret,
              char why[BODY_WHY])
{
    struct reader r = {.at = data, .end = (const unsigned char *)data + len};
    struct item map;
    int rc = 0;
    *ret = (struct body){.window = ZEROMQ_WINDOW, .durable = true, .n = -1};
    if (item_read(&r, &map) < 0 || map.type != ITEM_MAP)
        return wrong(why, EPROTO, "the body of %s must be a map in MessagePack",
                     type_names[type]);
    if (type == BODY_SUBMIT)
        rc = read_task(&r, map.count, ret, why);
    for (uint32_t i = 0; type != BODY_SUBMIT && rc == 0 && i < map.count; i++)
        rc = read_pair(type, &r, ret, why);
    if (rc == 0 && r.at != r.end)
        rc = wrong(why, EPROTO, "%zu bytes follow the map in the body of %s",
                   (size_t)(r.end - r.at), type_names[type]);
    return rc == 0 ? check_needed(type, ret, why) : rc;
}

bool body_next_id(struct body *b, char id[BODY_ID])
{
    struct item it;
    if (!b->id_count)
        return false;
    struct reader r = {.at = b->ids, .end = (const unsigned char *)b->ids + b->ids_len};
    while (b->id_count && item_read(&r, &it) == 0) {
        b->id_count--;
        b->ids = r.at;
        b->ids_len = (size_t)(r.end - r.at);
        if (item_copy(&it, id, BODY_ID))
            return true;
    }
    return false;
}
