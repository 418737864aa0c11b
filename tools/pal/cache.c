/* SPDX-License-Identifier: MIT */
/* The buffer cache: what free memory does meanwhile, for whom, and who decides. */
#include "verb.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libpal/hv_own.h"
#include "libpal/progress.h"
#include "libpal/warm.h"
#include "size.h"

#define NUMBER_TEXT 24
#define HEX_NAME    33

static struct {
    const char *list;
    bool all;
} wanted;

static const struct argp_option options[] = {
    {"list", 'l', "FILE", 0, "With record, warm: the list of pages (IMAGE.warm)", 0},
    {"all", 'a', NULL, 0, "With warm: all of the image, without a list", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    (void)c;
    if (key == 'l')
        wanted.list = value;
    else if (key == 'a')
        wanted.all = true;
    return key == 'l' || key == 'a';
}

/* ---- names of images ---- */

/* The images on which the disks that pal-blkd serves stand: their paths, with the names of their objects. */
struct known {
    struct pal_base image;
    char *path;
};
struct names {
    struct known *list;
    unsigned count;
};

static void names_add(struct names *n, char *path)
{
    struct known *more = realloc(n->list, (n->count + 1) * sizeof(*more));
    struct pal_error ignored = {0};

    if (more)
        n->list = more;
    if (!path || !more || pal_base_open(path, &more[n->count].image, &ignored)) {
        free(path);
        return;
    }
    pal_base_close(&more[n->count].image);
    more[n->count++].path = path;
}

/* The paths in the store are domain 0's own. */
static void names_of_domain(struct pal *p, struct names *n, const char *domain)
{
    char path[128];
    unsigned count = 0;
    char **disks;

    snprintf(path, sizeof(path), "/local/domain/0/backend/palblk/%s", domain);
    disks = xs_directory(p->store.xs, XBT_NULL, path, &count);
    for (unsigned i = 0; disks && i < count; i++) {
        char *base = pal_store_read(&p->store, "%s/%s/base", path, disks[i]);

        names_add(n, base ? base : pal_store_read(&p->store, "%s/%s/params", path, disks[i]));
    }
    free(disks);
}

static struct names names_of_all(struct pal *p)
{
    struct names n = {0};
    unsigned count = 0;
    char **domains = xs_directory(p->store.xs, XBT_NULL, "/local/domain/0/backend/palblk", &count);

    for (unsigned i = 0; domains && i < count; i++)
        names_of_domain(p, &n, domains[i]);
    free(domains);
    return n;
}

static void names_free(struct names *n)
{
    for (unsigned i = 0; i < n->count; i++)
        free(n->list[i].path);
    free(n->list);
}

static const char *path_of(const struct names *n, const uint64_t name[2])
{
    for (unsigned i = 0; i < n->count; i++) {
        if (!memcmp(n->list[i].image.name, name, sizeof(n->list[i].image.name)))
            return n->list[i].path;
    }
    return NULL;
}

static void hex_name(char text[HEX_NAME], const uint64_t name[2])
{
    snprintf(text, HEX_NAME, "%016" PRIx64 "%016" PRIx64, name[0], name[1]);
}

/* ---- what there is ---- */

struct picture {
    struct pal_hv_memory memory;
    struct pal_cache whole, *objects, *domains;
    int object_count, domain_count;
    struct names names;
};

static int take_picture(struct call *c, struct pal *p, struct picture *k)
{
    struct pal_error *e = &c->error;

    if (pal_hv_memory(&p->hv, &k->memory, e) || pal_hv_cache(&p->hv, &k->whole, e) ||
        (k->object_count = pal_hv_cache_objects(&p->hv, &k->objects, e)) < 0 ||
        (k->domain_count = pal_hv_cache_domains(&p->hv, &k->domains, e)) < 0)
        return -1;
    k->names = names_of_all(p);
    return 0;
}

/* Hits of all that was asked for; -1: nothing was. */
static double rate(const struct pal_cache *c)
{
    uint64_t asked = c->hits + c->misses;

    return asked ? (double)c->hits / (double)asked : -1;
}

static json_t *counts(const struct pal_cache *c)
{
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "cached_bytes",
                          (json_int_t)c->pages << PAL_PAGE_SHIFT, "hits", (json_int_t)c->hits,
                          "misses", (json_int_t)c->misses, "read_bytes", (json_int_t)c->bytes,
                          "inserted_bytes", (json_int_t)c->inserts << PAL_PAGE_SHIFT,
                          "replaced_bytes", (json_int_t)c->evictions << PAL_PAGE_SHIFT,
                          "taken_bytes", (json_int_t)c->taken << PAL_PAGE_SHIFT);

    json_object_set_new(o, "hit_rate", rate(c) < 0 ? json_null() : json_real(rate(c)));
    return o;
}

