/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Resources: what the node has, what is booked of it, GPUs by name and slots by number. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "sched/internal.h"

enum { MICRO = 1000000, CPU_TOLERANCE = MICRO / 1000, SLOT_MAX = 1 << 20 };
static const int64_t amount_max = INT64_C(1) << 50; /* thousands of them can be added up */

static const char *no_gpus[] = {NULL};

static int64_t amount(int64_t n)
{
    return n < 0 ? 0 : n > amount_max ? amount_max : n;
}

struct amounts amounts_of(const struct task_resources *need)
{
    struct amounts a = {0};
    if (need->cpus > 0) /* not for NaN either */
        a.of[R_CPUS] =
            need->cpus < MICRO ? (int64_t)(need->cpus * MICRO + 0.5) : amount_max;
    a.of[R_MEMORY] = amount(need->memory_bytes);
    a.of[R_DISK] = amount(need->disk_bytes);
    a.of[R_PIDS] = amount(need->pids);
    a.of[R_GPUS] = amount(need->gpus);
    return a;
}

int pool_init(struct pool *p, const struct task_resources *capacity,
              const char *const *gpus)
{
    size_t n = 0;
    while (gpus && gpus[n])
        n++;
    p->given = *capacity;
    p->given.gpus = (int64_t)n;
    p->capacity = amounts_of(&p->given);
    p->gpus = calloc(n + 1, sizeof(*p->gpus));
    if (!p->gpus)
        return -ENOMEM;
    for (; p->gpu_count < n; p->gpu_count++) {
        p->gpus[p->gpu_count].name = strdup(gpus[p->gpu_count]);
        if (!p->gpus[p->gpu_count].name)
            return -ENOMEM;
    }
    return 0;
}

void pool_fini(struct pool *p)
{
    for (size_t i = 0; i < p->gpu_count; i++)
        free((char *)p->gpus[i].name);
    free(p->gpus);
    free(p->slots);
}

static bool is_limited(const struct pool *p, int r)
{
    return r == R_GPUS || p->capacity.of[r] > 0;
}

/* May be negative: what was adopted is booked whatever there is. */
static int64_t pool_free_of(const struct pool *p, int r)
{
    return p->capacity.of[r] - p->booked.of[r] + (r == R_CPUS ? CPU_TOLERANCE : 0);
}

bool pool_can_ever(const struct pool *p, const struct amounts *need)
{
    struct pool empty = {.capacity = p->capacity};
    return !pool_lacks(&empty, need);
}

unsigned pool_lacks(const struct pool *p, const struct amounts *need)
{
    unsigned lacks = 0;
    for (int r = 0; r < R_COUNT; r++)
        if (need->of[r] > 0 && is_limited(p, r) && need->of[r] > pool_free_of(p, r))
            lacks |= 1u << r;
    return lacks;
}

bool pool_conflicts(const struct pool *p, const struct amounts *need,
                    const struct amounts *first, unsigned held)
{
    for (int r = 0; r < R_COUNT; r++)
        if ((held & 1u << r) && need->of[r] > 0 &&
            pool_free_of(p, r) - need->of[r] < first->of[r])
            return true;
    return false;
}

double pool_share(const struct pool *p, const struct amounts *need)
{
    double share = 0;
    for (int r = 0; r < R_COUNT; r++) {
        double part =
            p->capacity.of[r] > 0 ? (double)need->of[r] / (double)p->capacity.of[r] : 0;
        share = part > share ? part : share;
    }
    return share;
}

/* ---- slots --------------------------------------------------------------------------- */

