/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdlib.h>

#include "libpal/balloon.h"
#include "libpal/decision.h"
#include "libpal/interrupt.h"
#include "libpal/progress.h"
#include "size.h"

static struct {
    bool wait, explain;
    unsigned long deadline; /* seconds */
} wanted = {false, false, (unsigned long)PAL_BALLOON_DEADLINE_S};

static const struct argp_option options[] = {
    {"wait", 'w', NULL, 0, "Wait until it is there, or does not come nearer", 0},
    {"deadline", 'd', "SECONDS", 0, "Wait so long at most (60); implies --wait", 0},
    {"explain", 'e', NULL, 0, "Instead: what pal-balloond last decided on it, and why", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    if (key == 'e')
        return wanted.explain = true;
    wanted.wait = true;
    return key == 'w' || (key == 'd' && verb_number(c, value, 86400, &wanted.deadline));
}

static void tell(struct call *c, const char *name, uint64_t target, const char *end,
                 uint64_t reached)
{
    if (c->json) {
        json_t *answer = pal_json_answer("balloon");

        json_object_set_new(answer, "name", json_string(name));
        json_object_set_new(answer, "end", json_string(end));
        json_object_set_new(answer, "target_bytes", json_integer((json_int_t)target << 10));
        json_object_set_new(answer, "memory_bytes", json_integer((json_int_t)reached << 10));
        pal_json_print(answer);
    }
}

/* How it ended, as an error when it is not where it should be. */
static int judge(struct call *c, enum pal_balloon_end end, uint64_t reached)
{
    struct pal_error *e = &c->error;

    switch (end) {
    case PAL_BALLOON_DONE:
        return 0;
    case PAL_BALLOON_FLOOR:
        return pal_fail(e, PAL_MEM_FLOOR,
                        "it stopped at %" PRIu64 " MiB, its own floor; its maximum is fixed there",
                        reached >> 10);
    case PAL_BALLOON_SILENT:
        return pal_fail(e, PAL_MEM_SILENT,
                        "it does not answer; its maximum is fixed where it is, at %" PRIu64 " MiB",
                        reached >> 10);
    case PAL_BALLOON_LATE:
        return pal_fail(e, PAL_MEM_LATE, "it had come to %" PRIu64 " MiB after %lu s",
                        reached >> 10, wanted.deadline);
    default:
        return pal_fail(e, PAL_MEM_ENDED, "the domain ended meanwhile");
    }
}

static int wait_for(struct call *c, struct pal *p, const struct pal_domain *d, uint64_t kib)
{
    static const struct pal_phase phases[] = {{"memory", 1, true}};
    struct pal_progress *progress = pal_progress_begin("balloon", d->name, phases, 1);
    enum pal_balloon_end end;
    uint64_t reached;
    int rc;

    pal_interrupt_catch();
    rc = pal_balloon_wait(p, d, kib, (double)wanted.deadline, progress, &end, &reached, &c->error);
    pal_progress_end(progress, !rc);
    pal_interrupt_release();
    if (rc)
        return -1;
    if (judge(c, end, reached))
        return -1;
    tell(c, d->name, kib, pal_balloon_end_name(end), reached);
    return 0;
}

static void print_decision(struct call *c, const struct pal_domain *d, const struct pal_decision *k)
{
    if (c->json) {
        json_t *answer = pal_json_answer("balloon");

        json_object_set_new(answer, "name", json_string(d->name));
        json_object_set_new(
            answer, "decision",
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "reason", k->reason, "at",
                      (json_int_t)k->at, "memory_bytes", (json_int_t)k->current_kib << 10,
                      "target_bytes", (json_int_t)k->target_kib << 10, "floor_bytes",
                      (json_int_t)k->floor_kib << 10, "need_bytes", (json_int_t)k->need_kib << 10,
                      "comfort_bytes", (json_int_t)k->comfort_kib << 10, "ideal_bytes",
                      (json_int_t)k->ideal_kib << 10));
        pal_json_print(answer);
        return;
    }
    printf("%s had %" PRIu64 " MiB %ld s ago and was asked for %" PRIu64 ": %s.\n", d->name,
           k->current_kib >> 10, (long)(time(NULL) - k->at), k->target_kib >> 10, k->reason);
    if (k->has_agent)
        printf("Its agent says that it uses %" PRIu64 " MiB, has %" PRIu64
               " MiB in its swap, and that tasks waited for memory %.1f %% of the time.\n",
               k->used_kib >> 10, k->swapped_kib >> 10, k->pressure / 100.0);
    else
        printf("No agent runs in it: what it uses is not known.\n");
    printf("Floor %" PRIu64 " MiB, need %" PRIu64 ", comfort %" PRIu64
           "; by everybody's shares it goes to %" PRIu64 " MiB.\n",
           k->floor_kib >> 10, k->need_kib >> 10, k->comfort_kib >> 10, k->ideal_kib >> 10);
}

static int explain(struct call *c, const struct pal_domain *d)
{
    struct pal_decision k;

    if (pal_decision_read(d, &k, &c->error))
        return -1;
    print_decision(c, d, &k);
    return 0;
}

static int act(struct call *c, struct pal *p, uint64_t kib)
{
    struct pal_domain d;

    if (pal_domain_find(p, c->argument[0], &d, &c->error))
        return -1;
    if (wanted.explain)
        return explain(c, &d);
    if (wanted.wait)
        return wait_for(c, p, &d, kib);
    if (pal_balloon_ask(p, &d, kib, &c->error))
        return -1;
    tell(c, d.name, kib, "asked", d.info.tot_pages << 2);
    return 0;
}

static int run(struct call *c)
{
    struct pal p;
    uint64_t kib = 0;
    int rc;

    pal_failed_to(&c->error,
                  wanted.explain ? "cannot explain the memory of '%s'"
                                 : "cannot change the memory of '%s'",
                  c->argument[0]);
    if (wanted.explain != (c->arguments == 1))
        return pal_fail(&c->error, PAL_USE_ARGUMENTS, "either a size or --explain");
    if (!wanted.explain && !size_parse(c->argument[1], &kib))
        return pal_fail(&c->error, PAL_USE_ARGUMENTS, "'%s' is no size such as 256M or 2G",
                        c->argument[1]);
    if (pal_open(&p, &c->error))
        return 1;
    rc = act(c, &p, kib);
    pal_close(&p);
    return rc != 0;
}

const struct verb verb_balloon = {
    .name = "balloon",
    .summary = "Give a running domain more memory, or take some",
    .arguments = "NAME [SIZE]",
    .details =
        "SIZE is a number with K, M or G (M without). The domain's own balloon driver moves; "
        "its maximum is the new size from the moment it is asked.",
    .progress = true,
    .least = 1,
    .most = 2,
    .words = WORDS_DOMAIN,
    .options = options,
    .option = option,
    .run = run,
};
