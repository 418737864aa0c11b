/* SPDX-License-Identifier: MIT */
/* Saving a domain. See save_restore.h for what is promised, guard.h for how it is kept. */
#include "save_restore.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include <xen/xen.h>

#include "engine/copies.h"
#include "engine/frames.h"
#include "engine/guard.h"
#include "engine/identity.h"
#include "engine/lists.h"
#include "engine/policy.h"
#include "engine/state.h"
#include "engine/suspend.h"
#include "libpal/interrupt.h"
#include "libpal/record.h"

#define MAGIC           "xen-3.0-x86_64"
#define ASK_SECONDS     15
#define FREEZE_SECONDS  60
#define COPY_SECONDS    60
#define PAGES_A_SECOND  256 /* so slow no disk and no link is that works */
#define BACKEND_SECONDS 10
#define DRAIN_SECONDS   60

static const struct pal_phase phases[] = {
    {"ask", 2, false}, {"freeze", 3, false}, {"copy", 85, true}, {"seal", 10, true}};

const char *save_phase_name(enum save_phase phase)
{
    return phases[phase].name;
}

struct saving {
    struct pal *p;
    const struct pal_domain *d;
    const struct save_options *options;
    struct pal_config config;
    struct guard guard;
    struct image_writer *writer;
    struct frames frames;
    struct copies copies;
    struct shared_info *shared; /* as it stands in the image */
    struct image_domain facts;
    struct pal_progress *progress;
    enum save_phase phase;
    bool asked;
    double until; /* the phase's deadline */
    double frozen_at;
    struct pal_error *e;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned seconds_for(const struct saving *s, enum save_phase phase)
{
    static const unsigned usual[] = {ASK_SECONDS, FREEZE_SECONDS, COPY_SECONDS, COPY_SECONDS};
    unsigned more = phase < SAVE_COPY ? 0 : (unsigned)(s->d->info.tot_pages / PAGES_A_SECOND);

    return s->options->deadline[phase] ? s->options->deadline[phase] : usual[phase] + more;
}

static void enter(struct saving *s, enum save_phase phase)
{
    s->phase = phase;
    s->until = now() + seconds_for(s, phase);
    pal_progress_phase(s->progress, phase,
                       phase < SAVE_COPY ? 0 : s->d->info.tot_pages << PAL_PAGE_SHIFT);
}

/* Several times a second while the writer is at work. */
static bool look(void *context, const struct image_progress *at)
{
    struct saving *s = context;

    pal_progress_at(s->progress, at->pages << PAL_PAGE_SHIFT);
    if (pal_interrupt_check(s->e))
        return false;
    if (now() <= s->until)
        return true;
    pal_fail(s->e, PAL_DOM_TIMEOUT, "it was not done within %u s", seconds_for(s, s->phase));
    return false;
}

/* ---- pages ---- */

static const void *map_pages(void *context, struct image_page *pages, unsigned count,
                             struct pal_error *e)
{
    struct saving *s = context;
    uint32_t gfns[IMAGE_CHUNK_PAGES];

    for (unsigned i = 0; i < count; i++) {
        gfns[i] = pages[i].gfn;
        pages[i].type = s->frames.type[pages[i].gfn];
    }
    return copies_make(&s->copies, gfns, count, e);
}

static void unmap_pages(void *context, const void *base, unsigned count)
{
    struct saving *s = context;

    (void)count;
    copies_give_back(&s->copies, base);
}

static int canonical_table(struct saving *s, const struct image_page *page, const void *raw,
                           void *out, struct pal_error *e)
{
    struct rewrite_frames frames = {
        .context = &s->frames, .lookup = frames_to_gfn, .clear_foreign = true};
    struct rewrite_result result;
    char text[160];

    if (!rewrite_to_gfn(page->type & ~IMAGE_PINNED, raw, out, &frames, &result))
        return 0;
    return pal_fail(e, PAL_SAVE_GUEST, "its page table at frame %#x cannot be rewritten: %s",
                    page->gfn, rewrite_describe(&result, text, sizeof(text)));
}

static int canonical(void *context, const struct image_page *page, const void *raw, void *out,
                     struct pal_error *e)
{
    struct saving *s = context;

