/* SPDX-License-Identifier: MIT */
/* Is this machine fit for domains? Each test says what it found and, when bad, what helps. */
#include "verb.h"
#include "verbs.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ending.h"
#include "libpal/daemon.h"
#include "libpal/terminal.h"

#define LOG_DIRECTORY "/var/log/xen/console"

struct finding {
    bool good;
    bool vital; /* without it no domain can be created */
    char text[160];
    const char *remedy;
};

struct doctor {
    struct pal p;
    bool hv, store;
};

static struct finding found(bool good, bool vital, const char *text, const char *remedy)
{
    struct finding f = {good, vital, "", remedy};

    snprintf(f.text, sizeof(f.text), "%.159s", text);
    return f;
}

static struct finding test_hypervisor(struct doctor *d)
{
    struct pal_hv_version v = {0};
    struct pal_error e = {0};
    struct finding f = found(false, true, "", "boot the hypervisor, and be root in domain 0");

    d->hv = !pal_hv_open(&d->p.hv, &e);
    if (!d->hv) {
        snprintf(f.text, sizeof(f.text), "%.150s", e.why);
    } else if (pal_hv_version(&d->p.hv, &v, &e)) {
        snprintf(f.text, sizeof(f.text), "%.150s", e.why);
    } else {
        f.good = strstr(v.capabilities, "xen-3.0-x86_64") != NULL;
        snprintf(f.text, sizeof(f.text), "interface %u.%u, guests: %.100s", v.major, v.minor,
                 v.capabilities);
        f.remedy = "this hypervisor runs no 64-bit paravirtual guests";
    }
    return f;
}

static struct finding test_control(struct doctor *d)
{
    struct xen_sysctl_physinfo host;
    struct pal_error e = {0};
    struct finding f = found(false, true, "", "run it in domain 0, with tools of this version");

    if (!d->hv || pal_hv_physinfo(&d->p.hv, &host, &e)) {
        snprintf(f.text, sizeof(f.text), "%.150s", d->hv ? e.why : "not reachable");
        return f;
    }
    f.good = true;
    snprintf(f.text, sizeof(f.text), "%u CPUs, %llu MiB free of %llu MiB", host.nr_cpus,
             (unsigned long long)host.free_pages >> 8, (unsigned long long)host.total_pages >> 8);
    return f;
}

static struct finding test_store(struct doctor *d)
{
    struct pal_error e = {0};

    d->store = !pal_store_open(&d->p.store, &e);
    return found(d->store, true, d->store ? "answers" : e.why,
                 "start xenstored (/usr/lib/xen-4.17/bin/xenstored)");
}

static struct finding test_domain0_name(struct doctor *d)
{
    char *name = d->store ? pal_store_read(&d->p.store, "/local/domain/0/name") : NULL;
    struct finding f =
        found(name != NULL, false, name ? "domain 0 is entered" : "domain 0 is not entered",
              "xenstore-write /local/domain/0/name Domain-0");

    free(name);
    return f;
}

static struct finding test_console(struct doctor *d)
{
    bool runs = pal_daemon_runs("xenconsoled");

    (void)d;
    return found(runs, true, runs ? "runs" : "does not run",
                 "start xenconsoled (/usr/lib/xen-4.17/bin/xenconsoled --log=guest)");
}

static struct finding test_logs(struct doctor *d)
{
    bool there = !access(LOG_DIRECTORY, F_OK);

    (void)d;
    return found(there, false, there ? LOG_DIRECTORY : "not kept: `pal logs` has nothing to show",
                 "mkdir -p " LOG_DIRECTORY "; start xenconsoled with --log=guest");
}

static struct finding test_watcher(struct doctor *d)
{
    bool runs = ending_is_watched();

    (void)d;
    return found(runs, false, runs ? "runs" : "does not run: domains that end stay as they are",
                 "start `pal watch`");
}

static struct finding test_images(struct doctor *d)
{
    struct pal_error none = {0};
    bool runs = !pal_daemon_need_blkd(&none);

    (void)d;
    return found(runs, false, runs ? "runs" : "does not run: no overlays, no buffer cache",
                 "start pal-blkd: `systemctl start pal-blkd`");
}