int pool_reserve_slots(struct pool *p, size_t count)
{
    if (count <= p->slot_words * 64)
        return 0;
    size_t words = p->slot_words ? 2 * p->slot_words : 4;
    while (words * 64 < count)
        words *= 2;
    uint64_t *slots = reallocarray(p->slots, words, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    memset(slots + p->slot_words, 0, (words - p->slot_words) * sizeof(*slots));
    p->slots = slots;
    p->slot_words = words;
    return 0;
}

static int pool_take_slot(struct pool *p)
{
    size_t w = 0;
    while (p->slots[w] == UINT64_MAX) /* there is room: it was reserved for each item */
        w++;
    int bit = __builtin_ctzll(~p->slots[w]);
    p->slots[w] |= UINT64_C(1) << bit;
    return (int)(w * 64) + bit;
}

/* ---- booking ------------------------------------------------------------------------- */

static void pool_add(struct pool *p, const struct sched_item *it, int sign)
{
    struct amounts need = amounts_of(&it->need);
    for (int r = 0; r < R_GPUS; r++)
        p->booked.of[r] += sign * need.of[r];
}

static struct gpu *pool_gpu(struct pool *p, const char *name)
{
    for (size_t i = 0; i < p->gpu_count; i++)
        if (!strcmp(p->gpus[i].name, name))
            return &p->gpus[i];
    return NULL;
}

static void gpu_take(struct pool *p, struct gpu *g)
{
    if (g->users++ == 0)
        p->booked.of[R_GPUS]++;
}

int pool_alloc_gpus(const struct pool *p, struct sched_item *it)
{
    it->gpus = no_gpus;
    if (it->need.gpus <= 0 || (size_t)it->need.gpus > p->gpu_count)
        return 0;
    const char **names = calloc((size_t)it->need.gpus + 1, sizeof(*names));
    if (!names)
        return -ENOMEM;
    it->gpus = names;
    return 0;
}

void pool_free_gpus(struct sched_item *it)
{
    if (it->gpus != no_gpus)
        free(it->gpus);
    it->gpus = NULL;
}

void pool_book(struct pool *p, struct sched_item *it)
{
    int64_t n = 0;
    for (size_t i = 0; i < p->gpu_count && n < it->need.gpus; i++)
        if (p->gpus[i].users == 0) {
            gpu_take(p, &p->gpus[i]);
            it->gpus[n++] = p->gpus[i].name;
        }
    pool_add(p, it, 1);
    it->slot = pool_take_slot(p);
}

/* A copy in one block: the names may be of GPUs that the config no longer has. */
static const char **copy_names(const char *const *names)
{
    size_t n = 0, bytes = 0;
    for (; names && names[n]; n++)
        bytes += strlen(names[n]) + 1;
    if (n == 0)
        return no_gpus;
    const char **copy = malloc((n + 1) * sizeof(*copy) + bytes);
    if (!copy)
        return NULL;
    char *text = (char *)(copy + n + 1);
    for (size_t i = 0; i < n; i++) {
        copy[i] = text;
        text = stpcpy(text, names[i]) + 1;
    }
    copy[n] = NULL;
    return copy;
}

int pool_adopt(struct pool *p, struct sched_item *it, int slot, const char *const *gpus)
{
    if (slot < -1 || slot >= SLOT_MAX)
        return -EINVAL;
    if (slot >= 0 && pool_reserve_slots(p, (size_t)slot + 1) < 0)
        return -ENOMEM;
    if (slot >= 0 && (p->slots[slot / 64] & UINT64_C(1) << slot % 64))
        return -EEXIST;
    const char **names = copy_names(gpus);
    if (!names)
        return -ENOMEM;
    it->gpus = names;
    for (size_t i = 0; names[i]; i++) {
        struct gpu *g = pool_gpu(p, names[i]);
        if (g)
            gpu_take(p, g);
    }
    pool_add(p, it, 1);
    if (slot >= 0)
        p->slots[slot / 64] |= UINT64_C(1) << slot % 64;
    it->slot = slot >= 0 ? slot : pool_take_slot(p);
    return 0;
}

int pool_move(struct pool *p, struct sched_item *it, int slot)
{
    if (slot < 0 || (size_t)slot >= p->slot_words * 64)
        return -EINVAL;
    if (slot != it->slot && p->slots[slot / 64] & UINT64_C(1) << slot % 64)
        return -EEXIST;
    p->slots[it->slot / 64] &= ~(UINT64_C(1) << it->slot % 64);
    p->slots[slot / 64] |= UINT64_C(1) << slot % 64;
    it->slot = slot;
    return 0;
}

void pool_release(struct pool *p, struct sched_item *it)
{
    for (size_t i = 0; it->gpus[i]; i++) {
        struct gpu *g = pool_gpu(p, it->gpus[i]);
        if (g && --g->users == 0)
            p->booked.of[R_GPUS]--;
    }
    pool_add(p, it, -1);
    p->slots[it->slot / 64] &= ~(UINT64_C(1) << it->slot % 64);
    it->slot = -1;
}