    if (page->type != IMAGE_LIST)
        return canonical_table(s, page, raw, out, e);
    if (page->gfn != s->facts.start_info) {
        list_to_gfn(&s->frames, raw, out);
        return 0;
    }
    memcpy(out, raw, PAL_PAGE_SIZE);
    ((struct start_info *)out)->shared_info = 0;
    return 0;
}

/* ---- what there is to copy ---- */

static int read_shared(struct saving *s, struct shared_info *raw, struct pal_error *e)
{
    struct xen_domctl_getdomaininfo info;
    void *at;

    if (pal_domain_info(&s->p->hv, s->d->id, &info, e))
        return -1;
    at = frames_map_mfn(&s->p->hv, s->d->id, PROT_READ, info.shared_info_frame, e);
    if (!at)
        return -1;
    memcpy(raw, at, sizeof(*raw));
    xenforeignmemory_unmap(s->p->hv.memory, at, 1);
    return 0;
}

static uint64_t service_frame(const struct saving *s, uint64_t gfn)
{
    return frames_has(&s->frames, gfn) && s->frames.type[gfn] == IMAGE_NORMAL ? gfn
                                                                              : IMAGE_NO_FRAME;
}

/* What the guest wrote there when it suspended: by then the two frames are guest frame numbers. */
static int read_start_info(struct saving *s, struct pal_error *e)
{
    uint64_t gfn;
    const struct start_info *si;
    uint32_t frame;

    if (state_start_info(&s->frames, &s->p->hv, s->d->id, &gfn, e))
        return -1;
    if (s->frames.type[gfn] != IMAGE_NORMAL)
        return pal_fail(e, PAL_SAVE_GUEST, "its start information lies in a page table or list");
    frame = (uint32_t)gfn;
    si = frames_map(&s->frames, &s->p->hv, s->d->id, PROT_READ, &frame, 1, e);
    if (!si)
        return -1;
    s->facts.start_info = gfn;
    s->facts.store = service_frame(s, si->store_mfn);
    s->facts.console = service_frame(s, si->console.domU.mfn);
    s->facts.store_port = si->store_evtchn;
    s->facts.console_port = si->console.domU.evtchn;
    if (memcmp(si->magic, MAGIC, sizeof(MAGIC) - 1))
        pal_fail(e, PAL_SAVE_GUEST, "its start information is not where its kernel says");
    else if (s->facts.store == IMAGE_NO_FRAME)
        pal_fail(e, PAL_SAVE_GUEST, "its start information names no page of the store");
    xenforeignmemory_unmap(s->p->hv.memory, (void *)si, 1);
    s->frames.type[gfn] = IMAGE_LIST;
    return e->code == PAL_OK ? 0 : -1;
}

static int note_time(struct saving *s, struct pal_error *e)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_gettscinfo, .domain = (domid_t)s->d->id};
    struct timespec t;

    if (pal_domctl(&s->p->hv, &op, "the domain's time", e) < 0)
        return -1;
    clock_gettime(CLOCK_REALTIME, &t);
    s->facts.system_time_ns = op.u.tsc_info.elapsed_nsec;
    s->facts.tsc_khz = op.u.tsc_info.gtsc_khz;
    s->facts.wall_clock_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    return 0;
}

static int survey(struct saving *s, struct pal_error *e)
{
    struct shared_info raw;
    uint64_t least;

    if (read_shared(s, &raw, e))
        return -1;
    least = raw.arch.max_pfn < IMAGE_FRAMES_MAX ? raw.arch.max_pfn : 0;
    if (frames_read(&s->frames, &s->p->hv, s->d->id, least, e) ||
        lists_find(&s->frames, &s->p->hv, s->d->id, &raw, e))
        return -1;
    s->shared = calloc(1, PAL_PAGE_SIZE);
    if (!s->shared)
        return pal_fail(e, PAL_SYS_FAILED, "out of memory");
    shared_to_gfn(&s->frames, &raw, s->shared);
    s->facts.vcpus = s->d->info.max_vcpu_id + 1;
    s->facts.frames = s->frames.count;
    s->facts.max_pages = s->d->info.max_pages;
    return read_start_info(s, e) || note_time(s, e) ? -1 : 0;
}

