/* SPDX-License-Identifier: MIT */
#include "libpal/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "libpal/record.h"

#define PROMISES_MAX 256
#define NOBODY       UINT32_MAX

/* A process is named by its number and its start, since numbers come again. */
struct promise {
    long pid;
    uint64_t started; /* clock ticks since boot: proc(5), field 22 of stat */
    uint32_t domain;  /* NOBODY: there is none yet */
    uint64_t kib;
};

struct ledger {
    int file; /* locked while it is open */
    unsigned count;
    struct promise promise[PROMISES_MAX];
};

static uint64_t started(long pid)
{
    char path[40], text[1024], *after;
    FILE *file;
    size_t got;

    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    file = fopen(path, "r");
    if (!file)
        return 0;
    got = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[got] = '\0';
    after = strrchr(text, ')'); /* the name may hold anything */
    for (int field = 2; after && field < 22; field++)
        after = strchr(after + 1, ' ');
    return after ? strtoull(after, NULL, 10) : 0;
}

static bool is_ours(const struct promise *p)
{
    return p->pid == getpid();
}

static int ledger_fail(struct pal_error *e, const char *path)
{
    return pal_fail(e, PAL_SYS_FAILED, "%s: %s", path, strerror(errno));
}

/* Open, lock, read; promises of the dead are left out. */
static int ledger_open(struct ledger *l, struct pal_error *e)
{
    char path[256], line[128];
    FILE *in;

    pal_record_path(path, sizeof(path), "ledger");
    l->count = 0;
    l->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (l->file < 0)
        return ledger_fail(e, path);
    if (flock(l->file, LOCK_EX) || !(in = fdopen(dup(l->file), "r"))) {
        ledger_fail(e, path);
        close(l->file);
        return -1;
    }
    while (l->count < PROMISES_MAX && fgets(line, sizeof(line), in)) {
        struct promise *p = &l->promise[l->count];

        if (sscanf(line, "%ld %" SCNu64 " %" SCNu32 " %" SCNu64, &p->pid, &p->started, &p->domain,
                   &p->kib) == 4 &&
            p->started && p->started == started(p->pid))
            l->count++;
    }
    fclose(in);
    return 0;
}

static int ledger_write(struct ledger *l, struct pal_error *e)
{
    FILE *out;
    int rc = 0;

    if (ftruncate(l->file, 0) || lseek(l->file, 0, SEEK_SET) || !(out = fdopen(dup(l->file), "w")))
        return ledger_fail(e, "the ledger");
    for (unsigned i = 0; i < l->count; i++)
        fprintf(out, "%ld %" PRIu64 " %" PRIu32 " %" PRIu64 "\n", l->promise[i].pid,
                l->promise[i].started, l->promise[i].domain, l->promise[i].kib);
    if (fclose(out))
        rc = ledger_fail(e, "the ledger");
    return rc;
}

static void drop_ours(struct ledger *l)
{
    for (unsigned i = 0; i < l->count;) {
        if (is_ours(&l->promise[i]))
            l->promise[i] = l->promise[--l->count];
        else
            i++;
    }
}

static uint64_t open_part(struct pal_hv *hv, const struct promise *p)
{
    struct xen_domctl_getdomaininfo info;
    struct pal_error ignored = {0};
    uint64_t has = 0;

    if (p->domain != NOBODY && !pal_domain_info(hv, p->domain, &info, &ignored))
        has = info.tot_pages << 2;
    return p->kib > has ? p->kib - has : 0;
}

static uint64_t sum_of_others(struct pal_hv *hv, const struct ledger *l)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < l->count; i++)
        sum += is_ours(&l->promise[i]) ? 0 : open_part(hv, &l->promise[i]);
    return sum;
}

int pal_ledger_promised(struct pal_hv *hv, uint64_t *kib, struct pal_error *e)
{
    struct ledger l;

    if (ledger_open(&l, e))
        return -1;
    *kib = sum_of_others(hv, &l);
    close(l.file);
    return 0;
}

/* Ours becomes the one promise of this process. */
static int enter_ours(struct ledger *l, uint64_t kib, struct pal_error *e)
{
    drop_ours(l);
    if (l->count == PROMISES_MAX)
        return pal_fail(e, PAL_SYS_FAILED, "too many domains are being started at once");
    l->promise[l->count++] = (struct promise){getpid(), started(getpid()), NOBODY, kib};
    return ledger_write(l, e);
}

int pal_ledger_want(uint64_t kib, struct pal_error *e)
{
    struct ledger l;
    int rc;

    if (ledger_open(&l, e))
        return -1;
    rc = enter_ours(&l, kib, e);
    close(l.file);
    return rc;
}

int pal_ledger_promise(struct pal_hv *hv, uint64_t kib, uint64_t *missing, struct pal_error *e)
{
    struct xen_sysctl_physinfo host;
    struct ledger l;
    uint64_t others, free_kib;
    int rc = -1;

    *missing = 0;
    if (ledger_open(&l, e))
        return -1;
    if (pal_hv_physinfo(hv, &host, e))
        goto out;
    others = sum_of_others(hv, &l);
    free_kib = (host.free_pages + host.scrub_pages) << 2;
    if (kib + others > free_kib) {
        *missing = kib + others - free_kib;
        pal_fail(e, PAL_MEM_HOST,
                 "it needs %" PRIu64 " MiB; the machine has %" PRIu64 " MiB free, of which %" PRIu64
                 " MiB are promised to others",
                 kib >> 10, free_kib >> 10, others >> 10);
        goto out;
    }
    rc = enter_ours(&l, kib, e);
out:
    close(l.file);
    return rc;
}

int pal_ledger_settle(uint32_t domain, struct pal_error *e)
{
    struct ledger l;
    int rc;

    if (ledger_open(&l, e))
        return -1;
    for (unsigned i = 0; i < l.count; i++)
        if (is_ours(&l.promise[i]))
            l.promise[i].domain = domain;
    rc = ledger_write(&l, e);
    close(l.file);
    return rc;
}

void pal_ledger_release(void)
{
    struct pal_error ignored = {0};
    struct ledger l;

    if (ledger_open(&l, &ignored))
        return;
    drop_ours(&l);
    ledger_write(&l, &ignored);
    close(l.file);
}
