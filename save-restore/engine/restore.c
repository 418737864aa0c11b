/* SPDX-License-Identifier: MIT */
/*
 * Bringing a domain back. Until it is whole the domain has a random handle, by which the guard knows it
 * if this process ends; its own comes last, before it runs.
 */
#include "save_restore.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <xen/grant_table.h>

#include "engine/frames.h"
#include "engine/guard.h"
#include "engine/identity.h"
#include "engine/lists.h"
#include "engine/policy.h"
#include "engine/state.h"
#include "libpal/device.h"
#include "libpal/interrupt.h"
#include "libpal/ledger.h"
#include "libpal/record.h"
#include "libpal/region.h"
#include "libpal/warm.h"
#include "libpal/room.h"

#define BIG_ORDER      9
#define BIG_PAGES      (1u << BIG_ORDER)
#define EXTENTS_A_CALL 1024u
#define PORTS_MOST     64 /* tries to get the event channels that the guest remembers */

enum { PHASE_MEMORY, PHASE_COPY, PHASE_TABLES, PHASE_DEVICES, PHASES };
static const struct pal_phase phases[] = {
    {"memory", 10, true}, {"copy", 75, true}, {"tables", 5, false}, {"devices", 10, false}};

struct restoring {
    struct pal *p;
    struct image_reader *reader;
    const struct image_domain *facts;
    const struct restore_options *options;
    struct pal_config config;
    uint64_t target_kib; /* memory that it was told to have; 0: not known */
    struct guard guard;
    uint8_t handle[16]; /* until it is whole */
    uint32_t id;
    uint64_t shared_mfn;
    struct frames frames;
    pthread_mutex_t lock; /* of the two below */
    struct pal_pin *pins;
    unsigned pin_count, pin_room;
    uint32_t store_port, console_port;
    struct pal_progress *progress;
    struct pal_error *e;
};

/* ---- memory ---- */

static bool is_whole_block(const uint8_t *bitmap, uint64_t gfn)
{
    for (unsigned i = 0; i < BIG_PAGES / 8; i++) {
        if (bitmap[gfn / 8 + i] != 0xff)
            return false;
    }
    return true;
}

static bool is_set(const uint8_t *bitmap, uint64_t gfn)
{
    return bitmap[gfn / 8] >> gfn % 8 & 1;
}

/* Memory for the frames of list[], which are the first of 2^order each. Returns how many. */
static long populate(struct restoring *r, const uint32_t *list, unsigned count, unsigned order,
                     struct pal_error *e)
{
    xen_pfn_t frames[EXTENTS_A_CALL];
    long got;

    for (unsigned i = 0; i < count; i++)
        frames[i] = list[i];
    got = pal_populate_list(&r->p->hv, r->id, order, frames, count, e);
    for (long i = 0; i < got; i++) {
        for (uint64_t k = 0; k < 1u << order; k++) {
            if (frames_set(&r->frames, list[i] + k, frames[i] + k, e))
                return -1;
        }
    }
    if (got > 0)
        pal_progress_add(r->progress, (uint64_t)got << (order + PAL_PAGE_SHIFT));
    return got;
}

/* Large blocks are only quicker: what they do not give, single frames do. */
static void populate_big(struct restoring *r, const uint8_t *bitmap)
{
    uint32_t list[EXTENTS_A_CALL];
    struct pal_error none = {0};
    unsigned n = 0;

    for (uint64_t gfn = 0; gfn + BIG_PAGES <= r->frames.count; gfn += BIG_PAGES) {
        if (is_whole_block(bitmap, gfn))
            list[n++] = (uint32_t)gfn;
        if (n == EXTENTS_A_CALL) {
            if (populate(r, list, n, BIG_ORDER, &none) < (long)n)
                return;
            n = 0;
        }
    }
    if (n)
        populate(r, list, n, BIG_ORDER, &none);
}

static int populate_singles(struct restoring *r, const uint32_t *list, unsigned n,
                            struct pal_error *e)
{
    long got = n ? populate(r, list, n, 0, e) : 0;

    if (got < 0)
        return -1;
    if ((unsigned)got < n)
        return pal_fail(e, PAL_MEM_HOST, "the machine has not the %llu MiB that the domain needs",
                        (unsigned long long)r->facts->pages >> 8);
    return pal_interrupt_check(e);
}

