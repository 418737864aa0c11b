/* SPDX-License-Identifier: MIT */
/* palshm: regions from inside a guest. The verbs are in files of their own. */
#include "tool.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "version.h"

static const struct verb {
    const char *name, *arguments, *about;
    int (*run)(const struct options *o, int argc, char **argv);
    int least, most;
} verbs[] = {
    {"ls", "[PATH]", "the regions that this domain may use; with a path: what the server has there",
     verb_ls, 0, 1},
    {"serve", "DIR", "give others what is in a directory, to read", verb_serve, 1, 1},
    {"get", "PATH [FILE|-]", "fetch a file from the server", verb_get, 1, 2},
    {"copy", "PATH DIR", "fetch a tree from the server", verb_copy, 2, 2},
    {"send", "", "standard input to whoever receives", verb_send, 0, 0},
    {"recv", "", "what somebody sends to standard output", verb_recv, 0, 0},
    {"cat", "[OFFSET [LENGTH]]",
     "the region's bytes to standard output, or with -W standard input into it", verb_cat, 0, 2},
    {"bench", "[serve|MEGABYTES]", "how fast a channel is; the other domain runs \"bench serve\"",
     verb_bench, 0, 1},
    {"create", "NAME SIZE", "make a region of this guest's own", verb_create, 2, 2},
    {"allow", "NAME DOMAIN:rw|ro|no...", "say which domains may use it", verb_allow, 2, INT_MAX},
    {"destroy", "NAME", "take it from all and give the memory back", verb_destroy, 1, 1},
};

static void usage(FILE *out)
{
    fprintf(out, "Usage: palshm [OPTIONS] VERB ...\n\n");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        fprintf(out, "  %-8s%-26s%s\n", verbs[i].name, verbs[i].arguments, verbs[i].about);
    fprintf(out, "\n"
                 "  -r, --region=NAME     the region; may be left out where there is only one\n"
                 "  -d, --domain=NUMBER   the other domain; may be left out\n"
                 "  -n, --name=SERVICE    another name than the verb's own, so that several can "
                 "stand side by side\n"
                 "  -s, --size=BYTES      of the window between the two (default 4M)\n"
                 "  -w, --wait=SECONDS    for the other side to come (default 10; -1: for ever)\n"
                 "  -W, --write           cat: write\n"
                 "  -v, --verbose         say more\n"
                 "  -h, --help            -V, --version\n"
                 "\nSee palshm(1).\n");
}

int complain_text(const char *format, ...)
{
    va_list list;

    fprintf(stderr, "palshm: ");
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\n");
    return 1;
}

static const char *advice(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return "become root, or ask domain 0 for the right (pal region allow)";
    case ENODEV:
        return "domain 0 took the region; pal region info NAME there tells who may use it";
    case ETIMEDOUT:
        return "see whether the other domain runs its side, or wait longer with -w";
    case EADDRINUSE:
        return "end the other listener, or use another region";
    case EBUSY:
        return "try again later, with a smaller window (-s), or in a larger region";
    case ENOENT:
        return "palshm ls shows what there is";
    }
    return NULL;
}

int complain(palshm *p, const char *format, ...)
{
    int error = errno;
    const char *what_to_do = advice(error);
    va_list list;

    fprintf(stderr, "palshm: ");
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\n  why: %s\n", p ? palshm_why(p) : strerror(error));
    if (what_to_do)
        fprintf(stderr, "  do:  %s\n", what_to_do);
    switch (error) {
    case ENODEV:
        return EXIT_TAKEN;
    case EACCES:
    case EPERM:
        return EXIT_PERMISSION;
    case ETIMEDOUT:
        return EXIT_TIME;
    }
    return 1;
}

static int open_store(struct session *s)
{
    s->p = palshm_open();
    if (s->p)
        return 0;
    if (errno == ENOENT) {
        complain_text("there is no /dev/xen/xenbus\n  why: this is no guest of Palimpsest, or its "
                      "kernel has no Xen drivers\n"
                      "  do:  modprobe xenfs; see palshm(1)");
        return EXIT_PERMISSION;
    }
    return complain(NULL, "opening the store");
}

