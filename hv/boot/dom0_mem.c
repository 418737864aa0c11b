/* SPDX-License-Identifier: MIT */
#include "dom0_mem.h"

#include "base/string.h"
#include "options.h"

#define PIECE_MAX 32

/* What dom0_mem= cannot ask for: the hypervisor's own allocations while domain 0 lives. */
#define KEEP_LEAST    (MiB(8) >> PAGE_SHIFT)
#define RESERVE_MOST  (MiB(128) >> PAGE_SHIFT)
#define RESERVE_SHARE 16

static bool take_piece(const char *piece, struct dom0_mem *out)
{
    bool *has = &out->has_size;
    uint64_t *value = &out->size;

    if (strncmp(piece, "min:", 4) == 0) {
        has = &out->has_min;
        value = &out->min;
        piece += 4;
    } else if (strncmp(piece, "max:", 4) == 0) {
        has = &out->has_max;
        value = &out->max;
        piece += 4;
    }
    if (*has)
        return false;
    *has = true;
    return options_parse_size(piece, value);
}

bool dom0_mem_parse(const char *text, struct dom0_mem *out)
{
    char piece[PIECE_MAX];

    memset(out, 0, sizeof(*out));
    if (!*text)
        return true;
    for (;;) {
        const char *comma = strchr(text, ',');
        size_t n = comma ? (size_t)(comma - text) : strlen(text);

        if (n >= sizeof(piece))
            return false;
        memcpy(piece, text, n);
        piece[n] = '\0';
        if (!take_piece(piece, out))
            return false;
        if (!comma)
            return !out->has_min || !out->has_max || out->min <= out->max;
        text = comma + 1;
    }
}

enum dom0_mem_verdict dom0_mem_decide(const struct dom0_mem *wish, uint64_t available,
                                      uint64_t *pages, uint64_t *max_pages, uint64_t *limit)
{
    uint64_t reserve = min(available / RESERVE_SHARE, (uint64_t)RESERVE_MOST);
    uint64_t most = available > KEEP_LEAST ? available - KEEP_LEAST : 0;
    uint64_t bytes = wish->has_size ? wish->size : (available - reserve) << PAGE_SHIFT;

    if (wish->has_min)
        bytes = max(bytes, wish->min);
    if (wish->has_max)
        bytes = min(bytes, wish->max);
    *pages = bytes >> PAGE_SHIFT;
    *max_pages = wish->has_max ? max(wish->max >> PAGE_SHIFT, *pages) : *pages;
    if (*pages < DOM0_MEM_LEAST >> PAGE_SHIFT) {
        *limit = DOM0_MEM_LEAST >> PAGE_SHIFT;
        return DOM0_MEM_TOO_SMALL;
    }
    *limit = most;
    return *pages > most ? DOM0_MEM_TOO_MUCH : DOM0_MEM_GOOD;
}
