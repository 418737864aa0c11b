/* SPDX-License-Identifier: MIT */
/*
 * Memory keeps what is written to it while most of it is in use: one process for each CPU fills its
 * share of three quarters of the free memory with a pattern of its own and goes on verifying,
 * rewriting, giving pages back and moving them.
 */
#include "check.h"
#include <sys/mman.h>
#include <sys/wait.h>

enum { PAGE = 4096, WORDS = PAGE / 8, ROUNDS = 2 };

static uint64_t available_bytes(void)
{
    char text[4096];
    char *at;

    if (check_read_file("/proc/meminfo", text, sizeof(text)) < 0 ||
        !(at = strstr(text, "MemAvailable:")))
        return 0;
    return strtoull(at + strlen("MemAvailable:"), NULL, 10) * 1024;
}

static uint64_t seed_of(uint64_t worker, uint64_t page, uint64_t round)
{
    return (worker + 1) << 56 ^ (page + 1) << 16 ^ (round + 1);
}

static void fill(uint64_t *page, uint64_t seed)
{
    for (int i = 0; i < WORDS; i++)
        page[i] = check_random(&seed);
}

static int holds(const uint64_t *page, uint64_t seed)
{
    for (int i = 0; i < WORDS; i++) {
        if (page[i] != check_random(&seed))
            return 0;
    }
    return 1;
}

/* A given-back page must read as zero, and a moved one must keep its content. */
static int give_back_and_move(uint64_t *page)
{
    uint64_t *fresh;

    if (madvise(page, PAGE, MADV_DONTNEED))
        return 0;
    for (int i = 0; i < WORDS; i++) {
        if (page[i])
            return 0;
    }
    fresh = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED)
        return 0;
    fill(fresh, 99);
    return mremap(fresh, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page) == page &&
           holds(page, 99);
}

/* Exit status: 0, or the step that went wrong. */
static int worker(uint64_t number, uint64_t pages)
{
    uint64_t *area =
        mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED)
        return 10;
    if (number & 1) /* half of the workers without huge pages */
        madvise(area, pages * PAGE, MADV_NOHUGEPAGE);
    for (uint64_t page = 0; page < pages; page++)
        fill(area + page * WORDS, seed_of(number, page, 0));
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (uint64_t page = 0; page < pages; page++) {
            if (!holds(area + page * WORDS, seed_of(number, page, round)))
                return 11;
            if (page % 97 == 5 && !give_back_and_move(area + page * WORDS))
                return 12;
            fill(area + page * WORDS, seed_of(number, page, round + 1));
        }
    }
    return 0;
}

int main(void)
{
    uint64_t bytes = available_bytes() / 4 * 3, limit = (uint64_t)1 << 30;
    int cpus = check_cpus(), worst = 0;

    if (bytes >
        limit) /* more takes longer and shows nothing else; stress-ng does it in the long run */
        bytes = limit;
    for (int cpu = 0; cpu < cpus; cpu++) {
        if (fork() == 0)
            _exit(worker((uint64_t)cpu, bytes / PAGE / (uint64_t)cpus));
    }
    for (int status; wait(&status) > 0;) {
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);

        if (code > worst)
            worst = code;
    }
    check("patterns", bytes && worst == 0, "%llu MiB by %d workers, worst status %d",
          (unsigned long long)bytes >> 20, cpus, worst);
    return check_status();
}
