/* SPDX-License-Identifier: MIT */
/*
 * A guest's work that notices when anything of its state is lost: run in a guest that is saved and
 * restored. Each part counts what it did and what was wrong; once a second a line tells all counts.
 *
 *   load client=10.99.0.3 disk=/dev/xvda     what is not named is left out
 *   load server                              the other end of the connection: sends back what comes
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../guest/vectors.h"

enum { PORT = 7, FILE_BYTES = 4 << 20, BLOCK = 65536, DISK_BLOCKS = 64 };

static atomic_uint_fast64_t counter, vectors, files, blocks, messages, times, bad;

static void wrong(const char *format, ...)
{
    char text[200];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    atomic_fetch_add(&bad, 1);
    printf("LOAD-BAD %s\n", text);
}

static uint64_t now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* ---- counting, and time that goes forwards ---- */

static void *count(void *unused)
{
    uint64_t mine = 0;

    (void)unused;
    for (;;) {
        for (unsigned i = 0; i < 1000; i++) {
            if (atomic_fetch_add(&counter, 1) != mine++)
                wrong("the counter is not %llu", (unsigned long long)mine - 1);
        }
        usleep(2000);
    }
    return NULL;
}

static void *watch_time(void *unused)
{
    static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME,
                                       CLOCK_MONOTONIC_RAW};
    uint64_t last[4] = {0};

    (void)unused;
    for (;;) {
        for (unsigned i = 0; i < 4; i++) {
            uint64_t is = now(clocks[i]);

            if (is < last[i])
                wrong("clock %d went from %llu to %llu", clocks[i], (unsigned long long)last[i],
                      (unsigned long long)is);
            last[i] = is;
        }
        atomic_fetch_add(&times, 1);
        usleep(3000);
    }
    return NULL;
}

/* ---- vector registers ---- */

struct registers {
    uint64_t vector[VECTORS][4]; /* the upper halves only with AVX */
} __attribute__((aligned(64)));

/* Spins, then yields the CPU (system call 24): no register of interest is touched between. */
#define HOLD(LOAD, SAVE)                                                                           \
    __asm__ volatile(ALL(LOAD) "mov $40, %%r12d\n"                                                 \
                               "1: mov $24, %%eax\n syscall\n"                                     \
                               "mov $20000, %%r13d\n"                                              \
                               "2: dec %%r13d\n jnz 2b\n"                                          \
                               "dec %%r12d\n jnz 1b\n" ALL(SAVE)                                   \
                     :                                                                             \
                     : [in] "r"(in), [out] "r"(out)                                                \
                     : "rax", "rcx", "r11", "r12", "r13", "memory", "cc", VECTORS_CLOBBERED)

static void hold(const struct registers *in, struct registers *out)
{
    if (have_avx)
        HOLD(LOAD_AVX, SAVE_AVX);
    else
        HOLD(LOAD_SSE, SAVE_SSE);
}

static void *use_vectors(void *number)
{
    uint64_t seed = (uint64_t)(uintptr_t)number << 32;
    struct registers in, out;

    for (;;) {
        memset(&in, 0, sizeof(in));
        for (unsigned i = 0; i < VECTORS; i++) {
            for (unsigned k = 0; k < (have_avx ? 4 : 2); k++)
                in.vector[i][k] = mix(seed++);
        }
        memset(&out, 0, sizeof(out));
        hold(&in, &out);
        if (memcmp(&in, &out, sizeof(in)))
            wrong("vector registers of thread %lu", (unsigned long)(uintptr_t)number);
        atomic_fetch_add(&vectors, 1);
        usleep(1000);
    }
    return NULL;
}

/* ---- a file of random data ---- */

static uint64_t sum_of(const uint64_t *data, size_t words)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < words; i++)
        sum = (sum ^ data[i]) * 0x100000001b3u;
    return sum;
}

static void *check_file(void *unused)
{
    int fd = open("/tmp/random", O_RDWR | O_CREAT | O_TRUNC, 0600);
    uint64_t *data = malloc(FILE_BYTES), sum;

    (void)unused;
    if (fd < 0 || !data)
        abort();
    for (size_t at = 0; at < FILE_BYTES; at += 256) {
        if (getrandom((char *)data + at, 256, 0) != 256)
            abort();
    }
    sum = sum_of(data, FILE_BYTES / 8);
    if (write(fd, data, FILE_BYTES) != FILE_BYTES)
        abort();
    for (;;) {
        memset(data, 0, FILE_BYTES);
        if (pread(fd, data, FILE_BYTES, 0) != FILE_BYTES || sum_of(data, FILE_BYTES / 8) != sum)
            wrong("the file's contents");
        atomic_fetch_add(&files, 1);
        sleep(1);
    }
    return NULL;
}

