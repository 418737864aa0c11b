/* SPDX-License-Identifier: MIT */
#include "libpal/decision.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "libpal/record.h"

static void path_of(char path[256], uint32_t id)
{
    char name[32];

    snprintf(name, sizeof(name), "%" PRIu32 ".balloon", id);
    pal_record_path(path, 256, name);
}

/* The handle tells a domain from an earlier one of the same number. */
void pal_decision_write(const struct pal_domain *d, const struct pal_decision *c)
{
    char path[256], partial[264], uuid[37];
    FILE *file;

    path_of(path, d->id);
    snprintf(partial, sizeof(partial), "%s.part", path);
    file = fopen(partial, "w");
    if (!file)
        return;
    pal_uuid_text(d->info.handle, uuid);
    fprintf(file, "%s %lld %d %u\n", uuid, (long long)c->at, c->has_agent, c->pressure);
    fprintf(file,
            "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
            " %" PRIu64 "\n%s\n",
            c->current_kib, c->target_kib, c->floor_kib, c->need_kib, c->comfort_kib, c->ideal_kib,
            c->used_kib, c->swapped_kib, c->reason);
    if (fclose(file) || rename(partial, path))
        unlink(partial);
}

int pal_decision_read(const struct pal_domain *d, struct pal_decision *c, struct pal_error *e)
{
    char path[256], uuid[37], wanted[37];
    long long at = 0;
    int agent = 0, got = 0;
    FILE *file;

    *c = (struct pal_decision){0};
    path_of(path, d->id);
    file = fopen(path, "r");
    if (file) {
        got = fscanf(file,
                     "%36s %lld %d %u %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                     " %" SCNu64 " %" SCNu64 " %" SCNu64 " %79[^\n]",
                     uuid, &at, &agent, &c->pressure, &c->current_kib, &c->target_kib,
                     &c->floor_kib, &c->need_kib, &c->comfort_kib, &c->ideal_kib, &c->used_kib,
                     &c->swapped_kib, c->reason);
        fclose(file);
    }
    pal_uuid_text(d->info.handle, wanted);
    if (got != 13 || strcmp(uuid, wanted))
        return pal_fail(e, PAL_MEM_UNGOVERNED, "pal-balloond has decided nothing on it");
    c->at = (time_t)at;
    c->has_agent = agent;
    return 0;
}

void pal_decision_remove(uint32_t id)
{
    char path[256];

    path_of(path, id);
    unlink(path);
}