int session_open(struct session *s, const struct options *o)
{
    struct palshm_info list[16];
    const char *name = o->region;
    int error = open_store(s), n;

    if (error)
        return error;
    if (!name) {
        n = palshm_list(s->p, list, 16);
        if (n == 1) {
            name = list[0].name;
        } else {
            complain_text("%s\n  do:  %s",
                          n ? "this domain has several regions; which?"
                            : "this domain has no region",
                          n ? "name one with -r; palshm ls shows them"
                            : "in domain 0: pal region create NAME SIZE --allow DOMAIN:rw");
            palshm_close(s->p);
            return n ? EXIT_USAGE : EXIT_NO_REGION;
        }
    }
    s->r = palshm_region_open(s->p, name);
    if (s->r)
        return 0;
    error = complain(s->p, "region %s", name);
    palshm_close(s->p);
    return error == 1 ? EXIT_NO_REGION : error;
}

void session_close(struct session *s)
{
    palshm_region_close(s->r);
    palshm_close(s->p);
}

static void revoked(int signal)
{
    static const char text[] = "palshm: the region was taken from this domain while it was in use\n"
                               "  do:  in domain 0, pal region info NAME tells who may use it\n";

    (void)signal;
    if (write(2, text, sizeof(text) - 1) < 0)
        _exit(1);
    _exit(EXIT_TAKEN);
}

void catch_revocation(void)
{
    struct sigaction action = {.sa_handler = revoked};

    sigaction(SIGBUS, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool parse_size(const char *text, uint64_t *bytes)
{
    char *end;
    uint64_t n;
    int shift = 0;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    n = strtoull(text, &end, 10);
    switch (*end) {
    case 'G':
        shift += 10; /* fall through */
    case 'M':
        shift += 10; /* fall through */
    case 'K':
        shift += 10;
        end++;
    }
    if (errno || *end || n > UINT64_MAX >> shift)
        return false;
    *bytes = n << shift;
    return true;
}

double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void say_rate(const char *what, uint64_t bytes, double seconds)
{
    double mib = (double)bytes / (1 << 20);

    fprintf(stderr, "%s: %.1f MiB in %.3f s, %.1f MiB/s\n", what, mib, seconds,
            seconds > 0 ? mib / seconds : 0);
}

bool write_all(int fd, const void *from, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = write(fd, (const char *)from + done, n - done);

        if (put < 0 && errno != EINTR)
            return false;
        done += put > 0 ? (size_t)put : 0;
    }
    return true;
}

static bool number(const char *text, long least, long most, long *out)
{
    char *end;

    errno = 0;
    *out = strtol(text, &end, 10);
    return *text && !*end && !errno && *out >= least && *out <= most;
}

/* -1: go on; else the exit code. */
static int parse_options(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {
        {"region", required_argument, NULL, 'r'}, {"domain", required_argument, NULL, 'd'},
        {"name", required_argument, NULL, 'n'},   {"size", required_argument, NULL, 's'},
        {"wait", required_argument, NULL, 'w'},   {"write", no_argument, NULL, 'W'},
        {"verbose", no_argument, NULL, 'v'},      {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},      {0},
    };
    long value;
    int c;

    while ((c = getopt_long(argc, argv, "r:d:n:s:w:WvhV", names, NULL)) != -1) {
        bool good = true;

        switch (c) {
        case 'r':
            o->region = optarg;
            break;
        case 'n':
            o->service = optarg;
            break;
        case 'd':
            good = number(optarg, 0, UINT16_MAX, &value);
            o->domain = (uint32_t)value;
            break;
        case 's':
            good = parse_size(optarg, &o->size) && o->size;
            break;
        case 'w':
            good = number(optarg, -1, 1000000, &value);
            o->wait_ms = value < 0 ? -1 : (int)value * 1000;
            break;
        case 'W':
            o->write = true;
            break;
        case 'v':
            o->verbose = true;
            break;
        case 'h':
            usage(stdout);
            return 0;
        case 'V':
            printf("palshm %s\n", PAL_VERSION);
            return 0;
        default:
            usage(stderr);
            return EXIT_USAGE;
        }
        if (!good) {
            complain_text("-%c %s: not a value for this option", c, optarg);
            return EXIT_USAGE;
        }
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct options o = {.domain = PALSHM_ANY, .wait_ms = 10000};
    int status = parse_options(&o, argc, argv);

    if (status >= 0)
        return status;
    argc -= optind;
    argv += optind;
    for (size_t i = 0; argc && i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (!strcmp(argv[0], verbs[i].name)) {
            if (argc - 1 < verbs[i].least || argc - 1 > verbs[i].most) {
                complain_text("usage: palshm %s %s", verbs[i].name, verbs[i].arguments);
                return EXIT_USAGE;
            }
            return verbs[i].run(&o, argc - 1, argv + 1);
        }
    if (argc)
        complain_text("\"%s\" is no verb", argv[0]);
    usage(stderr);
    return EXIT_USAGE;
}