/* ---- a disk ---- */

static void fill_block(uint64_t *block, uint64_t seed)
{
    for (unsigned i = 0; i < BLOCK / 8; i++)
        block[i] = mix(seed + i);
}

/* Every block's last contents are known; each is read back and checked before it is written anew. */
static void *use_disk(void *path)
{
    int fd = open(path, O_RDWR | O_DIRECT | O_SYNC);
    uint64_t seeds[DISK_BLOCKS] = {0}, *block, *expected;

    if (fd < 0 || posix_memalign((void **)&block, 4096, BLOCK) ||
        posix_memalign((void **)&expected, 4096, BLOCK)) {
        wrong("%s: %s", (char *)path, strerror(errno));
        return NULL;
    }
    for (uint64_t turn = 1;; turn++) {
        unsigned n = (unsigned)(mix(turn) % DISK_BLOCKS);

        if (seeds[n]) {
            fill_block(expected, seeds[n]);
            if (pread(fd, block, BLOCK, (off_t)n * BLOCK) != BLOCK ||
                memcmp(block, expected, BLOCK))
                wrong("block %u of the disk", n);
        }
        seeds[n] = mix(turn) << 20 | 1;
        fill_block(block, seeds[n]);
        if (pwrite(fd, block, BLOCK, (off_t)n * BLOCK) != BLOCK)
            wrong("writing block %u: %s", n, strerror(errno));
        atomic_fetch_add(&blocks, 1);
        usleep(20000);
    }
    return NULL;
}

/* ---- a connection ---- */

static void *talk(void *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    uint64_t out[16], in[16];

    inet_pton(AF_INET, address, &to.sin_addr);
    while (connect(fd, (struct sockaddr *)&to, sizeof(to))) {
        close(fd);
        sleep(1);
        fd = socket(AF_INET, SOCK_STREAM, 0);
    }
    for (uint64_t turn = 0;; turn++) {
        for (unsigned i = 0; i < 16; i++)
            out[i] = mix(turn * 16 + i);
        if (send(fd, out, sizeof(out), MSG_NOSIGNAL) != sizeof(out) ||
            recv(fd, in, sizeof(in), MSG_WAITALL) != sizeof(in)) {
            wrong("the connection: %s", strerror(errno));
            return NULL;
        }
        if (memcmp(in, out, sizeof(in)))
            wrong("what came back in turn %llu", (unsigned long long)turn);
        atomic_fetch_add(&messages, 1);
        usleep(10000);
    }
    return NULL;
}

static void *echo(void *socket)
{
    int fd = (int)(intptr_t)socket;
    char data[4096];
    ssize_t n;

    while ((n = recv(fd, data, sizeof(data), 0)) > 0) {
        if (send(fd, data, (size_t)n, MSG_NOSIGNAL) != n)
            break;
    }
    printf("LOAD-SERVER end\n");
    close(fd);
    return NULL;
}

static void serve(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
    pthread_t thread;

    if (bind(listener, (struct sockaddr *)&any, sizeof(any)) || listen(listener, 5))
        abort();
    printf("LOAD-SERVER ready\n");
    while ((fd = accept(listener, NULL, NULL)) >= 0)
        pthread_create(&thread, NULL, echo, (void *)(intptr_t)fd);
}

static void begin(void *(*work)(void *), void *argument)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, work, argument))
        abort();
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    have_avx = detect_avx();
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "server"))
            serve();
        else if (!strncmp(argv[i], "client=", 7))
            begin(talk, argv[i] + 7);
        else if (!strncmp(argv[i], "disk=", 5))
            begin(use_disk, argv[i] + 5);
    }
    begin(count, NULL);
    begin(watch_time, NULL);
    begin(use_vectors, (void *)1);
    begin(use_vectors, (void *)2);
    begin(check_file, NULL);
    for (unsigned turn = 1;; turn++) {
        printf("LOAD turn=%u counter=%llu vectors=%llu files=%llu blocks=%llu messages=%llu "
               "times=%llu avx=%d wall=%llu bad=%llu\n",
               turn, (unsigned long long)counter, (unsigned long long)vectors,
               (unsigned long long)files, (unsigned long long)blocks, (unsigned long long)messages,
               (unsigned long long)times, have_avx,
               (unsigned long long)now(CLOCK_REALTIME) / 1000000000u, (unsigned long long)bad);
        sleep(1);
    }
}
