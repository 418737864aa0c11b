/* SPDX-License-Identifier: MIT */
/*
 * A verb: one file each, one entry in the table of verbs.c. The table is the only list: parsing,
 * help, completion and the manual page all come from it.
 */
#ifndef PAL_VERB_H
#define PAL_VERB_H

#include "libpal/domain.h"
#include "libpal/output.h"

#include <argp.h>

#define ARGUMENTS_MAX 64

/* One run of a verb. */
struct call {
    const struct verb *verb;
    bool json;
    unsigned arguments;
    char *argument[ARGUMENTS_MAX + 1];
    struct pal_error error;
};

/* What the words after the verb are, for completion. */
enum verb_words { WORDS_NONE, WORDS_DOMAIN, WORDS_XML, WORDS_FILE, WORDS_VERB, WORDS_SHELL };

/* What a verb does that is said by its first word. */
struct verb_act {
    const char *word;
    int (*act)(struct call *c, struct pal *p); /* 0, or -1 with the error */
    unsigned least, most;                      /* words, this one with them */
};

struct verb {
    const char *name;
    const char *aliases;   /* separated by blanks; may be NULL */
    const char *summary;   /* one line */
    const char *arguments; /* as help shows them */
    const char *details;   /* more for --help; may be NULL */
    bool own_status;       /* what run returns is the exit status, also when there is an error */
    bool progress;         /* it may take long: --progress */
    unsigned least, most;  /* arguments */
    enum verb_words words;
    const struct verb_act *acts;       /* for verb_act(); ends with a zero; otherwise NULL */
    const char *act_words;             /* all of them with their words, for who gave wrong ones */
    const struct argp_option *options; /* ends with a zero; may be NULL */
    /* One option. False: its value is not good, and the error says why. May be NULL. */
    bool (*option)(struct call *c, int key, const char *value);
    /* Returns the exit status when it is not the error's (0 when all is well). */
    int (*run)(struct call *c);
};

extern const struct verb *const verbs[]; /* ends with NULL */
const struct verb *verb_find(const char *name);

/* Parse and run. Returns the exit status. */
int verb_call(const struct verb *verb, int argc, char **argv);

/* Is --json among the words? For errors that come before the words are understood. */
bool verb_asks_json(int argc, char **argv);

/* A positive number up to most; otherwise the error is set. */
bool verb_number(struct call *c, const char *value, unsigned long most, unsigned long *number);

/* Do the act that the first word says, the first of them when there are no words. With the machine open, interrupts noted. */
int verb_act(struct call *c);
/* The same, and the machine is not opened: the acts get NULL. */
int verb_act_apart(struct call *c);

/* For verbs that act on each of the named domains: open, find, act, tell. */
typedef int (*verb_action)(struct call *c, struct pal *p, struct pal_domain *d);
int verb_each_guest(struct call *c, verb_action action);
/* The same, domain 0 too. */
int verb_each_domain(struct call *c, verb_action action);

/* For verbs that act on the named domains (each once) or, without names, on all, at the same time: open, find them all, act, tell. */
typedef int (*verb_together)(struct call *c, struct pal *p, struct pal_domain *list,
                             unsigned count);
int verb_all_guests(struct call *c, verb_together action);

/* Seconds on a clock that only goes forward. */
double verb_now(void);
/* Wait so long, at most. */
void verb_sleep(double seconds);

#endif