static int copy(struct saving *s, struct pal_error *e)
{
    struct image_source source = {s, map_pages, canonical, unmap_pages, true};

    int rc;

    enter(s, SAVE_COPY);
    if (survey(s, e) || image_writer_description(s->writer, s->config.xml, s->config.xml_size, e) ||
        image_writer_domain(s->writer, &s->facts, s->frames.bitmap, e) ||
        state_save(s->writer, &s->frames, &s->p->hv, s->d->id, s->facts.vcpus, s->facts.start_info,
                   e) ||
        image_writer_state(s->writer, IMAGE_STATE_SHARED_INFO, IMAGE_NO_VCPU, s->shared,
                           PAL_PAGE_SIZE, e) ||
        policy_save(s->writer, &s->p->hv, s->d->id, e) ||
        identity_save(s->writer, s->p, s->d, &s->config, e))
        return -1;
    copies_begin(&s->copies, &s->p->hv, &s->frames, s->d->id);
    rc = image_writer_pages(s->writer, &source, e);
    copies_end(&s->copies);
    return rc;
}

/* ---- sealing ---- */

/* Who reads the other end of a pipe has read all of it: only then it has the domain. */
static int drain(struct saving *s, int fd, struct pal_error *e)
{
    struct stat st;
    int left = 0;

    if (fstat(fd, &st) || !S_ISFIFO(st.st_mode))
        return 0;
    while (!ioctl(fd, FIONREAD, &left) && left > 0) {
        struct pollfd end = {.fd = fd};

        if (poll(&end, 1, 10) > 0 && end.revents & POLLERR)
            return pal_fail(e, PAL_SAVE_WRITE, "the reader of the pipe went away");
        if (pal_interrupt_check(e))
            return -1;
        if (now() > s->until)
            return pal_fail(e, PAL_DOM_TIMEOUT, "the reader of the pipe does not read on");
    }
    return 0;
}

static int seal(struct saving *s, const char *path, int fd, struct pal_error *e)
{
    enter(s, SAVE_SEAL);
    if (path && guard_image(&s->guard, path, image_writer_id(s->writer), e))
        return -1;
    if (image_writer_commit(s->writer, e))
        return -1;
    return path ? 0 : drain(s, fd, e);
}

/* The disks are free for others when the backends have let go of them. */
static bool has_backends(uint32_t id)
{
    DIR *list = opendir("/sys/bus/xen-backend/devices");
    char prefix[24];
    bool found = false;

    snprintf(prefix, sizeof(prefix), "vbd-%u-", id);
    for (struct dirent *d; list && !found && (d = readdir(list));)
        found = !strncmp(d->d_name, prefix, strlen(prefix));
    if (list)
        closedir(list);
    return found;
}

static int finish(struct saving *s, struct pal_error *e)
{
    double until = now() + BACKEND_SECONDS;

    if (s->options->checkpoint)
        return suspend_cancel(s->p, s->d->id, e);
    if (pal_domain_end(s->p, s->d->id, e)) {
        pal_remedy(e, "the image is complete; end the domain: `pal destroy %s`", s->d->name);
        return -1;
    }
    while (has_backends(s->d->id) && now() < until)
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    return 0;
}

/* ---- the whole ---- */

static int begin(struct saving *s, const char *path, int fd, struct pal_error *e)
{
    struct image_writer_options w = {.mode = s->options->mode,
                                     .read_back = s->options->read_back,
                                     .progress = look,
                                     .progress_context = s};

    s->writer = path ? image_writer_create(path, &w, e) : image_writer_stream(fd, &w, e);
    return s->writer ? 0 : -1;
}

