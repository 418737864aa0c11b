/* SPDX-License-Identifier: MIT */
#include "engine/identity.h"

#include <stdlib.h>
#include <string.h>

/* IMAGE_STATE_EXTRA. */
struct identity {
    char name[PAL_NAME_MAX + 1];
    uint8_t uuid[16];
    uint64_t target_kib;
    uint32_t nics;
    uint8_t mac[PAL_NICS_MAX][6];
    uint8_t zero[4];
};
_Static_assert(sizeof(struct identity) == 144, "one layout everywhere");

/* Domain 0's own nodes: no guest can have written them. */
static void read_mac(struct pal *p, uint32_t id, unsigned nic, const uint8_t before[6],
                     uint8_t mac[6])
{
    char *text = pal_store_read(&p->store, "/local/domain/0/backend/vif/%u/%u/mac", id, nic);
    unsigned b[6];

    memcpy(mac, before, 6);
    if (text &&
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) == 6) {
        for (unsigned i = 0; i < 6; i++)
            mac[i] = (uint8_t)b[i];
    }
    free(text);
}

int identity_save(struct image_writer *w, struct pal *p, const struct pal_domain *d,
                  const struct pal_config *c, struct pal_error *e)
{
    char *target = pal_store_read(&p->store, "/local/domain/%u/memory/target", d->id);
    struct identity i = {.nics = c->nics, .target_kib = target ? strtoull(target, NULL, 10) : 0};

    free(target);
    snprintf(i.name, sizeof(i.name), "%s", d->name);
    memcpy(i.uuid, d->info.handle, sizeof(i.uuid));
    for (unsigned n = 0; n < c->nics; n++)
        read_mac(p, d->id, n, c->nic[n].mac, i.mac[n]);
    return image_writer_state(w, IMAGE_STATE_EXTRA, IMAGE_NO_VCPU, &i, sizeof(i), e);
}

int identity_restore(const struct image_reader *r, struct pal_config *c, uint64_t *target_kib,
                     struct pal_error *e)
{
    size_t length;
    const struct identity *i = image_reader_state(r, IMAGE_STATE_EXTRA, IMAGE_NO_VCPU, &length);
    char *name;

    *target_kib = 0;
    if (!i)
        return 0;
    if (length != sizeof(*i) || !memchr(i->name, '\0', sizeof(i->name)) ||
        !pal_name_is_good(i->name))
        return pal_fail(e, PAL_SAVE_DAMAGED, "the image's notes on the domain are not sound");
    name = strdup(i->name);
    if (!name)
        return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    free(c->name);
    c->name = name;
    memcpy(c->uuid, i->uuid, sizeof(c->uuid));
    for (unsigned n = 0; n < c->nics && n < i->nics; n++)
        memcpy(c->nic[n].mac, i->mac[n], sizeof(c->nic[n].mac));
    *target_kib = i->target_kib;
    return 0;
}