static int populate_all(struct restoring *r, struct pal_error *e)
{
    const uint8_t *bitmap = image_reader_bitmap(r->reader);
    uint32_t list[EXTENTS_A_CALL];
    unsigned n = 0;

    pal_progress_phase(r->progress, PHASE_MEMORY, r->facts->pages << PAL_PAGE_SHIFT);
    populate_big(r, bitmap);
    for (uint64_t gfn = 0; gfn < r->frames.count; gfn++) {
        if (!is_set(bitmap, gfn) || frames_has(&r->frames, gfn))
            continue;
        list[n++] = (uint32_t)gfn;
        if (n == EXTENTS_A_CALL) {
            if (populate_singles(r, list, n, e))
                return -1;
            n = 0;
        }
    }
    return populate_singles(r, list, n, e);
}

/* ---- pages ---- */

static void *place(void *context, const struct image_page *pages, unsigned count,
                   struct pal_error *e)
{
    struct restoring *r = context;
    uint32_t gfns[IMAGE_CHUNK_PAGES];

    for (unsigned i = 0; i < count; i++)
        gfns[i] = pages[i].gfn;
    return frames_map(&r->frames, &r->p->hv, r->id, PROT_READ | PROT_WRITE, gfns, count, e);
}

/* The hypervisor will look at what it becomes: only frames must be found here. */
static int place_table(struct restoring *r, const struct image_page *page, uint64_t *table,
                       struct pal_error *e)
{
    struct rewrite_frames frames = {.context = &r->frames, .lookup = frames_to_mfn};
    struct rewrite_result result;
    char text[160];

    if (!rewrite_to_mfn(page->type & ~IMAGE_PINNED, table, table, &frames, &result))
        return 0;
    return pal_fail(e, PAL_SAVE_DAMAGED, "the page table at frame %#x is not sound: %s", page->gfn,
                    rewrite_describe(&result, text, sizeof(text)));
}

