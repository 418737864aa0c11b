/* SPDX-License-Identifier: MIT */
/*
 * Domains in numbers, in one process on pal's own library, for where starting a program for each would take the time.
 *
 *   scale stats                      the hypervisor's counters and its audit, as JSON
 *   scale cycles FILE.xml N MS       N times: create, let run for a random time of up to MS, destroy
 *   scale make FILE.xml N            N domains, named as the file says and numbered
 *   scale ask SECONDS TEXT ANSWER    write TEXT to every domain's console: each must come to show ANSWER
 *   scale context NAME               where its first vCPU stands: XEN_DOMCTL_getvcpucontext
 *   scale end                        destroy all domains
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define pal_domain pal_account /* the library has another */
#include "abi/pal.h"
#undef pal_domain
#include "libpal/device.h"
#include "libpal/hv_buffer.h"
#include "pal/make.h"

static struct pal pal;
static struct pal_error problem;

static _Noreturn void die(const char *what)
{
    printf("scale: %s: %s\n", what, problem.why[0] ? problem.why : strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- counters ---- */

static long pal_op(unsigned cmd, void *arg, size_t size)
{
    void *buffer = pal_hv_buffer(&pal.hv, size, &problem);
    long result;

    if (!buffer)
        die("buffer");
    memcpy(buffer, arg, size);
    result = xencall2(pal.hv.call, __HYPERVISOR_pal_op, cmd, (uint64_t)buffer);
    memcpy(arg, buffer, size);
    pal_hv_buffer_free(&pal.hv, buffer);
    if (result < 0)
        die("pal_op");
    return result;
}

/* Ports that domain 0's programs have open. */
static unsigned ports(void)
{
    char line[4096];
    unsigned n = 0;
    FILE *f = fopen("/proc/interrupts", "r");

    while (f && fgets(line, sizeof(line), f))
        n += strstr(line, "evtchn:") != NULL;
    if (f)
        fclose(f);
    return n;
}

static int stats(char **arg)
{
    struct pal_audit audit = {0};
    struct pal_stats s = {0};
    long wrong = pal_op(PALOP_audit, &audit, sizeof(audit));

    (void)arg;
    pal_op(PALOP_stats, &s, sizeof(s));
    printf("{\"free_frames\": %lu, \"heap_bytes\": %lu, \"heap_frames\": %lu, \"domains\": %lu, "
           "\"longest_off_ns\": %lu, \"audit\": %ld, \"ports\": %u}\n",
           s.free_frames, s.heap_bytes, s.heap_frames, s.domains, s.longest_off_ns, wrong, ports());
    return 0;
}

/* ---- making and ending ---- */

static unsigned make(struct pal_config *c)
{
    int id = make_domain(&pal, c, &problem);

    if (id < 0 || pal_domain_unpause(&pal.hv, (uint32_t)id, &problem))
        die("create");
    return (unsigned)id;
}

static void read_config(struct pal_config *c, const char *path)
{
    if (pal_config_read(c, path, &problem))
        die(path);
}

static int cycles(char **arg)
{
    unsigned long count = strtoul(arg[1], NULL, 0), most = strtoul(arg[2], NULL, 0);
    struct pal_config c;
    double begun = now(), made = 0, ended = 0;

    read_config(&c, arg[0]);
    srand(1);
    for (unsigned long i = 0; i < count; i++) {
        double t = now();
        unsigned id = make(&c);

        made += now() - t;
        if (most)
            usleep((useconds_t)(1000 * ((unsigned long)rand() % most)));
        t = now();
        if (pal_domain_end(&pal, id, &problem))
            die("destroy");
        ended += now() - t;
    }
    printf("{\"cycles\": %lu, \"seconds\": %.1f, \"create_ms\": %.1f, \"destroy_ms\": %.1f}\n",
           count, now() - begun, 1e3 * made / (double)count, 1e3 * ended / (double)count);
    pal_config_free(&c);
    return 0;
}

static int make_many(char **arg)
{
    unsigned long count = strtoul(arg[1], NULL, 0);
    char base[PAL_NAME_MAX - 8];
    struct pal_config c;
    double begun = now();

    read_config(&c, arg[0]);
    snprintf(base, sizeof(base), "%s", c.name);
    for (unsigned long i = 1; i <= count; i++) {
        free(c.name);
        if (asprintf(&c.name, "%s-%lu", base, i) < 0)
            die("name");
        c.uuid[15] = (uint8_t)i;
        make(&c);
    }
    printf("{\"made\": %lu, \"seconds\": %.1f}\n", count, now() - begun);
    pal_config_free(&c);
    return 0;
}

static int end_all(char **arg)
{
    struct pal_domain *list;
    int count = pal_domains(&pal, &list, &problem);

    (void)arg;
    for (int i = 0; i < count; i++)
        if (list[i].id && pal_domain_end(&pal, list[i].id, &problem))
            die(list[i].name);
    free(list);
    return 0;
}

static int context(char **arg)
{
    struct xen_domctl op = {.cmd = XEN_DOMCTL_getvcpucontext};
    vcpu_guest_context_t *c = pal_hv_buffer(&pal.hv, sizeof(*c), &problem);
    struct pal_domain d;

    if (!c || pal_domain_find(&pal, arg[0], &d, &problem))
        die(arg[0]);
    op.domain = (domid_t)d.id;
    set_xen_guest_handle(op.u.vcpucontext.ctxt, c);
    if (pal_domctl(&pal.hv, &op, "context", &problem))
        die("context");
    printf("{\"rip\": %lu}\n", c->user_regs.rip);
    pal_hv_buffer_free(&pal.hv, c);
    return 0;
}

/* ---- answers ---- */

struct asked {
    unsigned id;
    int fd;
    char seen[4096];
    size_t used;
    int answered;
};

/* Its console appears when the daemon has found it. */
static void ask_one(struct asked *a, const char *text)
{
    char *tty = pal_store_read(&pal.store, "/local/domain/%u/console/tty", a->id);
    struct termios t;

    a->fd = tty ? open(tty, O_RDWR | O_NOCTTY | O_NONBLOCK) : -1;
    free(tty);
    if (a->fd < 0)
        return;
    if (!tcgetattr(a->fd, &t)) {
        cfmakeraw(&t);
        tcsetattr(a->fd, TCSANOW, &t);
    }
    if (dprintf(a->fd, "%s\r", text) < 0)
        die("write");
}

static void hear(struct asked *a, const char *answer)
{
    ssize_t got = read(a->fd, a->seen + a->used, sizeof(a->seen) - 1 - a->used);

    if (got <= 0)
        return;
    a->used += (size_t)got;
    a->seen[a->used] = 0;
    if (strstr(a->seen, answer)) {
        a->answered = 1;
    } else if (a->used > sizeof(a->seen) / 2) {
        memmove(a->seen, a->seen + a->used - 256, 256);
        a->used = 256;
    }
}

static int ask(char **arg)
{
    double begun = now(), until = begun + strtod(arg[0], NULL);
    struct pal_domain *list;
    int count = pal_domains(&pal, &list, &problem), missing;
    struct asked *a = calloc((size_t)count + 1, sizeof(*a));

    for (int i = 1; i < count; i++) {
        a[i].id = list[i].id;
        a[i].fd = -1;
    }
    do {
        missing = 0;
        for (int i = 1; i < count; i++) {
            if (a[i].fd < 0)
                ask_one(&a[i], arg[1]);
            else if (!a[i].answered)
                hear(&a[i], arg[2]);
            missing += !a[i].answered;
        }
        if (missing)
            poll(NULL, 0, 20);
    } while (missing && now() < until);
    for (int i = 1; i < count; i++)
        if (!a[i].answered)
            printf("scale: %s does not answer\n", list[i].name);
    printf("{\"asked\": %d, \"answered\": %d, \"seconds\": %.2f}\n", count - 1, count - 1 - missing,
           now() - begun);
    return missing != 0;
}

static const struct verb {
    const char *name;
    int arguments;
    int (*run)(char **arg);
} verbs[] = {{"stats", 0, stats}, {"cycles", 3, cycles},   {"make", 2, make_many},
             {"ask", 3, ask},     {"context", 1, context}, {"end", 0, end_all}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(argv[1], verbs[i].name) || argc - 2 != verbs[i].arguments)
            continue;
        if (pal_open(&pal, &problem))
            die("open");
        return verbs[i].run(argv + 2);
    }
    puts("scale: usage");
    return 2;
}
