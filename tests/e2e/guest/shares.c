/* SPDX-License-Identifier: MIT */
/*
 * The processors' time: by weight, up to a cap, where a vCPU may run, and how soon domain 0 gets a CPU that others
 * compute on. Needs two CPUs: domains compute on the last one, this program watches from the first.
 */
#include "check.h"
#include "control.h"

#include <stdbool.h>

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

/*
 * What the host takes from an emulated CPU is charged to the domain that runs there. So a share is looked at again after a while
 * if it is wrong, always from the same beginning on: what was taken weighs less and less, what the scheduler does wrong stays.
 */
enum { LOOKS = 10 };

static void check_weights(void)
{
    unsigned light = spinner(256, 0), heavy = spinner(768, 0);
    uint64_t l = 0, h = 0;
    double ratio = 0;

    pause_ms(200);
    uint64_t first_l = cpu_time(light), first_h = cpu_time(heavy);
    for (int i = 0; i < LOOKS && !(ratio > 2.4 && ratio < 3.6); i++) {
        pause_ms(2000);
        l = cpu_time(light) - first_l;
        h = cpu_time(heavy) - first_h;
        ratio = l ? (double)h / (double)l : 0;
    }
    check("weight", ratio > 2.4 && ratio < 3.6, "weights 1 : 3 got 1 : %.2f (%lu + %lu ms)", ratio,
          (unsigned long)l / 1000000, (unsigned long)h / 1000000);
    domain_destroy(light);
    domain_destroy(heavy);
}

/* How much of a CPU it gets: more than the least and less than the most, if a look every `ms` ever shows so. */
static double percent_of(unsigned id, unsigned ms, double least, double most)
{
    uint64_t begin = now_ns(), first = cpu_time(id);
    double percent = 0;

    for (int i = 0; i < LOOKS && !(percent > least && percent < most); i++) {
        pause_ms(ms);
        percent = 100.0 * (double)(cpu_time(id) - first) / (double)(now_ns() - begin);
    }
    return percent;
}

/* Held back for nearly half of its life at least, and for a second, which shows as waiting. */
static bool well_accounted(const struct pal_domain *a)
{
    return a->capped_ns > 1000000000 && a->capped_ns * 20 > (a->running_ns + a->waiting_ns) * 9 &&
           a->waiting_ns >= a->capped_ns / 2 && a->frames == TINY_PAGES && a->switches > 50;
}

static void check_cap(void)
{
    unsigned id = spinner(256, 25);

    pause_ms(200);
    double percent = percent_of(id, 2000, 20, 29);
    check("cap", percent > 20 && percent < 29, "cap 25 got %.1f %%", percent);
    struct pal_domain account = {.domain = id};
    long got = pal(PALOP_domain, &account);
    for (int i = 0; i < LOOKS && got == 0 && !well_accounted(&account); i++) {
        pause_ms(2000);
        got = pal(PALOP_domain, &account);
    }
    check("cap.account", got == 0 && well_accounted(&account),
          "%ld: running %lu, waiting %lu, held back %lu ms, %lu switches", got,
          (unsigned long)account.running_ns / 1000000, (unsigned long)account.waiting_ns / 1000000,
          (unsigned long)account.capped_ns / 1000000, (unsigned long)account.switches);
    domain_share(id, 0, 0);
    pause_ms(100);
    percent = percent_of(id, 1000, 60, 1000);
    check("cap.lifted", percent > 60, "no cap got %.1f %%", percent);
    domain_share(id, 0, 1);
    pause_ms(50);
    check("cap.destroy", domain_destroy(id) == 0, "while it has spent its share");
}

/* Its vCPU is there, soon: the CPU that it leaves may have to be run by the host first. */
static bool comes_to(unsigned id, unsigned cpu)
{
    struct xen_domctl op;

    for (int i = 0; i < 400; i++) {
        pause_ms(25);
        domctl_prepare(&op, XEN_DOMCTL_getvcpuinfo, id);
        if (domctl(&op))
            return false;
        if (op.u.getvcpuinfo.cpu == cpu)
            return true;
    }
    return false;
}

static void check_affinity(void)
{
    struct tiny t;
    bool wrong = false;

    tiny_make(&t, TINY_SPIN, 0);
    domain_unpause(t.id);
    for (unsigned i = 0; i < 40 && !wrong; i++) {
        unsigned cpu = i % (last_cpu + 1);

        domain_pin(t.id, 1ul << cpu);
        wrong = !comes_to(t.id, cpu);
    }
    check("affinity.moves", !wrong, "%s", wrong ? "it stays elsewhere" : "40 times");
    long none = domain_pin(t.id, 1ul << 63);
    check("affinity.nowhere", none == -EINVAL, "%ld", none);
    domain_destroy(t.id);
}

/* Three compute on two CPUs: none has much less than another. (Were they never moved one would have twice as much.) */
static void check_fair(void)
{
    struct tiny t[3];
    uint64_t first[3], used[3], most = 1, least = 0;

    for (int i = 0; i < 3; i++) {
        tiny_make(&t[i], TINY_SPIN, 0);
        domain_pin(t[i].id, 3);
        domain_unpause(t[i].id);
    }
    pause_ms(200);
    for (int i = 0; i < 3; i++)
        first[i] = cpu_time(t[i].id);
    for (int look = 0; look < LOOKS && most * 10 >= least * 17; look++) {
        pause_ms(3000);
        most = 0;
        least = ~0ul;
        for (int i = 0; i < 3; i++) {
            used[i] = cpu_time(t[i].id) - first[i];
            most = used[i] > most ? used[i] : most;
            least = used[i] < least ? used[i] : least;
        }
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

enum { TIMES = 200 };

/* Sleep a little so many times: how late are we? From the least to the worst. Returns whether that is good. */
static bool sleep_a_little(uint64_t late[TIMES])
{
    for (int i = 0; i < TIMES; i++) {
        struct timespec t = {0, 3000000};
        uint64_t begin = now_ns();

        nanosleep(&t, NULL);
        late[i] = now_ns() - begin - 3000000;
    }
    qsort(late, TIMES, sizeof(late[0]), by_size);
    return late[TIMES / 2] < 3000000 && late[TIMES * 9 / 10] < 20000000;
}

/* On a CPU where others compute. The host may be what makes us late: then once more. Were it the scheduler, it would be all times. */
static void check_latency(void)
{
    uint64_t late[TIMES];
    unsigned id[2] = {spinner(256, 0), spinner(256, 0)};
    cpu_set_t set;
    bool good = false;

    CPU_ZERO(&set);
    CPU_SET(last_cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
    for (int round = 0; round < 5 && !good; round++)
        good = sleep_a_little(late);
    sched_getaffinity(getppid(), sizeof(set), &set);
    sched_setaffinity(0, sizeof(set), &set);
    check("latency", good, "median %lu us, 9 of 10 below %lu us, worst %lu us",
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
