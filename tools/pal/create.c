/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include <stdlib.h>

#include "attach.h"
#include "libpal/interrupt.h"
#include "make.h"

static struct {
    bool paused, console, dry_run;
} wanted;

static const struct argp_option options[] = {
    {"paused", 'p', NULL, 0, "Leave it paused", 0},
    {"console", 'c', NULL, 0, "Attach to its console (Ctrl-] leaves)", 0},
    {"dry-run", 'n', NULL, 0, "Check the file, the kernel and the memory, but make nothing", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    (void)c;
    (void)value;
    wanted.paused |= key == 'p';
    wanted.console |= key == 'c';
    wanted.dry_run |= key == 'n';
    return key == 'p' || key == 'c' || key == 'n';
}

static void report(struct call *c, const struct pal_config *config, int id)
{
    char uuid[37];
    json_t *answer;

    if (!c->json) {
        if (wanted.dry_run) {
            printf("%s can be created\n", config->name);
            for (unsigned i = 0; i < config->disks; i++) {
                const struct pal_disk *disk = &config->disk[i];

                if (make_has_overlay_to_make(disk))
                    printf("%s would be made, an overlay over %s\n", disk->source, disk->base);
            }
        } else
            printf("%s is domain %d\n", config->name, id);
        fflush(stdout);
        return;
    }
    pal_uuid_text(config->uuid, uuid);
    answer = pal_json_answer("create");
    json_object_set_new(answer, "name", json_string(config->name));
    json_object_set_new(answer, "uuid", json_string(uuid));
    json_object_set_new(answer, "dry_run", json_boolean(wanted.dry_run));
    if (!wanted.dry_run)
        json_object_set_new(answer, "id", json_integer(id));
    pal_json_print(answer);
    fflush(stdout);
}

static int show_console(struct call *c, struct pal *p, uint32_t id)
{
    int end;

    pal_interrupt_catch();
    end = attach_console(p, id, &(struct attach){0}, &c->error);
    pal_interrupt_release();
    return end < 0;
}

static int create(struct call *c, struct pal *p, const struct pal_config *config)
{
    int id;

    if (wanted.dry_run) {
        if (make_check(p, config, &c->error))
            return 1;
        report(c, config, 0);
        return 0;
    }
    pal_interrupt_catch();
    id = make_domain(p, config, &c->error);
    if (id >= 0 && !wanted.paused && pal_domain_unpause(&p->hv, (uint32_t)id, &c->error)) {
        struct pal_error ignored = {0};

        pal_domain_end(p, (uint32_t)id, &ignored);
        id = -1;
    }
    pal_interrupt_release();
    if (id < 0)
        return 1;
    report(c, config, id);
    return wanted.console ? show_console(c, p, (uint32_t)id) : 0;
}

static int run(struct call *c)
{
    struct pal_config config;
    struct pal p;
    int rc;

    if (pal_config_read(&config, c->argument[0], &c->error))
        return pal_failed_to(&c->error, "cannot create a domain from %s", c->argument[0]);
    rc = pal_open(&p, &c->error);
    if (!rc) {
        rc = create(c, &p, &config);
        pal_close(&p);
    }
    if (rc)
        pal_failed_to(&c->error, "cannot create domain \"%s\"", config.name);
    pal_config_free(&config);
    return rc;
}

const struct verb verb_create = {
    .name = "create",
    .aliases = "start",
    .summary = "Create a domain from its XML file, and start it",
    .arguments = "FILE.xml",
    .details = "The file is a subset of libvirt's domain XML; `pal schema` prints which.",
    .least = 1,
    .most = 1,
    .words = WORDS_XML,
    .progress = true,
    .options = options,
    .option = option,
    .run = run,
};
