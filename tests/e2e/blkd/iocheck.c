/* SPDX-License-Identifier: MIT */
/*
 * pal-blkd's way to the kernel, on this kernel: files whose transfers never end hold up no other, and the ring does nothing but reads,
 * writes, synchronisation and holes. Prints "IO fine", or what is wrong. Argument: a file to be made.
 */
#include "../../../tools/ubc/io_uring.c"

#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HUNG       20u  /* files that hang */
#define EACH       600u /* requests for each of them */
#define PAGES      64u  /* of the file that does not */
#define PATIENCE_S 60

static struct hung {
    struct io_lane lane;
    int pipe[2];
    struct io io[EACH];
    uint8_t buffer[EACH];
} hung[HUNG];
static uint8_t pages[PAGES][4096];
static unsigned done, hung_done, failed;

static void fail(const char *what)
{
    printf("IO bad: %s (%u, %u)\n", what, done, hung_done);
    exit(1);
}

static void one_done(struct io *io, int result)
{
    (void)io;
    failed += result != 0;
    done++;
}

static void hung_one_done(struct io *io, int result)
{
    (void)io;
    failed += result != 0;
    hung_done++;
}

/* Until so many have ended. */
static void wait_for(const unsigned *count, unsigned wanted, const char *what)
{
    struct pollfd ring = {uring.ring_fd, POLLIN, 0};
    time_t end = time(NULL) + PATIENCE_S;

    while (*count < wanted) {
        (void)io_uring_kick();
        if (time(NULL) > end)
            fail(what);
        poll(&ring, 1, 100);
        io_uring_reap();
    }
    if (failed)
        fail("a transfer failed");
}

static void begin_pages(struct io io[PAGES], struct io_lane *lane, int fd, enum io_kind kind)
{
    done = 0;
    for (unsigned i = 0; i < PAGES; i++) {
        io[i] =
            (struct io){kind, fd, lane, pages[i], sizeof(pages[i]), i * 4096ull, one_done, 0, NULL};
        io_begin(&io[i]);
    }
}

static void hang(void)
{
    for (unsigned i = 0; i < HUNG; i++) {
        if (pipe(hung[i].pipe))
            fail("no pipe");
        for (unsigned k = 0; k < EACH; k++) {
            hung[i].io[k] = (struct io){
                IO_READ, hung[i].pipe[0], &hung[i].lane, &hung[i].buffer[k], 1, 0, hung_one_done, 0,
                NULL};
            io_begin(&hung[i].io[k]);
        }
    }
}

static void let_go(void)
{
    static const char bytes[EACH];

    for (unsigned i = 0; i < HUNG; i++) {
        if (write(hung[i].pipe[1], bytes, EACH) != EACH)
            fail("a pipe takes nothing");
    }
}

/* What the ring answers to what it must not do. */
static void forbidden(void)
{
    struct __kernel_timespec t = {0};

    for (unsigned i = 0; i < 4; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&uring);
        struct io_uring_cqe *cqe;

        switch (i) {
        case 0:
            io_uring_prep_openat(sqe, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0);
            break;
        case 1:
            io_uring_prep_socket(sqe, AF_INET, SOCK_STREAM, 0, 0);
            break;
        case 2:
            io_uring_prep_unlink(sqe, "/nothing", 0);
            break;
        default:
            io_uring_prep_timeout(sqe, &t, 1, 0);
        }
        if (io_uring_submit(&uring) != 1 || io_uring_wait_cqe(&uring, &cqe))
            fail("no answer");
        if (cqe->res != -EACCES)
            fail("the ring does what it must not");
        io_uring_cqe_seen(&uring, cqe);
    }
}

int main(int count, char **arguments)
{
    static struct io io[PAGES];
    struct io_lane lane = {0};
    int fd = count == 2 ? open(arguments[1], O_RDWR | O_CREAT | O_TRUNC, 0600) : -1;

    if (fd < 0)
        fail("no file");
    if (io_uring_open() < 0)
        fail("no ring");
    forbidden();
    hang();
    for (unsigned i = 0; i < PAGES; i++)
        memset(pages[i], (int)i + 1, sizeof(pages[i]));
    begin_pages(io, &lane, fd, IO_WRITE);
    wait_for(&done, PAGES, "writes wait for others' reads");
    memset(pages, 0, sizeof(pages));
    begin_pages(io, &lane, fd, IO_READ);
    wait_for(&done, PAGES, "reads wait for others'");
    for (unsigned i = 0; i < PAGES; i++) {
        if (pages[i][0] != i + 1 || pages[i][4095] != i + 1)
            fail("other bytes than were written");
    }
    if (hung_done)
        fail("a read of nothing ended");
    let_go();
    wait_for(&hung_done, HUNG * EACH, "what had hung does not end");
    unlink(arguments[1]);
    puts("IO fine");
    return 0;
}
