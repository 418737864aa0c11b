/* SPDX-License-Identifier: MIT */
/* Who uses the machine: xentop's columns, live or in batches. */
#include "verb.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "screen.h"
#include "usage.h"

#define FIRST_SECONDS 0.5 /* between the two looks that the first list needs */

static struct {
    bool batch;
    unsigned long rounds, delay; /* 0 rounds: without end */
    const char *columns;
} wanted = {false, 0, 3, NULL};

static const struct argp_option options[] = {
    {"batch", 'b', NULL, 0, "Plain text, one list after the other", 0},
    {"iterations", 'i', "N", 0, "End after N lists", 0},
    {"delay", 'd', "SECONDS", 0, "Between two lists (3)", 0},
    {"output", 'o', "COLS", 0, "Only these columns: NAME,CPU(%),...; or, besides the usual, +ID",
     0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    switch (key) {
    case 'b':
        wanted.batch = true;
        return true;
    case 'i':
        return verb_number(c, value, 1000000, &wanted.rounds);
    case 'd':
        return verb_number(c, value, 86400, &wanted.delay) && wanted.delay > 0;
    case 'o':
        wanted.columns = value;
        return true;
    default:
        return false;
    }
}

struct sample {
    struct pal_domain *list;
    int count;
    double at;
    struct xen_sysctl_physinfo host;
};

static int take(struct pal *p, struct sample *s, struct pal_error *e)
{
    s->count = pal_domains(p, &s->list, e);
    s->at = verb_now();
    return s->count < 0 || pal_hv_physinfo(&p->hv, &s->host, e) ? -1 : 0;
}

/* Percent of one CPU since the sample before; 0 for a domain that was not in it. */
static double percent(const struct sample *before, const struct sample *now,
                      const struct pal_domain *d)
{
    for (int i = 0; i < before->count; i++) {
        const struct pal_domain *b = &before->list[i];

        if (b->id == d->id && !memcmp(b->info.handle, d->info.handle, sizeof(d->info.handle)) &&
            now->at > before->at)
            return (double)(d->info.cpu_time - b->info.cpu_time) / 1e7 / (now->at - before->at);
    }
    return 0;
}

/* ---- the table ---- */

enum {
    NAME,
    ID,
    STATE,
    CPU_SECONDS,
    CPU_PERCENT,
    MEMORY,
    MEMORY_PERCENT,
    MOST,
    MOST_PERCENT,
    VCPUS,
    NETS,
    NET_SENT,
    NET_RECEIVED,
    DISKS,
    DISK_WAITS,
    DISK_READS,
    DISK_WRITES,
    DISK_READ_SECTORS,
    DISK_WRITTEN_SECTORS,
    COLUMNS,
};

static const struct pal_column columns[COLUMNS] = {
    [NAME] = {"NAME", false, false},
    [ID] = {"ID", true, true},
    [STATE] = {"STATE", false, false},
    [CPU_SECONDS] = {"CPU(sec)", true, false},
    [CPU_PERCENT] = {"CPU(%)", true, false},
    [MEMORY] = {"MEM(k)", true, false},
    [MEMORY_PERCENT] = {"MEM(%)", true, false},
    [MOST] = {"MAXMEM(k)", true, false},
    [MOST_PERCENT] = {"MAXMEM(%)", true, false},
    [VCPUS] = {"VCPUS", true, false},
    [NETS] = {"NETS", true, false},
    [NET_SENT] = {"NETTX(k)", true, false},
    [NET_RECEIVED] = {"NETRX(k)", true, false},
    [DISKS] = {"VBDS", true, false},
    [DISK_WAITS] = {"VBD_OO", true, false},
    [DISK_READS] = {"VBD_RD", true, false},
    [DISK_WRITES] = {"VBD_WR", true, false},
    [DISK_READ_SECTORS] = {"VBD_RSECT", true, false},
    [DISK_WRITTEN_SECTORS] = {"VBD_WSECT", true, false},
};

struct row {
    char text[COLUMNS][64];
};

static void put(struct row *r, unsigned column, uint64_t value)
{
    snprintf(r->text[column], sizeof(r->text[column]), "%" PRIu64, value);
}

static void put_share(struct row *r, unsigned column, double percent)
{
    snprintf(r->text[column], sizeof(r->text[column]), "%.1f", percent);
}

static void fill_row(struct row *r, const struct sample *before, const struct sample *now,
                     const struct pal_domain *d)
{
    double all = now->host.total_pages ? (double)now->host.total_pages : 1;
    struct usage u = usage_of(d->id);

    snprintf(r->text[NAME], sizeof(r->text[NAME]), "%s", d->name);
    put(r, ID, d->id);
    snprintf(r->text[STATE], sizeof(r->text[STATE]), "%s", pal_domain_state(&d->info));
    put(r, CPU_SECONDS, d->info.cpu_time / 1000000000);
    put_share(r, CPU_PERCENT, percent(before, now, d));
    put(r, MEMORY, (uint64_t)d->info.tot_pages << 2);
    put_share(r, MEMORY_PERCENT, 100 * (double)d->info.tot_pages / all);
    put(r, MOST, (uint64_t)d->info.max_pages << 2);
    put_share(r, MOST_PERCENT, 100 * (double)d->info.max_pages / all);
    put(r, VCPUS, d->info.nr_online_vcpus);
    put(r, NETS, u.nets);
    put(r, NET_SENT, u.sent >> 10);
    put(r, NET_RECEIVED, u.received >> 10);
    put(r, DISKS, u.disks);
    put(r, DISK_WAITS, u.disk_waits);
    put(r, DISK_READS, u.disk_reads);
    put(r, DISK_WRITES, u.disk_writes);
    put(r, DISK_READ_SECTORS, u.disk_read_sectors);
    put(r, DISK_WRITTEN_SECTORS, u.disk_written_sectors);
}

static struct pal_table *table_of(const struct sample *before, const struct sample *now,
                                  struct pal_error *e)
{
    struct pal_table *t = pal_table_new(columns, COLUMNS, wanted.columns, e);

    for (int i = 0; t && i < now->count; i++) {
        const char *texts[COLUMNS];
        struct row r;

        fill_row(&r, before, now, &now->list[i]);
        for (unsigned j = 0; j < COLUMNS; j++)
            texts[j] = r.text[j];
        pal_table_row(t, texts);
    }
    return t;
}

/* ---- a list ---- */

static json_t *domain_json(const struct sample *before, const struct sample *now,
                           const struct pal_domain *d)
{
    struct usage u = usage_of(d->id);

    return json_pack(
        "{s:i, s:s, s:s, s:f, s:f, s:I, s:I, s:i, s:i, s:I, s:I, s:i, s:I, s:I, s:I, s:I, s:I}",
        "id", (int)d->id, "name", d->name, "state", pal_domain_state(&d->info), "cpu_seconds",
        (double)d->info.cpu_time / 1e9, "cpu_percent", percent(before, now, d), "memory_bytes",
        (json_int_t)d->info.tot_pages << 12, "memory_max_bytes",
        (json_int_t)d->info.max_pages << 12, "vcpus", (int)d->info.nr_online_vcpus, "interfaces",
        (int)u.nets, "sent_bytes", (json_int_t)u.sent, "received_bytes", (json_int_t)u.received,
        "disks", (int)u.disks, "disk_waits", (json_int_t)u.disk_waits, "disk_reads",
        (json_int_t)u.disk_reads, "disk_writes", (json_int_t)u.disk_writes, "disk_read_sectors",
        (json_int_t)u.disk_read_sectors, "disk_written_sectors",
        (json_int_t)u.disk_written_sectors);
}

static void print_json(const struct sample *before, const struct sample *now)
{
    json_t *answer = pal_json_answer("top"), *all = json_array();

    for (int i = 0; i < now->count; i++)
        json_array_append_new(all, domain_json(before, now, &now->list[i]));
    json_object_set_new(answer, "domains", all);
    pal_json_print(answer);
}

/* As much of it as the screen holds, under a line on the machine. */
static int draw(const struct sample *before, const struct sample *now, struct pal_error *e)
{
    struct pal_table *t = table_of(before, now, e);
    unsigned running = 0;
    char head[160], *text;

    if (!t)
        return -1;
    for (int i = 0; i < now->count; i++)
        running += !strcmp(pal_domain_state(&now->list[i].info), "running");
    snprintf(head, sizeof(head),
             "%d domains, %u running; %u CPUs; %" PRIu64 " MiB, %" PRIu64 " MiB free; q ends",
             now->count, running, now->host.nr_cpus, (uint64_t)now->host.total_pages >> 8,
             (uint64_t)(now->host.free_pages + now->host.scrub_pages) >> 8);
    text = pal_table_text(t);
    screen_show(head, text);
    free(text);
    return 0;
}

static int show(struct call *c, bool live, const struct sample *before, const struct sample *now)
{
    struct pal_table *t;

    if (live)
        return draw(before, now, &c->error);
    if (c->json) {
        print_json(before, now);
    } else {
        t = table_of(before, now, &c->error);
        if (!t)
            return -1;
        pal_table_print(t);
    }
    return fflush(stdout);
}

/* Between two lists. False: the user has had enough. */
static bool pass(bool live, double seconds)
{
    if (live)
        return screen_wait(seconds);
    verb_sleep(seconds);
    return true;
}

static int watch(struct call *c, struct pal *p, bool live)
{
    double first = wanted.delay < FIRST_SECONDS ? (double)wanted.delay : FIRST_SECONDS;
    struct sample before = {0}, now;
    int rc = take(p, &before, &c->error);

    for (unsigned long round = 0; !rc && (!wanted.rounds || round < wanted.rounds); round++) {
        if (!pass(live, round ? (double)wanted.delay : first))
            break;
        rc = take(p, &now, &c->error) || show(c, live, &before, &now) ? 1 : 0;
        free(before.list);
        before = now;
    }
    free(before.list);
    return rc;
}

static int run(struct call *c)
{
    bool live = !wanted.batch && !c->json && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
    struct pal p;
    int rc;

    pal_failed_to(&c->error, "cannot watch the domains");
    if (c->json && !wanted.rounds)
        wanted.rounds = 1;
    if (pal_open(&p, &c->error))
        return 1;
    live = live && screen_open();
    rc = watch(c, &p, live);
    if (live)
        screen_close();
    pal_close(&p);
    return rc;
}

const struct verb verb_top = {
    .name = "top",
    .summary = "Show who uses the machine; q ends",
    .arguments = "",
    .details =
        "Columns for --output: NAME, ID, STATE, CPU(sec), CPU(%), MEM(k), MEM(%), MAXMEM(k), "
        "MAXMEM(%), VCPUS, NETS, NETTX(k), NETRX(k), VBDS, VBD_OO, VBD_RD, VBD_WR, VBD_RSECT, "
        "VBD_WSECT. With --json one list, or as many as --iterations says.",
    .options = options,
    .option = option,
    .run = run,
};