static int note_pin(struct restoring *r, uint32_t gfn, uint8_t type, struct pal_error *e)
{
    int rc = 0;

    if (!(type & IMAGE_PINNED))
        return 0;
    pthread_mutex_lock(&r->lock);
    if (r->pin_count == r->pin_room) {
        unsigned room = r->pin_room ? 2 * r->pin_room : 256;
        struct pal_pin *more = realloc(r->pins, room * sizeof(*more));

        if (more) {
            r->pins = more;
            r->pin_room = room;
        } else {
            rc = pal_fail(e, PAL_SYS_FAILED, "out of memory");
        }
    }
    if (!rc)
        r->pins[r->pin_count++] =
            (struct pal_pin){frames_mfn(&r->frames, gfn), type & ~IMAGE_PINNED};
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static int place_one(struct restoring *r, const struct image_page *page, void *at,
                     struct pal_error *e)
{
    unsigned level = page->type & ~IMAGE_PINNED;

    if (page->type == IMAGE_LIST && page->gfn != r->facts->start_info)
        list_to_mfn(&r->frames, at);
    if (level < IMAGE_L1 || level > IMAGE_L4)
        return 0;
    return place_table(r, page, at, e) || note_pin(r, page->gfn, page->type, e) ? -1 : 0;
}

static int placed(void *context, void *room, const struct image_page *pages, unsigned count,
                  bool bad, struct pal_error *e)
{
    struct restoring *r = context;
    int rc = 0;

    for (unsigned i = 0; !bad && !rc && i < count; i++)
        rc = place_one(r, &pages[i], (char *)room + i * PAL_PAGE_SIZE, e);
    xenforeignmemory_unmap(r->p->hv.memory, room, count);
    return rc;
}

/* Fresh memory is zero; but an empty table may be pinned. */
static int zero(void *context, uint32_t gfn, uint32_t count, uint8_t type, struct pal_error *e)
{
    for (uint32_t i = 0; i < count; i++) {
        if (note_pin(context, gfn + i, type, e))
            return -1;
    }
    return 0;
}

static int copy(void *context, const struct image_copy *list, unsigned count, struct pal_error *e)
{
    struct restoring *r = context;
    uint32_t to[IMAGE_CHUNK_PAGES], from[IMAGE_CHUNK_PAGES];
    void *source, *target;

    for (unsigned i = 0; i < count; i++) {
        to[i] = list[i].gfn;
        from[i] = list[i].source;
    }
    source = frames_map(&r->frames, &r->p->hv, r->id, PROT_READ, from, count, e);
    if (!source)
        return -1;
    target = frames_map(&r->frames, &r->p->hv, r->id, PROT_READ | PROT_WRITE, to, count, e);
    if (target) {
        memcpy(target, source, count * PAL_PAGE_SIZE);
        xenforeignmemory_unmap(r->p->hv.memory, target, count);
    }
    xenforeignmemory_unmap(r->p->hv.memory, source, count);
    return target ? 0 : -1;
}

static bool look(void *context, const struct image_progress *at)
{
    struct restoring *r = context;

    pal_progress_at(r->progress, at->pages << PAL_PAGE_SHIFT);
    return !pal_interrupt_check(r->e);
}

static int copy_pages(struct restoring *r, struct pal_error *e)
{
    struct image_sink sink = {r, place, placed, zero, copy};
    struct image_reader_options options = {.progress = look, .progress_context = r};

    pal_progress_phase(r->progress, PHASE_COPY, r->facts->pages << PAL_PAGE_SHIFT);
    return image_reader_pages(r->reader, &sink, &options, e);
}

/* ---- what the guest finds when it returns from its suspension ---- */

/* Event channels with the numbers that the guest remembers: its console keeps its own. */
static int get_ports(struct restoring *r, struct pal_error *e)
{
    uint32_t port = 0;

    for (unsigned i = 0; i < PORTS_MOST; i++) {
        if (pal_event_unbound(&r->p->hv, r->id, &port, e))
            return -1;
        if (port == r->facts->store_port)
            r->store_port = port;
        if (port == r->facts->console_port)
            r->console_port = port;
        if (r->store_port && (r->console_port || !r->facts->console_port))
            return 0;
    }
    return pal_fail(e, PAL_SAVE_DAMAGED, "the guest's event channels %u and %u cannot be had",
                    r->facts->store_port, r->facts->console_port);
}

static int write_start_info(struct restoring *r, struct pal_error *e)
{
    uint32_t gfn = (uint32_t)r->facts->start_info;
    struct start_info *si =
        frames_map(&r->frames, &r->p->hv, r->id, PROT_READ | PROT_WRITE, &gfn, 1, e);

    if (!si)
        return -1;
    si->shared_info = r->shared_mfn << PAL_PAGE_SHIFT;
    si->store_mfn = frames_mfn(&r->frames, r->facts->store);
    si->store_evtchn = r->store_port;
    if (r->facts->console != IMAGE_NO_FRAME) {
        si->console.domU.mfn = frames_mfn(&r->frames, r->facts->console);
        si->console.domU.evtchn = r->console_port;
    }
    xenforeignmemory_unmap(r->p->hv.memory, si, 1);
    return 0;
}

static int write_shared(struct restoring *r, struct pal_error *e)
{
    size_t length;
    const struct shared_info *image =
        image_reader_state(r->reader, IMAGE_STATE_SHARED_INFO, IMAGE_NO_VCPU, &length);
    struct shared_info *at;

    if (!image || length < sizeof(*image))
        return pal_fail(e, PAL_SAVE_DAMAGED, "the image has no shared page");
    at = frames_map_mfn(&r->p->hv, r->id, PROT_READ | PROT_WRITE, r->shared_mfn, e);
    if (!at)
        return -1;
    shared_to_mfn(&r->frames, image, at);
    xenforeignmemory_unmap(r->p->hv.memory, at, 1);
    return 0;
}

static int by_level(const void *a, const void *b)
{
    const struct pal_pin *x = a, *y = b;

    return x->level != y->level ? (x->level < y->level ? -1 : 1)
                                : (x->mfn > y->mfn) - (x->mfn < y->mfn);
}

static int pin(struct restoring *r, struct pal_error *e)
{
    if (r->pin_count)
        qsort(r->pins, r->pin_count, sizeof(*r->pins), by_level);
    return pal_pin_tables(&r->p->hv, r->id, r->pins, r->pin_count, e);
}

static int seed_grants(struct restoring *r, struct pal_error *e)
{
    struct pal_grant grants[2] = {
        {GNTTAB_RESERVED_XENSTORE, frames_mfn(&r->frames, r->facts->store)},
    };
    bool has_console = r->facts->console != IMAGE_NO_FRAME;

    if (has_console)
        grants[1] =
            (struct pal_grant){GNTTAB_RESERVED_CONSOLE, frames_mfn(&r->frames, r->facts->console)};
    return pal_grants_seed(&r->p->hv, r->id, grants, has_console ? 2 : 1, e);
}

static int finish_memory(struct restoring *r, struct pal_error *e)
{
    pal_progress_phase(r->progress, PHASE_TABLES, 0);
    if (get_ports(r, e) || write_start_info(r, e) || write_shared(r, e))
        return -1;
    if (pin(r, e) || seed_grants(r, e))
        return -1;
    return state_restore(r->reader, &r->frames, &r->p->hv, r->id, r->facts->vcpus,
                         r->facts->start_info, e);
}

/* ---- around it ---- */

static int set_share(struct restoring *r, struct pal_error *e)
{
    const struct pal_config *c = &r->config;
    unsigned weight, cap;

    if (!c->weight && !c->cap)
        return 0;
    return pal_domain_get_schedule(&r->p->hv, r->id, &weight, &cap, e) ||
                   pal_domain_set_schedule(&r->p->hv, r->id, c->weight ? c->weight : weight, c->cap,
                                           e)
               ? -1
               : 0;
}

/* What the kernel said of itself when it booted: it will not say so again. */
static int enter_features(struct restoring *r, struct pal_error *e)
{
    static const char *const names[] = {"poweroff", "reboot", "suspend"};
    char path[80];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "/local/domain/%u/control/feature-%s", r->id, names[i]);
        if (pal_store_write(&r->p->store, e, path, "1"))
            return -1;
    }
    return 0;
}

