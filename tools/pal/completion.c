/* SPDX-License-Identifier: MIT */
/* A completion script made from the table of verbs. */
#include "verb.h"
#include "verbs.h"

#include <string.h>

static void print_words(const char *indent, const struct verb *v)
{
    printf("%s", indent);
    printf("%s", v->name);
    for (const char *p = v->aliases; p && *p;) {
        size_t n = strcspn(p, " ");

        printf("|%.*s", (int)n, p);
        p += n + strspn(p + n, " ");
    }
    printf(") options=\"--json --help");
    for (const struct argp_option *o = v->options; o && o->name; o++)
        printf(" --%s", o->name);
    printf("\" words=%s;;\n", v->words == WORDS_DOMAIN ? "domains"
                              : v->words == WORDS_FILE ? "files"
                              : v->words == WORDS_VERB ? "verbs"
                                                       : "none");
}

static void print_bash(void)
{
    puts("# bash completion of pal; made by `pal completion bash`\n"
         "_pal() {\n"
         "    local current=${COMP_WORDS[COMP_CWORD]} options= words=none verbs=");
    printf("    verbs=\"");
    for (const struct verb *const *v = verbs; *v; v++)
        printf("%s%s", v == verbs ? "" : " ", (*v)->name);
    puts("\"\n"
         "    COMPREPLY=()\n"
         "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
         "        COMPREPLY=($(compgen -W \"$verbs\" -- \"$current\"))\n"
         "        return\n"
         "    fi\n"
         "    case ${COMP_WORDS[1]} in");
    for (const struct verb *const *v = verbs; *v; v++)
        print_words("    ", *v);
    puts("    esac\n"
         "    case $current:$words in\n"
         "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$current\"));;\n"
         "    *:domains) COMPREPLY=($(compgen -W \"$(pal list 2>/dev/null | awk 'NR > 1 { print $1 "
         "}')\" -- \"$current\"));;\n"
         "    *:files) COMPREPLY=($(compgen -f -X '!*.xml' -- \"$current\") $(compgen -d -- "
         "\"$current\"));;\n"
         "    *:verbs) COMPREPLY=($(compgen -W \"$verbs\" -- \"$current\"));;\n"
         "    esac\n"
         "}\n"
         "complete -o filenames -F _pal pal");
}

static int run(struct call *c)
{
    if (strcmp(c->argument[0], "bash")) {
        pal_failed_to(&c->error, "no completion for \"%s\"", c->argument[0]);
        pal_fail(&c->error, PAL_USE_ARGUMENTS, "only bash is known");
        return 1;
    }
    print_bash();
    return 0;
}

const struct verb verb_completion = {
    .name = "completion",
    .summary = "Print a completion script for a shell (bash)",
    .arguments = "SHELL",
    .least = 1,
    .most = 1,
    .run = run,
};
