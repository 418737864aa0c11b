/* SPDX-License-Identifier: MIT */
/* A completion script made from the table of verbs. */
#include "verb.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

/* Around the list of verbs. bash parts words at '=', so that in "--progress=b" the word is "b". */
static const char head[] =
    "# bash completion of pal; made by `pal completion bash`\n"
    "_pal() {\n"
    "    local current=${COMP_WORDS[COMP_CWORD]} options= words=none acts= option=\n"
    "    local before=${COMP_WORDS[COMP_CWORD - 1]} verbs=\"";
static const char middle[] = "\"\n"
                             "    COMPREPLY=()\n"
                             "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
                             "        COMPREPLY=($(compgen -W \"$verbs\" -- \"$current\"))\n"
                             "        return\n"
                             "    fi\n"
                             "    case ${COMP_WORDS[1]} in\n";
static const char tail[] =
    "    esac\n"
    "    if [ \"$current\" = = ]; then\n"
    "        option=$before current=\n"
    "    elif [ \"$before\" = = ]; then\n"
    "        option=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n"
    "    if [ -n \"$option\" ]; then\n"
    "        [ $option != --progress ] ||\n"
    "            COMPREPLY=($(compgen -W \"auto bar json none\" -- \"$current\"))\n"
    "        return\n"
    "    fi\n"
    "    if [ -n \"$acts\" ] && [ \"$COMP_CWORD\" = 2 ] && [[ $current != -* ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$acts\" -- \"$current\"))\n"
    "        return\n"
    "    fi\n"
    "    case $current:$words in\n"
    "    -*)\n"
    "        COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
    "        [[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace;;\n"
    "    *:domains)\n"
    "        COMPREPLY=($(compgen -W \"$(pal list -o NAME 2>/dev/null | tail -n +2)\" -- "
    "\"$current\"));;\n"
    "    *:xml)\n"
    "        COMPREPLY=($(compgen -f -X '!*.xml' -- \"$current\") $(compgen -d -- \"$current\"))\n"
    "        compopt -o filenames;;\n"
    "    *:files)\n"
    "        COMPREPLY=($(compgen -f -- \"$current\"))\n"
    "        compopt -o filenames;;\n"
    "    *:shells) COMPREPLY=($(compgen -W bash -- \"$current\"));;\n"
    "    *:verbs) COMPREPLY=($(compgen -W \"$verbs\" -- \"$current\"));;\n"
    "    esac\n"
    "}\n"
    "complete -F _pal pal\n";

static void print_verb(FILE *out, const struct verb *v)
{
    static const char *const words[] = {
        [WORDS_NONE] = "none",  [WORDS_DOMAIN] = "domains", [WORDS_XML] = "xml",
        [WORDS_FILE] = "files", [WORDS_VERB] = "verbs",     [WORDS_SHELL] = "shells"};

    fprintf(out, "    %s", v->name);
    for (const char *p = v->aliases; p && *p;) {
        size_t n = strcspn(p, " ");

        fprintf(out, "|%.*s", (int)n, p);
        p += n + strspn(p + n, " ");
    }
    fprintf(out, ") options=\"--json --help%s", v->progress ? " --progress=" : "");
    for (const struct argp_option *o = v->options; o && o->name; o++)
        fprintf(out, " --%s%s", o->name, o->arg ? "=" : "");
    fprintf(out, "\" words=%s", words[v->words]);
    for (const struct verb_act *a = v->acts; a && a->word; a++)
        fprintf(out, "%s%s", a == v->acts ? " acts=\"" : " ", a->word);
    fprintf(out, "%s;;\n", v->acts ? "\"" : "");
}

static void print_bash(FILE *out)
{
    fputs(head, out);
    for (const struct verb *const *v = verbs; *v; v++)
        fprintf(out, "%s%s", v == verbs ? "" : " ", (*v)->name);
    fputs(middle, out);
    for (const struct verb *const *v = verbs; *v; v++)
        print_verb(out, *v);
    fputs(tail, out);
}

static void print_json(void)
{
    json_t *answer = pal_json_answer("completion");
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);

    if (memory) {
        print_bash(memory);
        fclose(memory);
    }
    json_object_set_new(answer, "shell", json_string("bash"));
    json_object_set_new(answer, "script", json_stringn(text ? text : "", size));
    pal_json_print(answer);
    free(text);
}

static int run(struct call *c)
{
    if (strcmp(c->argument[0], "bash")) {
        pal_failed_to(&c->error, "no completion for \"%s\"", c->argument[0]);
        pal_fail(&c->error, PAL_USE_ARGUMENTS, "only bash is known");
        return 1;
    }
    if (c->json)
        print_json();
    else
        print_bash(stdout);
    return 0;
}

const struct verb verb_completion = {
    .name = "completion",
    .summary = "Print a completion script for a shell (bash)",
    .arguments = "SHELL",
    .least = 1,
    .most = 1,
    .words = WORDS_SHELL,
    .run = run,
};
