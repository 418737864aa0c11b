/* SPDX-License-Identifier: MIT */
/*
 * The processors' time: by weight, up to a cap, where a vCPU may run, and how soon domain 0 gets a CPU that others
 * compute on. Needs two CPUs: domains compute on the last one, this program watches from the first.
 */
#include "check.h"
#include "control.h"

static uint64_t cpu_time(unsigned id)
{
    struct xen_domctl_getdomaininfo info = {0};

    domain_info(id, &info);
    return info.cpu_time;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned last_cpu;

/* A domain that computes on the last CPU. */
static unsigned spinner(unsigned weight, unsigned cap)
{
    struct tiny t = {0};

    if (tiny_make(&t, TINY_SPIN, 0))
        return 0;
    domain_pin(t.id, 1ul << last_cpu);
    domain_share(t.id, weight, cap);
    domain_unpause(t.id);
    return t.id;
}

static void check_weights(void)
{
    unsigned light = spinner(256, 0), heavy = spinner(768, 0);

    pause_ms(200);
    uint64_t l = cpu_time(light), h = cpu_time(heavy);
    pause_ms(2000);
    l = cpu_time(light) - l;
    h = cpu_time(heavy) - h;
    double ratio = l ? (double)h / (double)l : 0;
    check("weight", ratio > 2.4 && ratio < 3.6, "weights 1 : 3 got 1 : %.2f (%lu + %lu ms)", ratio,
          (unsigned long)l / 1000000, (unsigned long)h / 1000000);
    domain_destroy(light);
    domain_destroy(heavy);
}

static void check_cap(void)
{
    unsigned id = spinner(256, 25);

    pause_ms(200);
    uint64_t begin = now_ns(), used = cpu_time(id);
    pause_ms(2000);
    used = cpu_time(id) - used;
    double percent = 100.0 * (double)used / (double)(now_ns() - begin);
    check("cap", percent > 20 && percent < 29, "cap 25 got %.1f %%", percent);
    struct pal_domain account = {.domain = id};
    long got = pal(PALOP_domain, &account);
    check("cap.account",
          got == 0 && account.capped_ns > 1000000000 &&
              account.waiting_ns >= account.capped_ns / 2 && account.frames == TINY_PAGES &&
              account.switches > 50,
          "%ld: running %lu, waiting %lu, held back %lu ms, %lu switches", got,
          (unsigned long)account.running_ns / 1000000, (unsigned long)account.waiting_ns / 1000000,
          (unsigned long)account.capped_ns / 1000000, (unsigned long)account.switches);
    domain_share(id, 0, 0);
    pause_ms(100);
    begin = now_ns();
    used = cpu_time(id);
    pause_ms(1000);
    used = cpu_time(id) - used;
    percent = 100.0 * (double)used / (double)(now_ns() - begin);
    check("cap.lifted", percent > 60, "no cap got %.1f %%", percent);
    domain_share(id, 0, 1);
    pause_ms(50);
    check("cap.destroy", domain_destroy(id) == 0, "while it has spent its share");
}

static void check_affinity(void)
{
    struct xen_domctl op;
    struct tiny t;
    unsigned wrong = 0;

    tiny_make(&t, TINY_SPIN, 0);
    domain_unpause(t.id);
    for (unsigned i = 0; i < 40; i++) {
        unsigned cpu = i % (last_cpu + 1);

        domain_pin(t.id, 1ul << cpu);
        pause_ms(25);
        domctl_prepare(&op, XEN_DOMCTL_getvcpuinfo, t.id);
        wrong += domctl(&op) != 0 || op.u.getvcpuinfo.cpu != cpu;
    }
    check("affinity.moves", wrong == 0, "%u of 40 times elsewhere", wrong);
    long none = domain_pin(t.id, 1ul << 63);
    check("affinity.nowhere", none == -EINVAL, "%ld", none);
    domain_destroy(t.id);
}

/* Three compute on two CPUs: none has much less than another. (Were they never moved one would have twice as much.) */
static void check_fair(void)
{
    struct tiny t[3];
    uint64_t used[3], most = 0, least = ~0ul;

    for (int i = 0; i < 3; i++) {
        tiny_make(&t[i], TINY_SPIN, 0);
        domain_pin(t[i].id, 3);
        domain_unpause(t[i].id);
    }
    pause_ms(200);
    for (int i = 0; i < 3; i++)
        used[i] = cpu_time(t[i].id);
    pause_ms(3000);
    for (int i = 0; i < 3; i++) {
        used[i] = cpu_time(t[i].id) - used[i];
        most = used[i] > most ? used[i] : most;
        least = used[i] < least ? used[i] : least;
    }
    check("fair", most * 10 < least * 17, "%lu, %lu, %lu ms", (unsigned long)used[0] / 1000000,
          (unsigned long)used[1] / 1000000, (unsigned long)used[2] / 1000000);
    for (int i = 0; i < 3; i++)
        domain_destroy(t[i].id);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Sleep a little on a CPU where others compute: how late are we? */
static void check_latency(void)
{
    enum { TIMES = 200 };
    uint64_t late[TIMES];
    unsigned id[2] = {spinner(256, 0), spinner(256, 0)};
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(last_cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
    for (int i = 0; i < TIMES; i++) {
        struct timespec t = {0, 3000000};
        uint64_t begin = now_ns();

        nanosleep(&t, NULL);
        late[i] = now_ns() - begin - 3000000;
    }
    sched_getaffinity(getppid(), sizeof(set), &set);
    sched_setaffinity(0, sizeof(set), &set);
    qsort(late, TIMES, sizeof(late[0]), by_size);
    check("latency", late[TIMES / 2] < 3000000 && late[TIMES * 9 / 10] < 20000000,
          "median %lu us, 9 of 10 below %lu us, worst %lu us",
          (unsigned long)late[TIMES / 2] / 1000, (unsigned long)late[TIMES * 9 / 10] / 1000,
          (unsigned long)late[TIMES - 1] / 1000);
    domain_destroy(id[0]);
    domain_destroy(id[1]);
}

int main(void)
{
    last_cpu = (unsigned)sysconf(_SC_NPROCESSORS_ONLN) - 1;
    control_open();
    check_affinity();
    check_cap();
    check_weights();
    if (last_cpu > 0) {
        check_fair();
        check_latency();
    }
    return check_failures != 0;
}