static struct finding backend(const char *driver, const char *module)
{
    char path[96];
    struct finding f;
    bool there;

    snprintf(path, sizeof(path), "/sys/bus/xen-backend/drivers/%s", driver);
    there = !access(path, F_OK);
    f = found(there, false, there ? "loaded" : "not loaded", "");
    f.remedy = module;
    return f;
}

static struct finding test_disks(struct doctor *d)
{
    (void)d;
    return backend("vbd", "modprobe xen-blkback");
}

static struct finding test_network(struct doctor *d)
{
    (void)d;
    return backend("vif", "modprobe xen-netback");
}

static struct finding test_loop(struct doctor *d)
{
    bool there = !access("/dev/loop-control", F_OK);

    (void)d;
    return found(there, false, there ? "there" : "not there: disks cannot be files",
                 "modprobe loop");
}

static struct finding test_bridge(struct doctor *d)
{
    DIR *list = opendir("/sys/class/net");
    char name[32] = "";

    (void)d;
    for (struct dirent *i; list && !name[0] && (i = readdir(list));) {
        char path[300];

        snprintf(path, sizeof(path), "/sys/class/net/%s/bridge", i->d_name);
        if (!access(path, F_OK))
            snprintf(name, sizeof(name), "%.31s", i->d_name);
    }
    if (list)
        closedir(list);
    return found(name[0], false, name[0] ? name : "there is none for interfaces to be on",
                 "pal-network up");
}

static struct finding test_grants(struct doctor *d)
{
    bool there = !access("/dev/xen/gntdev", F_OK) && !access("/dev/xen/evtchn", F_OK);

    (void)d;
    return found(there, true, there ? "there" : "not there", "modprobe -a xen-gntdev xen-evtchn");
}

static const struct {
    const char *name;
    struct finding (*look)(struct doctor *d);
} tests[] = {
    {"hypervisor", test_hypervisor}, {"control", test_control},
    {"grant devices", test_grants},  {"store", test_store},
    {"domain 0", test_domain0_name}, {"console daemon", test_console},
    {"console logs", test_logs},     {"watcher", test_watcher},
    {"disk backend", test_disks},    {"image server", test_images},
    {"loop devices", test_loop},     {"network backend", test_network},
    {"bridge", test_bridge},
};

static void print_finding(const char *name, const struct finding *f)
{
    enum pal_colour colour = f->good ? PAL_GREEN : f->vital ? PAL_RED : PAL_YELLOW;

    printf("%s%-4s%s %-16s %s\n", pal_terminal_colour(stdout, colour),
           f->good    ? "ok"
           : f->vital ? "BAD"
                      : "weak",
           pal_terminal_colour(stdout, PAL_PLAIN), name, f->text);
    if (!f->good)
        printf("     %-16s do: %s\n", "", f->remedy);
}

static int run(struct call *c)
{
    json_t *all = json_array();
    struct doctor d = {0};
    bool fit = true;

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        struct finding f = tests[i].look(&d);

        fit = fit && (f.good || !f.vital);
        json_array_append_new(all, json_pack("{s:s, s:b, s:b, s:s, s:s}", "test", tests[i].name,
                                             "good", f.good, "vital", f.vital, "found", f.text,
                                             "remedy", f.good ? "" : f.remedy));
        if (!c->json)
            print_finding(tests[i].name, &f);
    }
    if (c->json) {
        json_t *answer = pal_json_answer("doctor");

        json_object_set_new(answer, "fit", json_boolean(fit));
        json_object_set(answer, "tests", all);
        pal_json_print(answer);
    } else {
        puts(fit ? "This machine is fit for domains."
                 : "Domains cannot be created before what is BAD is mended.");
    }
    json_decref(all);
    pal_close(&d.p);
    return fit ? PAL_EXIT_OK : PAL_EXIT_FAILURE;
}

const struct verb verb_doctor = {
    .name = "doctor",
    .summary = "Say whether this machine is fit for domains, and what to do if not",
    .arguments = "",
    .run = run,
};