static void add_limit(json_t *o, const struct pal_cache *c)
{
    json_object_set_new(o, "on", json_boolean(!c->off));
    json_object_set_new(o, "limit_bytes",
                        c->limit >> (63 - PAL_PAGE_SHIFT)
                            ? json_null()
                            : json_integer((json_int_t)c->limit << PAL_PAGE_SHIFT));
}

static void print_json(struct pal *p, const struct picture *k)
{
    json_t *answer = pal_json_answer("cache"), *images = json_array(), *domains = json_array();
    char name[PAL_NAME_MAX + 1], hex[HEX_NAME];

    json_object_update_missing_new(answer, counts(&k->whole));
    json_object_set_new(answer, "free_bytes", json_integer((json_int_t)k->memory.free << 10));
    add_limit(answer, &k->whole);
    for (int i = 0; i < k->object_count; i++) {
        const struct pal_cache *c = &k->objects[i];
        const char *path = path_of(&k->names, c->name);
        json_t *o = counts(c);

        hex_name(hex, c->name);
        json_object_set_new(o, "name", json_string(hex));
        json_object_set_new(o, "path", path ? json_string(path) : json_null());
        json_object_set_new(o, "image_bytes",
                            json_integer((json_int_t)c->object_pages << PAL_PAGE_SHIFT));
        json_object_set_new(o, "readers", json_integer(c->readers));
        json_array_append_new(images, o);
    }
    for (int i = 0; i < k->domain_count; i++) {
        json_t *o = counts(&k->domains[i]);

        pal_domain_name(p, k->domains[i].domain, name);
        json_object_set_new(o, "id", json_integer(k->domains[i].domain));
        json_object_set_new(o, "name", json_string(name));
        add_limit(o, &k->domains[i]);
        json_array_append_new(domains, o);
    }
    json_object_set_new(answer, "images", images);
    json_object_set_new(answer, "domains", domains);
    pal_json_print(answer);
}

static void mib(char text[NUMBER_TEXT], uint64_t pages)
{
    snprintf(text, NUMBER_TEXT, "%.1f", (double)pages / 256);
}

static void percent(char text[NUMBER_TEXT], const struct pal_cache *c)
{
    if (rate(c) < 0)
        strcpy(text, "-");
    else
        snprintf(text, NUMBER_TEXT, "%.1f%%", 100 * rate(c));
}

static void limit_text(char text[NUMBER_TEXT], const struct pal_cache *c)
{
    if (c->off)
        strcpy(text, "off");
    else if (c->limit == PAL_CACHE_NO_LIMIT)
        strcpy(text, "-");
    else
        mib(text, c->limit);
}

static int print_images(const struct picture *k, struct pal_error *e)
{
    static const struct pal_column columns[] = {{"IMAGE", false, false}, {"SIZE", true, false},
                                                {"CACHED", true, false}, {"READ", true, false},
                                                {"HITS", true, false},   {"DOMAINS", true, false}};
    struct pal_table *t = pal_table_new(columns, 6, NULL, e);

    if (!t)
        return -1;
    for (int i = 0; i < k->object_count; i++) {
        const struct pal_cache *c = &k->objects[i];
        const char *path = path_of(&k->names, c->name);
        char size[NUMBER_TEXT], cached[NUMBER_TEXT], read[NUMBER_TEXT], hits[NUMBER_TEXT],
            readers[NUMBER_TEXT], hex[HEX_NAME];

        hex_name(hex, c->name);
        mib(size, c->object_pages);
        mib(cached, c->pages);
        mib(read, c->bytes >> PAL_PAGE_SHIFT);
        percent(hits, c);
        snprintf(readers, sizeof(readers), "%u", c->readers);
        pal_table_row(t,
                      (const char *const[]){path ? path : hex, size, cached, read, hits, readers});
    }
    pal_table_print(t);
    return 0;
}

static int print_domains(struct pal *p, const struct picture *k, struct pal_error *e)
{
    static const struct pal_column columns[] = {{"DOMAIN", false, false},
                                                {"READ", true, false},
                                                {"HITS", true, false},
                                                {"BROUGHT", true, false},
                                                {"LIMIT", true, false}};
    struct pal_table *t = pal_table_new(columns, 5, NULL, e);

    if (!t)
        return -1;
    for (int i = 0; i < k->domain_count; i++) {
        const struct pal_cache *c = &k->domains[i];
        char name[PAL_NAME_MAX + 1], read[NUMBER_TEXT], hits[NUMBER_TEXT], brought[NUMBER_TEXT],
            limit[NUMBER_TEXT];

        pal_domain_name(p, c->domain, name);
        mib(read, c->bytes >> PAL_PAGE_SHIFT);
        percent(hits, c);
        mib(brought, c->pages);
        limit_text(limit, c);
        pal_table_row(t, (const char *const[]){name, read, hits, brought, limit});
    }
    pal_table_print(t);
    return 0;
}

