/* SPDX-License-Identifier: MIT */
/*
 * Makes a hostile image of a good one: every checksum of it is right, what it says is not.
 *
 *   twist IN OUT WHAT       WHAT: see twists[] below
 */
#include "image/reader.h"
#include "image/writer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>

enum { PAGE = IMAGE_PAGE_SIZE, ENTRIES = 512 };
#define PRESENT  1ull
#define WRITABLE 2ull
#define FRAME    0x000ffffffffff000ull

static struct image_reader *reader;
static const char *what;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t table = IMAGE_NO_FRAME, plain = IMAGE_NO_FRAME; /* the first of each, for twists */
static bool done;                                               /* a twist of one page */

static bool is(const char *name)
{
    return !strcmp(what, name);
}

static void die(const struct pal_error *e)
{
    fprintf(stderr, "twist: %s\n", e->why);
    exit(1);
}

/* ---- twists of pages ---- */

static bool is_level(uint8_t type, unsigned level)
{
    return (type & ~IMAGE_PINNED) == level;
}

static uint64_t *first_present(uint64_t *entries)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (entries[i] & PRESENT)
            return &entries[i];
    }
    return NULL;
}

static void twist_page(uint8_t *type, uint64_t *content)
{
    uint64_t *entry =
        is_level(*type, IMAGE_L1) || is_level(*type, IMAGE_L2) ? first_present(content) : NULL;

    if (done)
        return;
    if (is("writable-table") && is_level(*type, IMAGE_L1) && entry) {
        *entry = table << 12 | PRESENT | WRITABLE;
        done = true;
    } else if (is("superpage") && is_level(*type, IMAGE_L2) && entry) {
        *entry |= 0x80;
        done = true;
    } else if (is("loop") && is_level(*type, IMAGE_L2) && entry) {
        *entry = table << 12 | (*entry & ~FRAME); /* the first table is of level 4 */
        done = true;
    } else if (is("foreign") && is_level(*type, IMAGE_L1) && entry) {
        *entry = 0xffffff000ull | PRESENT;
        done = true;
    } else if (is("level-up") && is_level(*type, IMAGE_L1) && entry) {
        *type = IMAGE_L2 | IMAGE_PINNED;
        done = true;
    } else if (is("level-down") && is_level(*type, IMAGE_L2) && entry) {
        *type = IMAGE_L1 | IMAGE_PINNED;
        done = true;
    } else if (is("no-table") && is_level(*type, IMAGE_L1) && entry) {
        *type = IMAGE_NORMAL;
        done = true;
    }
}

static const void *map(void *context, struct image_page *pages, unsigned count, struct pal_error *e)
{
    uint8_t *room = aligned_alloc(PAGE, (size_t)count * PAGE);

    (void)context;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < count; i++) {
        if (image_reader_page(reader, pages[i].gfn, &pages[i].type, room + i * PAGE, e))
            die(e);
        twist_page(&pages[i].type, (uint64_t *)(room + i * PAGE));
    }
    pthread_mutex_unlock(&lock);
    return room;
}

static int canonical(void *context, const struct image_page *page, const void *raw, void *out,
                     struct pal_error *e)
{
    (void)context, (void)page, (void)e;
    memcpy(out, raw, PAGE);
    return 0;
}

static void unmap(void *context, const void *base, unsigned count)
{
    (void)context, (void)count;
    free((void *)base);
}

/* ---- twists of states ---- */

static void twist_context(struct vcpu_guest_context *c)
{
    if (is("rip"))
        c->user_regs.rip = 1ull << 63;
    else if (is("stack"))
        c->kernel_sp = 1ull << 63;
    else if (is("callback"))
        c->event_callback_eip = 0xffff800000000000ull;
    else if (is("root"))
        c->ctrlreg[3] = plain << 12;
    else if (is("no-root"))
        c->ctrlreg[3] = 0;
    else if (is("user-mode")) {
        c->flags &= ~(unsigned long)VGCF_in_kernel;
        c->ctrlreg[1] = 0;
    } else if (is("gdt"))
        c->gdt_frames[0] = table;
    else if (is("gdt-size"))
        c->gdt_ents = 1ull << 40;
    else if (is("trap"))
        c->trap_ctxt[14].address = 0xffff800000000000ull;
    else if (is("debug"))
        c->debugreg[7] = ~0ull;
    else if (is("bases"))
        c->gs_base_kernel = 1ull << 62;
}

static void twist_xsave(uint64_t *words, size_t length)
{
    if (is("xsave-features"))
        words[0] = ~0ull;
    else if (is("xsave-header") && length > 16 + 512 + 64)
        words[2 + 64 + 2] = ~0ull; /* reserved */
}

static void copy_states(struct image_writer *w, uint32_t vcpus, struct pal_error *e)
{
    for (uint32_t vcpu = 0; vcpu <= vcpus; vcpu++) {
        for (uint32_t kind = 1; kind <= IMAGE_STATE_EXTRA; kind++) {
            uint32_t owner = vcpu < vcpus ? vcpu : IMAGE_NO_VCPU;
            size_t length;
            const void *data = image_reader_state(reader, kind, owner, &length);
            void *copy = data ? malloc(length) : NULL;

            if (!data)
                continue;
            memcpy(copy, data, length);
            if (kind == IMAGE_STATE_CONTEXT && vcpu == 0)
                twist_context(copy);
            if (kind == IMAGE_STATE_XSAVE)
                twist_xsave(copy, length);
            if (!(is("no-shared") && kind == IMAGE_STATE_SHARED_INFO) &&
                !(is("no-context") && kind == IMAGE_STATE_CONTEXT) &&
                image_writer_state(w, kind, owner, copy, length, e))
                die(e);
            free(copy);
        }
    }
}

/* The first top table and the first plain page. */
static void find_frames(const struct image_domain *d)
{
    static uint8_t page[PAGE];
    struct pal_error e = {0};
    uint8_t type;

    for (uint32_t gfn = 0; gfn < d->frames && (table == IMAGE_NO_FRAME || plain == IMAGE_NO_FRAME);
         gfn++) {
        if (image_reader_page(reader, gfn, &type, page, &e))
            continue;
        if (is_level(type, IMAGE_L4) && table == IMAGE_NO_FRAME)
            table = gfn;
        if (type == IMAGE_NORMAL && plain == IMAGE_NO_FRAME && page[0])
            plain = gfn;
    }
}

int main(int argc, char **argv)
{
    struct image_writer_options options = {.mode = IMAGE_MODE_FAST, .workers = 1};
    struct image_source source = {NULL, map, canonical, unmap, true};
    struct pal_error e = {0};
    struct image_domain domain;
    struct image_writer *w;
    const char *xml;
    size_t length;

    if (argc != 4)
        return 2;
    what = argv[3];
    reader = image_reader_open(argv[1], &e);
    if (!reader || image_reader_seek_index(reader, &e))
        die(&e);
    domain = *image_reader_domain(reader);
    find_frames(&domain);
    if (is("start-info"))
        domain.start_info = table;
    else if (is("store-port"))
        domain.store_port = 4000;
    else if (is("vcpus"))
        domain.vcpus++;
    w = image_writer_create(argv[2], &options, &e);
    xml = image_reader_description(reader, &length);
    if (!w || image_writer_description(w, xml, length, &e) ||
        image_writer_domain(w, &domain, image_reader_bitmap(reader), &e))
        die(&e);
    copy_states(w, image_reader_domain(reader)->vcpus, &e);
    if (image_writer_pages(w, &source, &e) || image_writer_commit(w, &e))
        die(&e);
    image_writer_free(w);
    image_reader_free(reader);
    return 0;
}
