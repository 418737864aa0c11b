/* SPDX-License-Identifier: MIT */
#include "verb.h"
#include "verbs.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libpal/interrupt.h"
#include "save_restore.h"

#define PATH_MOST 4096
#define SUFFIX    ".pal"

static struct {
    struct restore_options restore;
    const char *all; /* the directory */
} wanted;

static const struct argp_option options[] = {
    {"paused", 'p', NULL, 0, "Leave it paused", 0},
    {"name", 'n', "NAME", 0, "Give it another name", 0},
    {"all", 'a', "DIR", 0,
     "Restore all images of the directory; each is removed when its domain runs", 0},
    {0}};

static bool option(struct call *c, int key, const char *value)
{
    (void)c;
    switch (key) {
    case 'p':
        return wanted.restore.paused = true;
    case 'n':
        wanted.restore.rename = value;
        return pal_name_is_good(value);
    case 'a':
        wanted.all = value;
        return true;
    default:
        return false;
    }
}

static json_t *describe(struct pal *p, int id, const char *path)
{
    char name[PAL_NAME_MAX + 1];

    pal_domain_name(p, (uint32_t)id, name);
    return json_pack("{s:s, s:i, s:s}", "name", name, "id", id, "file", path);
}

static void tell(struct pal *p, int id)
{
    char name[PAL_NAME_MAX + 1];

    pal_domain_name(p, (uint32_t)id, name);
    printf("%s is back as domain %d%s\n", name, id, wanted.restore.paused ? ", paused" : "");
}

static int restore_one(struct call *c, struct pal *p, const char *path)
{
    bool input = !strcmp(path, "-");
    const char *name = input ? "standard input" : path;
    int id = restore_domain(p, input ? NULL : path, STDIN_FILENO, name, &wanted.restore, &c->error);

    if (id < 0)
        return -1;
    if (c->json) {
        json_t *answer = pal_json_answer("restore");

        json_object_set_new(answer, "domain", describe(p, id, name));
        pal_json_print(answer);
    } else {
        tell(p, id);
    }
    return 0;
}

static bool is_image(const char *name)
{
    size_t length = strlen(name);

    return length > strlen(SUFFIX) && name[0] != '.' &&
           !strcmp(name + length - strlen(SUFFIX), SUFFIX);
}

static int restore_all(struct call *c, struct pal *p, const char *directory)
{
    DIR *list = opendir(directory);
    json_t *domains = json_array();
    int failed = 0;

    if (!list)
        return pal_fail(&c->error, PAL_SAVE_UNREADABLE, "%s: %s", directory, strerror(errno));
    for (struct dirent *d; (d = readdir(list)) && !pal_interrupt_signal();) {
        struct pal_error e = {0};
        char path[PATH_MOST];
        int id;

        if (!is_image(d->d_name))
            continue;
        snprintf(path, sizeof(path), "%s/%s", directory, d->d_name);
        id = restore_domain(p, path, -1, path, &wanted.restore, &e);
        if (id < 0) {
            failed++;
            pal_failed_to(&e, "cannot restore %s", path);
            pal_error_print(&e, stderr);
            continue;
        }
        json_array_append_new(domains, describe(p, id, path));
        if (!c->json)
            tell(p, id);
        /* A second domain from the same image would write to the same disks. */
        unlink(path);
    }
    closedir(list);
    if (c->json) {
        json_t *answer = pal_json_answer("restore");

        json_object_set(answer, "domains", domains);
        pal_json_print(answer);
    }
    json_decref(domains);
    if (failed)
        return pal_fail(&c->error, PAL_SYS_FAILED, "%d of the images could not be restored",
                        failed);
    return pal_interrupt_check(&c->error);
}

static int run(struct call *c)
{
    const char *what = wanted.all ? wanted.all : c->argument[0];
    struct pal p;
    int rc;

    if (c->arguments != (wanted.all ? 0 : 1))
        return pal_fail(&c->error, PAL_USE_ARGUMENTS,
                        "it is `restore FILE` or `restore --all DIR`");
    if (pal_open(&p, &c->error))
        return 1;
    pal_interrupt_catch();
    rc = wanted.all ? restore_all(c, &p, what) : restore_one(c, &p, what);
    pal_interrupt_release();
    if (rc)
        pal_failed_to(&c->error, "cannot restore %s", what);
    pal_close(&p);
    return rc ? 1 : 0;
}

const struct verb verb_restore = {
    .name = "restore",
    .summary = "Bring a domain back from a file",
    .arguments = "[FILE|-]",
    .details =
        "The domain goes on where it was when it was saved. It runs only when the whole image "
        "was read and is sound; otherwise nothing is left of it. The word - stands for "
        "standard input.",
    .most = 1,
    .words = WORDS_FILE,
    .progress = true,
    .options = options,
    .option = option,
    .run = run,
};