static int show(struct call *c, struct pal *p)
{
    struct picture k = {0};
    char hits[NUMBER_TEXT], limit[NUMBER_TEXT];
    int rc = take_picture(c, p, &k);

    if (!rc && c->json) {
        print_json(p, &k);
    } else if (!rc) {
        percent(hits, &k.whole);
        limit_text(limit, &k.whole);
        printf("%.1f MiB of %.1f MiB that are free hold pages of images; limit: %s.\n"
               "%" PRIu64 " hits, %" PRIu64 " misses (%s); %.1f MiB read, %.1f MiB replaced, "
               "%.1f MiB given to domains.\n",
               (double)k.whole.pages / 256, (double)k.memory.free / 1024,
               strcmp(limit, "-") ? limit : "none", k.whole.hits, k.whole.misses, hits,
               (double)(k.whole.bytes >> 10) / 1024, (double)k.whole.evictions / 256,
               (double)k.whole.taken / 256);
        if (k.object_count)
            rc = print_images(&k, &c->error);
        if (!rc && k.domain_count)
            rc = print_domains(p, &k, &c->error);
    }
    names_free(&k.names);
    free(k.objects);
    free(k.domains);
    return rc;
}

/* ---- changes ---- */

static int done(struct call *c)
{
    if (c->json)
        pal_json_print(pal_json_answer("cache"));
    return 0;
}

/* The object that a path, or the digits of a name, mean. PAL_CACHE_ALL: none has it now. */
static int find_object(struct call *c, struct pal *p, const char *word, uint32_t *object)
{
    struct pal_cache *all;
    struct pal_base image = {0};
    struct pal_error ignored = {0};
    bool is_file = !pal_base_open(word, &image, &ignored);
    int count = pal_hv_cache_objects(&p->hv, &all, &c->error);

    if (is_file)
        pal_base_close(&image);
    *object = PAL_CACHE_ALL;
    for (int i = 0; i < count; i++) {
        char hex[HEX_NAME];

        hex_name(hex, all[i].name);
        if (is_file ? !memcmp(all[i].name, image.name, sizeof(image.name)) : !strcmp(hex, word))
            *object = all[i].object;
    }
    free(all);
    if (count >= 0 && !is_file && *object == PAL_CACHE_ALL)
        return pal_fail(&c->error, PAL_IMG_UNREADABLE,
                        "%s is neither an image nor the name of one in the cache", word);
    return count < 0 ? -1 : 0;
}

static int drop(struct call *c, struct pal *p)
{
    if (c->arguments == 1 && pal_hv_cache_drop(&p->hv, PAL_CACHE_ALL, &c->error))
        return -1;
    for (unsigned i = 1; i < c->arguments; i++) {
        uint32_t object;

        if (find_object(c, p, c->argument[i], &object))
            return -1;
        if (object != PAL_CACHE_ALL && pal_hv_cache_drop(&p->hv, object, &c->error))
            return -1;
    }
    return done(c);
}

/* How a domain (or the whole) stands now. */
static int look(struct call *c, struct pal *p, const char *word, struct pal_cache *now)
{
    struct pal_cache *all;
    struct pal_domain d;
    int count;

    if (!word)
        return pal_hv_cache(&p->hv, now, &c->error);
    if (pal_domain_find(p, word, &d, &c->error))
        return -1;
    *now = (struct pal_cache){.domain = d.id, .limit = PAL_CACHE_NO_LIMIT};
    count = pal_hv_cache_domains(&p->hv, &all, &c->error);
    for (int i = 0; i < count; i++) {
        if (all[i].domain == d.id)
            *now = all[i];
    }
    free(all);
    return count < 0 ? -1 : 0;
}

static int turn(struct call *c, struct pal *p, bool off)
{
    unsigned i = 1;

    do {
        struct pal_cache now;

        if (look(c, p, i < c->arguments ? c->argument[i] : NULL, &now) ||
            pal_hv_cache_limit(&p->hv, now.domain, off, now.limit, &c->error))
            return -1;
    } while (++i < c->arguments);
    return done(c);
}

static int turn_on(struct call *c, struct pal *p)
{
    return turn(c, p, false);
}

static int turn_off(struct call *c, struct pal *p)
{
    return turn(c, p, true);
}

