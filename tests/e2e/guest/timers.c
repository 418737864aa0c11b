/* SPDX-License-Identifier: MIT */
/* Time goes forward, on and across all CPUs, at the right speed, and timers neither fire early nor
 * get lost. */
#include "check.h"
#include <linux/rtc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

enum { MILLISECOND = 1000000, MAX_CPUS = 256, READS = 30000 };

/* Lateness is the emulator's and the host's matter; only gross lateness is a fault. */
static const uint64_t grace = (uint64_t)3000 * MILLISECOND;
/* Where the host stood still, a measurement is taken again. */
enum { ATTEMPTS = 3 };

/* Returns how many times it was too short. */
static int sleep_everywhere(uint64_t *worst)
{
    int early = 0;

    *worst = 0;
    for (int cpu = 0; cpu < check_cpus(); cpu++) {
        check_pin(cpu);
        for (int i = 0; i < 10; i++) {
            struct timespec t = {.tv_nsec = 5 * MILLISECOND};
            uint64_t start = check_now_ns(), took;

            nanosleep(&t, NULL);
            took = check_now_ns() - start;
            early += took < 5 * MILLISECOND;
            if (took > *worst)
                *worst = took;
        }
    }
    return early;
}

static void check_sleep(void)
{
    uint64_t worst = grace;
    int early = 0;

    for (int i = 0; i < ATTEMPTS && early == 0 && worst >= grace; i++)
        early = sleep_everywhere(&worst);
    check("sleep", early == 0 && worst < grace, "%d early, longest of 5 ms took %llu us", early,
          (unsigned long long)worst / 1000);
}

/* How long fifty ticks or more took. */
static uint64_t count_ticks(uint64_t *ticks)
{
    struct itimerspec every = {.it_interval.tv_nsec = 10 * MILLISECOND,
                               .it_value.tv_nsec = 10 * MILLISECOND};
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    uint64_t start = check_now_ns(), took;

    *ticks = 0;
    timerfd_settime(fd, 0, &every, NULL);
    while (*ticks < 50) {
        uint64_t count;

        if (read(fd, &count, sizeof(count)) != sizeof(count))
            break;
        *ticks += count;
    }
    took = check_now_ns() - start;
    close(fd);
    return took;
}

static void check_periodic(void)
{
    uint64_t ticks = 0, took = 0;

    for (int i = 0; i < ATTEMPTS && (i == 0 || took >= ticks * 10 * MILLISECOND + grace); i++)
        took = count_ticks(&ticks);
    check("timerfd",
          ticks >= 50 && took >= ticks * 10 * MILLISECOND &&
              took < ticks * 10 * MILLISECOND + grace,
          "%llu ticks of 10 ms in %llu ms", (unsigned long long)ticks,
          (unsigned long long)took / MILLISECOND);
}

/* What any CPU has read before, no CPU may read less than later. */
static atomic_ullong latest;
static atomic_int backwards;

static void *read_clock(void *argument)
{
    check_pin((int)(uintptr_t)argument);
    for (int i = 0; i < READS; i++) {
        unsigned long long before = atomic_load(&latest), now = check_now_ns();

        if (now < before)
            atomic_fetch_add(&backwards, 1);
        while (now > before && !atomic_compare_exchange_weak(&latest, &before, now))
            ;
    }
    return NULL;
}

static void check_monotonic(void)
{
    pthread_t threads[MAX_CPUS];
    int cpus = check_cpus();

    for (int cpu = 0; cpu < cpus; cpu++)
        pthread_create(&threads[cpu], NULL, read_clock, (void *)(uintptr_t)cpu);
    for (int cpu = 0; cpu < cpus; cpu++)
        pthread_join(threads[cpu], NULL);
    check("monotonic", atomic_load(&backwards) == 0, "%d steps back in %d reads on %d CPUs",
          atomic_load(&backwards), cpus * READS, cpus);
}

static int64_t rtc_seconds(int fd)
{
    struct rtc_time now;
    struct tm broken = {0};

    if (ioctl(fd, RTC_RD_TIME, &now))
        return -1;
    broken.tm_year = now.tm_year;
    broken.tm_mon = now.tm_mon;
    broken.tm_mday = now.tm_mday;
    broken.tm_hour = now.tm_hour;
    broken.tm_min = now.tm_min;
    broken.tm_sec = now.tm_sec;
    return timegm(&broken);
}

/* Two clocks from the edge of a second on. */
struct clocks {
    int64_t first, wall; /* what battery clock and wall clock showed at first */
    double rtc, clock;   /* seconds from then on, by the battery clock and the monotonic one */
};

static struct clocks compare_clocks(int fd)
{
    struct clocks c = {.first = rtc_seconds(fd)};
    uint64_t start;

    for (int i = 0; i < 3000 && rtc_seconds(fd) == c.first; i++)
        usleep(1000);
    start = check_now_ns();
    c.first = rtc_seconds(fd);
    c.wall = time(NULL);
    for (int i = 0; i < 15000 && rtc_seconds(fd) < c.first + 4; i++)
        usleep(1000);
    c.rtc = (double)(rtc_seconds(fd) - c.first);
    c.clock = (double)(check_now_ns() - start) / 1e9;
    return c;
}

static int same_time(const struct clocks *c)
{
    return c->first > 1700000000 && llabs(c->first - c->wall) <= 3;
}

static int same_speed(const struct clocks *c)
{
    return c->rtc >= 4 && c->clock > c->rtc - 0.7 && c->clock < c->rtc + 1.2;
}

/* The battery clock is an independent witness of both the wall clock and the speed of the monotonic
 * one. */
static void check_rtc(void)
{
    int fd = open("/dev/rtc0", O_RDONLY);
    struct clocks c = {0};

    if (!check("rtc-open", fd >= 0, "/dev/rtc0: %s", check_errno(fd >= 0)))
        return;
    for (int i = 0; i < ATTEMPTS && !(same_time(&c) && same_speed(&c)); i++)
        c = compare_clocks(fd);
    close(fd);
    check("rtc-wall", same_time(&c), "battery clock %lld, wall clock %lld", (long long)c.first,
          (long long)c.wall);
    check("speed", same_speed(&c), "%.3f s on the clock in %.0f s by the battery clock", c.clock,
          c.rtc);
}

int main(void)
{
    check_sleep();
    check_periodic();
    check_monotonic();
    check_rtc();
    return check_status();
}