static int enter_store(struct restoring *r, struct pal_error *e)
{
    struct pal_store_entry entry = {
        .id = r->id,
        .config = &r->config,
        .store_mfn = frames_mfn(&r->frames, r->facts->store),
        .store_port = r->store_port,
        .console_port = r->console_port,
    };

    if (r->facts->console != IMAGE_NO_FRAME)
        entry.console_mfn = frames_mfn(&r->frames, r->facts->console);
    r->config.memory_kib = r->target_kib ? r->target_kib : r->facts->pages << (PAL_PAGE_SHIFT - 10);
    if (r->config.memory_kib > r->config.max_kib)
        r->config.memory_kib = r->config.max_kib;
    pal_progress_phase(r->progress, PHASE_DEVICES, 0);
    if (set_share(r, e) || pal_record_write(r->id, &r->config, e) ||
        pal_store_enter(r->p, &entry, e) || enter_features(r, e) ||
        pal_regions_enter(r->p, r->id, &r->config, true, e) ||
        pal_cache_enter(&r->p->hv, r->id, &r->config, e) ||
        pal_devices_attach(r->p, r->id, &r->config, e))
        return -1;
    return pal_interrupt_check(e);
}

static int fill(struct restoring *r, struct pal_error *e)
{
    struct xen_domctl_getdomaininfo info;

    if (pal_domain_info(&r->p->hv, r->id, &info, e) || frames_make(&r->frames, r->facts->frames, e))
        return -1;
    r->shared_mfn = info.shared_info_frame;
    pal_set_memory_map(&r->p->hv, r->id, r->config.max_kib << 10);
    if (policy_restore(r->reader, &r->p->hv, r->id, e) || populate_all(r, e) || copy_pages(r, e) ||
        finish_memory(r, e) || enter_store(r, e))
        return -1;
    /* More than it should have it gets when it is asked to grow. */
    if (pal_domain_max_memory(&r->p->hv, r->id, r->config.memory_kib, e))
        return -1;
    guard_whole(&r->guard, r->id, r->config.uuid);
    if (pal_domain_set_handle(&r->p->hv, r->id, r->config.uuid, e))
        return -1;
    return r->options->paused ? 0 : pal_domain_unpause(&r->p->hv, r->id, e);
}

static int make(struct restoring *r, struct pal_error *e)
{
    struct pal_new_domain n = {.vcpus = r->facts->vcpus, .max_kib = r->config.max_kib};
    struct pal_error ignored = {0};
    int id;

    memcpy(n.uuid, r->handle, sizeof(n.uuid));
    if (pal_room_make(r->p, (r->facts->pages << (PAL_PAGE_SHIFT - 10)) + PAL_ROOM_OVERHEAD_KIB, e))
        return -1;
    id = pal_domain_create(&r->p->hv, &n, e);
    if (id >= 0) {
        r->id = (uint32_t)id;
        if (pal_ledger_settle(r->id, e) || fill(r, e)) {
            pal_domain_end(r->p, r->id, &ignored);
            id = -1;
        }
    }
    pal_ledger_release();
    return id;
}

