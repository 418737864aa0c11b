/* SPDX-License-Identifier: MIT */
#ifndef PALSHM_TOOL_H
#define PALSHM_TOOL_H

#include <palshm.h>

/* Exit codes, as pal's. */
enum { EXIT_USAGE = 2, EXIT_NO_REGION = 3, EXIT_TAKEN = 4, EXIT_PERMISSION = 6, EXIT_TIME = 7 };

struct options {
    const char *region;  /* -r; NULL: the only one there is */
    const char *service; /* -n; NULL: the verb's own */
    uint32_t domain;     /* -d, PALSHM_ANY */
    uint64_t size;       /* -s: of a window */
    int wait_ms;         /* -w */
    bool write, verbose;
};

/* Each verb: its own arguments behind its name; returns the exit code. */
int verb_ls(const struct options *o, int argc, char **argv);
int verb_create(const struct options *o, int argc, char **argv);
int verb_allow(const struct options *o, int argc, char **argv);
int verb_destroy(const struct options *o, int argc, char **argv);
int verb_cat(const struct options *o, int argc, char **argv);
int verb_send(const struct options *o, int argc, char **argv);
int verb_recv(const struct options *o, int argc, char **argv);
int verb_serve(const struct options *o, int argc, char **argv);
int verb_get(const struct options *o, int argc, char **argv);
int verb_copy(const struct options *o, int argc, char **argv);
int verb_bench(const struct options *o, int argc, char **argv);

/* Says what failed and why (the library's words, or errno's when p is NULL) and what to do; returns the exit code for errno. */
int complain(palshm *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same without an errno; returns 1. */
int complain_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct session {
    palshm *p;
    palshm_region *r;
};
/* Opens the store and the region that -r names, or the only one. 0, or the exit code, said. */
int session_open(struct session *s, const struct options *o);
void session_close(struct session *s);

/* From here on a mapping that is revoked under us ends the process with a message instead of a signal. */
void catch_revocation(void);

/* Bytes with K, M or G behind. False: it is none. */
bool parse_size(const char *text, uint64_t *bytes);
double seconds_now(void);
/* "what: 12.3 MiB in 0.5 s, 24.6 MiB/s" to stderr. */
void say_rate(const char *what, uint64_t bytes, double seconds);
bool write_all(int fd, const void *from, size_t n);

#endif
