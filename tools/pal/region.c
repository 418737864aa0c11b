/* SPDX-License-Identifier: MIT */
/* Memory that domains share: made, shown, given and taken. */
#include "verb.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libpal/region.h"
#include "size.h"

#define ALLOW_MAX 32
#define SIZE_TEXT 24

static struct {
    const char *allow[ALLOW_MAX];
    unsigned allows;
    unsigned long deadline; /* seconds */
    const char *columns;
} wanted = {.deadline = 2};

static const struct argp_option options[] = {
    {"allow", 'a', "DOMAIN:RIGHTS", 0, "With create: who may use it, rw or ro (may be repeated)",
     0},
    {"deadline", 'd', "SECONDS", 0,
     "With revoke, destroy: let them let go for so long (2); 0 takes it at once", 0},
    {"output", 'o', "COLS", 0, "With list: only these columns (with + before them: these too)", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    if (key == 'a' && wanted.allows < ALLOW_MAX)
        wanted.allow[wanted.allows++] = value;
    else if (key == 'd')
        return !strcmp(value, "0") ? !(wanted.deadline = 0)
                                   : verb_number(c, value, 86400, &wanted.deadline);
    else if (key == 'o')
        wanted.columns = value;
    else
        return false;
    return true;
}

/* ---- words ---- */

/* "web:rw" */
static int find_member(struct pal *p, const char *word, struct pal_member *m, struct pal_error *e)
{
    const char *colon = strrchr(word, ':');
    char name[PAL_NAME_MAX + 1];
    struct pal_domain d;

    if (!colon || (strcmp(colon, ":rw") && strcmp(colon, ":ro")))
        return pal_fail(e, PAL_USE_ARGUMENTS, "\"%s\" is not DOMAIN:rw or DOMAIN:ro", word);
    if ((size_t)(colon - word) >= sizeof(name))
        return pal_fail(e, PAL_DOM_UNKNOWN, "there is no domain of so long a name");
    snprintf(name, sizeof(name), "%.*s", (int)(colon - word), word);
    if (pal_domain_find(p, name, &d, e))
        return -1;
    *m = (struct pal_member){.domain = d.id, .write = !strcmp(colon, ":rw")};
    return 0;
}

static void name_of(struct pal *p, uint32_t id, char name[PAL_NAME_MAX + 1])
{
    if (id == PAL_REGION_NOBODY)
        strcpy(name, "-");
    else
        pal_domain_name(p, id, name);
}

/* ---- answers ---- */

static json_t *describe(struct pal *p, const struct pal_region *r)
{
    json_t *members = json_array(), *o;
    char name[PAL_NAME_MAX + 1];

    for (unsigned i = 0; i < r->members; i++) {
        pal_domain_name(p, r->member[i].domain, name);
        json_array_append_new(
            members, json_pack("{s:i, s:s, s:s, s:I}", "id", (int)r->member[i].domain, "name", name,
                               "access", r->member[i].write ? "rw" : "ro", "mapped_bytes",
                               (json_int_t)r->member[i].mappings << PAL_PAGE_SHIFT));
    }
    o = json_pack("{s:s, s:i, s:I, s:I}", "name", r->name, "slot", (int)r->slot, "bytes",
                  (json_int_t)r->pages << PAL_PAGE_SHIFT, "generation", (json_int_t)r->generation);
    if (r->creator == PAL_REGION_NOBODY)
        json_object_set_new(o, "creator", json_null());
    else
        json_object_set_new(o, "creator", json_integer(r->creator));
    json_object_set_new(o, "members", members);
    return o;
}

static void answer(struct call *c, struct pal *p, const struct pal_region *r)
{
    json_t *answer = pal_json_answer("region");

    (void)c;
    json_object_set_new(answer, "region", describe(p, r));
    pal_json_print(answer);
}

static void size_text(char text[SIZE_TEXT], uint64_t pages)
{
    if (pages & 255)
        snprintf(text, SIZE_TEXT, "%" PRIu64 "K", pages << 2);
    else
        snprintf(text, SIZE_TEXT, "%" PRIu64 "M", pages >> 8);
}

/* ---- create ---- */

static int allow_all(struct pal *p, struct pal_region *r, const struct pal_member *m,
                     unsigned count, struct pal_error *e)
{
    for (unsigned i = 0; i < count; i++) {
        if (pal_region_allow(p, r, m[i].domain, m[i].write, e))
            return -1;
    }
    return 0;
}

static int create(struct call *c, struct pal *p)
{
    struct pal_member member[ALLOW_MAX];
    struct pal_region r;
    uint64_t kib;
    char size[SIZE_TEXT];

    if (!size_parse(c->argument[2], &kib))
        return pal_fail(&c->error, PAL_USE_ARGUMENTS, "'%s' is no size such as 64M or 1G",
                        c->argument[2]);
    for (unsigned i = 0; i < wanted.allows; i++) {
        if (find_member(p, wanted.allow[i], &member[i], &c->error))
            return -1;
    }
    if (pal_region_create(p, c->argument[1], kib, &r, &c->error))
        return -1;
    if (allow_all(p, &r, member, wanted.allows, &c->error)) {
        struct pal_error ignored = {0};

        (void)pal_region_destroy(p, &r, 0, &ignored);
        return -1;
    }
    if (c->json) {
        answer(c, p, &r);
    } else {
        size_text(size, r.pages);
        printf("%s: %s, shared by %u domain%s\n", r.name, size, r.members,
               r.members == 1 ? "" : "s");
    }
    return 0;
}

/* ---- list and info ---- */

static void row(struct pal_table *t, struct pal *p, const struct pal_region *r)
{
    char slot[12], size[SIZE_TEXT], mapped[SIZE_TEXT], maker[PAL_NAME_MAX + 1], shared[160] = "";
    uint64_t pages = 0;

    for (unsigned i = 0; i < r->members; i++) {
        char name[PAL_NAME_MAX + 1];
        size_t used = strlen(shared);

        pages += r->member[i].mappings;
        pal_domain_name(p, r->member[i].domain, name);
        snprintf(shared + used, sizeof(shared) - used, "%s%s:%s", used ? " " : "", name,
                 r->member[i].write ? "rw" : "ro");
    }
    snprintf(slot, sizeof(slot), "%u", r->slot);
    size_text(size, r->pages);
    size_text(mapped, pages);
    name_of(p, r->creator, maker);
    pal_table_row(t, (const char *const[]){r->name, size, mapped, maker, shared, slot});
}

static int list(struct call *c, struct pal *p)
{
    static const struct pal_column columns[] = {{"NAME", false, false},   {"SIZE", true, false},
                                                {"MAPPED", true, false},  {"MAKER", false, false},
                                                {"SHARED", false, false}, {"SLOT", true, true}};
    struct pal_region *all;
    int count = pal_hv_regions(&p->hv, &all, &c->error);

    if (count < 0)
        return -1;
    if (c->json) {
        json_t *answer = pal_json_answer("region"), *regions = json_array();

        for (int i = 0; i < count; i++)
            json_array_append_new(regions, describe(p, &all[i]));
        json_object_set_new(answer, "regions", regions);
        pal_json_print(answer);
    } else {
        struct pal_table *t = pal_table_new(columns, 6, wanted.columns, &c->error);

        for (int i = 0; t && i < count; i++)
            row(t, p, &all[i]);
        if (t)
            pal_table_print(t);
        count = t ? count : -1;
    }
    free(all);
    return count < 0 ? -1 : 0;
}

static int info(struct call *c, struct pal *p)
{
    char size[SIZE_TEXT], name[PAL_NAME_MAX + 1];
    struct pal_region r;

    if (pal_region_find(p, c->argument[1], &r, &c->error))
        return -1;
    if (c->json) {
        answer(c, p, &r);
        return 0;
    }
    size_text(size, r.pages);
    name_of(p, r.creator, name);
    printf("%s: %s, made by %s, slot %u, generation %" PRIu64 "\n", r.name, size, name, r.slot,
           r.generation);
    for (unsigned i = 0; i < r.members; i++) {
        size_text(size, r.member[i].mappings);
        pal_domain_name(p, r.member[i].domain, name);
        printf("  %-16s %s, %s mapped\n", name, r.member[i].write ? "rw" : "ro", size);
    }
    return 0;
}

/* ---- changes ---- */

static int allow(struct call *c, struct pal *p)
{
    struct pal_member member[ARGUMENTS_MAX];
    struct pal_region r;

    for (unsigned i = 2; i < c->arguments; i++) {
        if (find_member(p, c->argument[i], &member[i - 2], &c->error))
            return -1;
    }
    if (pal_region_find(p, c->argument[1], &r, &c->error) ||
        allow_all(p, &r, member, c->arguments - 2, &c->error))
        return -1;
    if (c->json)
        answer(c, p, &r);
    return 0;
}

static int revoke(struct call *c, struct pal *p)
{
    struct pal_region r;

    if (pal_region_find(p, c->argument[1], &r, &c->error))
        return -1;
    for (unsigned i = 2; i < c->arguments; i++) {
        struct pal_domain d;

        if (pal_domain_find(p, c->argument[i], &d, &c->error) ||
            pal_region_revoke(p, &r, d.id, (double)wanted.deadline, &c->error))
            return -1;
    }
    if (c->json)
        answer(c, p, &r);
    return 0;
}

static int destroy(struct call *c, struct pal *p)
{
    struct pal_region r;

    for (unsigned i = 1; i < c->arguments; i++) {
        if (pal_region_find(p, c->argument[i], &r, &c->error) ||
            pal_region_destroy(p, &r, (double)wanted.deadline, &c->error))
            return -1;
    }
    if (c->json)
        pal_json_print(pal_json_answer("region"));
    return 0;
}

static const struct verb_act acts[] = {
    {"create", create, 3, 3},
    {"list", list, 1, 1},
    {"info", info, 2, 2},
    {"allow", allow, 3, ARGUMENTS_MAX},
    {"revoke", revoke, 3, ARGUMENTS_MAX},
    {"destroy", destroy, 2, ARGUMENTS_MAX},
    {0},
};

const struct verb verb_region = {
    .name = "region",
    .summary = "Memory that domains share: create, list, info, allow, revoke, destroy",
    .arguments = "create|list|info|allow|revoke|destroy [NAME] [SIZE|DOMAIN...]",
    .details =
        "A region stays until it is destroyed. What is taken from a domain is taken by force when "
        "it does not let go: `revoke` returns when no CPU reaches the memory through it any more. "
        "NAME is a region that domain 0 made; MAKER:NAME one of a guest; a slot's number any.",
    .least = 1,
    .most = ARGUMENTS_MAX,
    .words = WORDS_DOMAIN,
    .options = options,
    .acts = acts,
    .act_words = "`create NAME SIZE`, `list`, `info NAME`, `allow NAME DOMAIN:rw|DOMAIN:ro...`, "
                 "`revoke NAME DOMAIN...` or `destroy NAME...`",
    .option = option,
    .run = verb_act,
};