/* ---- checks before there is a domain ---- */

static int check_facts(struct restoring *r, struct pal_error *e)
{
    const struct image_domain *f = r->facts;
    const uint8_t *bitmap = image_reader_bitmap(r->reader);

    if (f->vcpus != r->config.vcpus)
        return pal_fail(e, PAL_SAVE_DAMAGED, "it has %u virtual CPUs, its description %u", f->vcpus,
                        r->config.vcpus);
    if (f->pages > r->config.max_kib >> (PAL_PAGE_SHIFT - 10))
        return pal_fail(e, PAL_SAVE_DAMAGED, "it has more memory than its description allows");
    if (f->start_info == IMAGE_NO_FRAME || f->store == IMAGE_NO_FRAME || !f->store_port)
        return pal_fail(e, PAL_SAVE_DAMAGED, "it has no start information, or no store");
    if (!is_set(bitmap, f->start_info) || !is_set(bitmap, f->store) ||
        (f->console != IMAGE_NO_FRAME && !is_set(bitmap, f->console)))
        return pal_fail(e, PAL_SAVE_DAMAGED, "its start information names frames it has not");
    return 0;
}

/* What still runs (the image is a checkpoint's) keeps its identity; then this one gets another. */
static int choose_uuid(struct restoring *r, struct pal_error *e)
{
    struct pal_domain *list;
    int count = pal_domains(r->p, &list, e);
    bool taken = false;

    if (count < 0)
        return -1;
    for (int i = 0; i < count; i++)
        taken |= !memcmp(list[i].info.handle, r->config.uuid, sizeof(r->config.uuid));
    free(list);
    if (taken && getrandom(r->config.uuid, sizeof(r->config.uuid), 0) != sizeof(r->config.uuid))
        return pal_fail(e, PAL_SYS_FAILED, "no random numbers: %s", strerror(errno));
    return 0;
}

static int prepare(struct restoring *r, const char *name, struct pal_error *e)
{
    size_t length;
    const char *xml = image_reader_description(r->reader, &length);

    r->facts = image_reader_domain(r->reader);
    if (pal_config_parse(&r->config, name, xml, length, e))
        return -1;
    if (identity_restore(r->reader, &r->config, &r->target_kib, e))
        return -1;
    if (r->options->rename) {
        free(r->config.name);
        r->config.name = strdup(r->options->rename);
        if (!r->config.name)
            return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    }
    if (getrandom(r->handle, sizeof(r->handle), 0) != sizeof(r->handle))
        return pal_fail(e, PAL_SYS_FAILED, "no random numbers: %s", strerror(errno));
    if (check_facts(r, e) || pal_domain_name_is_free(r->p, r->config.name, e))
        return -1;
    return choose_uuid(r, e) || pal_config_settle(&r->config, e) ? -1 : 0;
}

static int guarded(struct restoring *r, struct pal_error *e)
{
    struct pal_domain d = {0};
    int id;

    memcpy(d.info.handle, r->handle, sizeof(d.info.handle));
    if (guard_begin(&r->guard, GUARD_RESTORE, &d, e))
        return -1;
    r->progress = pal_progress_begin("restore", r->config.name, phases, PHASES);
    id = make(r, e);
    pal_progress_end(r->progress, id >= 0);
    guard_end(&r->guard, false);
    return id;
}

int restore_domain(struct pal *p, const char *path, int fd, const char *name,
                   const struct restore_options *options, struct pal_error *e)
{
    struct restoring r = {.p = p, .options = options, .e = e};
    int id = -1;

    pthread_mutex_init(&r.lock, NULL);
    r.reader = path ? image_reader_open(path, e) : image_reader_stream(fd, name, e);
    if (!r.reader)
        return -1;
    if (!prepare(&r, name, e))
        id = guarded(&r, e);
    image_reader_free(r.reader);
    frames_free(&r.frames);
    free(r.pins);
    pal_config_free(&r.config);
    pthread_mutex_destroy(&r.lock);
    return id;
}