static int limit(struct call *c, struct pal *p)
{
    struct pal_cache now;
    uint64_t kib, pages = PAL_CACHE_NO_LIMIT;

    if (strcmp(c->argument[1], "none")) {
        if (!size_parse(c->argument[1], &kib))
            return pal_fail(&c->error, PAL_USE_ARGUMENTS,
                            "'%s' is no size such as 64M or 1G, nor `none`", c->argument[1]);
        pages = kib >> 2;
    }
    if (look(c, p, c->arguments > 2 ? c->argument[2] : NULL, &now) ||
        pal_hv_cache_limit(&p->hv, now.domain, now.off, pages, &c->error))
        return -1;
    return done(c);
}

/* ---- lists of pages ---- */

static int tell_pages(struct call *c, const char *list, long pages, const char *text)
{
    if (c->json) {
        json_t *answer = pal_json_answer("cache");

        json_object_set_new(answer, "list", list ? json_string(list) : json_null());
        json_object_set_new(answer, "bytes", json_integer((json_int_t)pages << PAL_PAGE_SHIFT));
        pal_json_print(answer);
    } else {
        printf("%s: %.1f MiB %s\n", c->argument[1], (double)pages / 256, text);
    }
    return 0;
}

/* The list's path; to be freed. */
static char *list_of(const char *image)
{
    char *path = NULL;

    if (wanted.list)
        return strdup(wanted.list);
    return asprintf(&path, "%s.warm", image) < 0 ? NULL : path;
}

static int with_image(struct call *c, struct pal *p,
                      long (*act)(struct call *c, struct pal *p, const struct pal_base *i,
                                  const char *list),
                      const char *text)
{
    struct pal_base image;
    char *list;
    long pages;

    if (pal_base_open(c->argument[1], &image, &c->error))
        return -1;
    list = list_of(c->argument[1]);
    pages = list ? act(c, p, &image, list) : pal_fail(&c->error, PAL_SYS_FAILED, "out of memory");
    pal_base_close(&image);
    if (pages >= 0)
        tell_pages(c, list, pages, text);
    free(list);
    return pages < 0 ? -1 : 0;
}

static long record_image(struct call *c, struct pal *p, const struct pal_base *i, const char *list)
{
    return pal_warm_record(&p->hv, i, list, &c->error);
}

static int record(struct call *c, struct pal *p)
{
    return with_image(c, p, record_image, "are cached; the list is written");
}

static long warm_image(struct call *c, struct pal *p, const struct pal_base *i, const char *list)
{
    static const struct pal_phase phases[] = {{"reading", 1, true}};
    struct pal_progress *progress;
    struct pal_cache now;
    long pages;

    if (pal_hv_cache(&p->hv, &now, &c->error))
        return -1;
    if (now.off) {
        pal_fail(&c->error, PAL_HV_REFUSED, "the buffer cache is off");
        return pal_remedy(&c->error, "`pal cache on`");
    }
    progress = pal_progress_begin("cache", c->argument[1], phases, 1);
    pal_progress_phase(progress, 0, i->pages << PAL_PAGE_SHIFT);
    pages = pal_warm_up(&p->hv, i, wanted.all ? NULL : list, progress, &c->error);
    pal_progress_end(progress, pages >= 0);
    return pages;
}

static int warm(struct call *c, struct pal *p)
{
    return with_image(c, p, warm_image, "are in the cache");
}

static const struct verb_act acts[] = {
    {"show", show, 1, 1},
    {"drop", drop, 1, ARGUMENTS_MAX},
    {"on", turn_on, 1, ARGUMENTS_MAX},
    {"off", turn_off, 1, ARGUMENTS_MAX},
    {"limit", limit, 2, 3},
    {"record", record, 2, 2},
    {"warm", warm, 2, 2},
    {0},
};

const struct verb verb_cache = {
    .name = "cache",
    .summary = "Free memory that holds pages of images: show, drop, on, off, limit, record, warm",
    .arguments = "[show|drop|on|off|limit|record|warm] [SIZE] [IMAGE|DOMAIN...]",
    .details = "Cached pages lie in free memory and are gone the moment anybody needs it. `record` "
               "writes which pages of an image are cached now, after a boot from it; `warm` reads "
               "these in advance. A domain that is off neither reads from the cache nor brings "
               "pages in: what others read can then not be told by how long its reads take.",
    .progress = true,
    .most = ARGUMENTS_MAX,
    .words = WORDS_DOMAIN,
    .options = options,
    .acts = acts,
    .act_words = "`show`, `drop [IMAGE...]`, `on [DOMAIN...]`, `off [DOMAIN...]`, "
                 "`limit SIZE|none [DOMAIN]`, `record IMAGE` or `warm IMAGE`",
    .option = option,
    .run = verb_act,
};