static int carry_out(struct saving *s, const char *path, int fd, struct pal_error *e)
{
    if (begin(s, path, fd, e))
        return -1;
    enter(s, SAVE_ASK);
    s->asked = true;
    if (suspend_ask(s->p, s->d, seconds_for(s, SAVE_ASK), e))
        return -1;
    enter(s, SAVE_FREEZE);
    if (suspend_wait(s->p, s->d, seconds_for(s, SAVE_FREEZE), e))
        return -1;
    s->frozen_at = now();
    return copy(s, e) || seal(s, path, fd, e) ? -1 : 0;
}

static void account(struct saving *s, struct save_result *result)
{
    image_writer_totals(s->writer, &result->totals);
    result->copied = now() - s->frozen_at;
}

static int guarded(struct saving *s, const char *path, int fd, struct save_result *result,
                   struct pal_error *e)
{
    bool unsettled = false;
    int rc = carry_out(s, path, fd, e);

    if (rc) {
        struct pal_error ignored = {0};

        pal_failed_to(e, "cannot save \"%s\": phase \"%s\" failed", s->d->name,
                      save_phase_name(s->phase));
        unsettled = s->asked && suspend_undo(s->p, s->d, &ignored);
    } else {
        account(s, result);
        rc = finish(s, e);
        result->frozen = now() - s->frozen_at;
    }
    image_writer_free(s->writer);
    guard_end(&s->guard, unsettled);
    return rc;
}

int save_domain(struct pal *p, const struct pal_domain *d, const char *path, int fd,
                const char *name, const struct save_options *options, struct save_result *result,
                struct pal_error *e)
{
    struct saving s = {.p = p, .d = d, .options = options, .e = e};
    int rc;

    (void)name;
    memset(result, 0, sizeof(*result));
    if (suspend_check(p, d, e))
        return -1;
    if (pal_record_read(d->id, &s.config, e)) {
        e->code = PAL_OK;
        return pal_fail(e, PAL_DOM_STATE, "it was not made by pal: its description is not known");
    }
    rc = guard_begin(&s.guard, GUARD_SAVE, d, e);
    if (!rc) {
        s.progress = pal_progress_begin("save", d->name, phases, SAVE_PHASES);
        rc = guarded(&s, path, fd, result, e);
        pal_progress_end(s.progress, !rc);
    }
    frames_free(&s.frames);
    free(s.shared);
    pal_config_free(&s.config);
    return rc;
}

/* ---- looking on ---- */

#define ESTIMATE_TRIES 3 /* it runs: what is looked at may go away */

static int estimate_once(struct saving *s, struct image_estimate *estimate, struct pal_error *e)
{
    struct image_source source = {s, map_pages, NULL, unmap_pages, true};
    int rc;

    if (frames_read(&s->frames, &s->p->hv, s->d->id, 0, e))
        return -1;
    s->facts.vcpus = s->d->info.max_vcpu_id + 1;
    s->facts.frames = s->frames.count;
    s->facts.pages = s->frames.pages;
    copies_begin(&s->copies, &s->p->hv, &s->frames, s->d->id);
    rc = image_estimate(&s->facts, s->frames.bitmap, &source, 0, estimate, e);
    copies_end(&s->copies);
    frames_free(&s->frames);
    return rc;
}

int save_estimate(struct pal *p, const struct pal_domain *d, struct image_estimate *estimate,
                  struct pal_error *e)
{
    struct saving s = {.p = p, .d = d, .e = e};

    for (unsigned i = 0; i < ESTIMATE_TRIES; i++) {
        *e = (struct pal_error){0};
        if (!estimate_once(&s, estimate, e))
            return 0;
    }
    return -1;
}

int save_recover(struct pal *p, uint32_t domain, const struct xen_domctl_getdomaininfo *info,
                 struct pal_error *e)
{
    struct pal_domain d = {.id = domain, .info = *info};

    if (guard_is_busy(domain))
        return 1;
    if (suspend_look(p, &d) != SUSPEND_STOPPED)
        return 0;
    if (guard_is_complete(domain)) {
        guard_forget(domain);
        return pal_domain_end(p, domain, e);
    }
    guard_forget(domain);
    return suspend_cancel(p, domain, e);
}
