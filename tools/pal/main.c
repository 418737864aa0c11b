/* SPDX-License-Identifier: MIT */
/* pal VERB [WORDS]: finds the verb and calls it. */
#include "verb.h"

#include <errno.h>
#include <string.h>

#include "version.h"

static const struct verb *const *each_verb(const struct verb *const *v)
{
    return v ? v + 1 : verbs;
}

static bool word_in(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, " ");

        if (n == length && !strncmp(p, word, n))
            return true;
        p += n + strspn(p + n, " ");
    }
    return false;
}

const struct verb *verb_find(const char *name)
{
    for (const struct verb *const *v = each_verb(NULL); *v; v = each_verb(v)) {
        if (!strcmp((*v)->name, name) || word_in((*v)->aliases, name))
            return *v;
    }
    return NULL;
}

static int unknown(const char *name, bool json)
{
    struct pal_error e = {0};

    pal_failed_to(&e, "cannot do \"%s\"", name);
    pal_fail(&e, PAL_USE_VERB, "pal has no such verb");
    pal_error_print(&e, stderr);
    if (json)
        pal_json_print_error(name, &e);
    return pal_code_exit(e.code);
}

/* What did not reach its reader was not done. */
static int close_output(int status)
{
    struct pal_error e = {0};

    if (!ferror(stdout) && !fclose(stdout))
        return status;
    pal_failed_to(&e, "the answer cannot be printed");
    pal_fail(&e, PAL_SYS_FAILED, "standard output: %s", strerror(errno));
    pal_error_print(&e, stderr);
    return status ? status : pal_code_exit(e.code);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "help";
    const struct verb *verb;

    if (!strcmp(name, "--version") || !strcmp(name, "-V")) {
        printf("pal %s\n", PAL_VERSION);
        return PAL_EXIT_OK;
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        name = "help";
    verb = verb_find(name);
    if (!verb)
        return unknown(name, verb_asks_json(argc, argv));
    if (argc > 1) {
        argc--;
        argv++;
    }
    return close_output(verb_call(verb, argc, argv));
}
