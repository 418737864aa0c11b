/* SPDX-License-Identifier: MIT */
/* The library in a made-up world of several domains, each a thread: finding each other, streams both ways, deaths, revocation. */
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "fake.h"
#include "internal.h"

enum { SLOT = 3, PAGES = 256, LIMIT = 20000 };

static const uint32_t both[] = {1, 2};

static int set_up(void **state)
{
    (void)state;
    fake_reset();
    fake_region("bulk", SLOT, 77, PAGES, both, 2, 0);
    return 0;
}

/* Everything that a test took is given back. */
static int nothing_left(void **state)
{
    (void)state;
    assert_int_equal(fake_ports(), 0);
    assert_int_equal(fake_mappings(), 0);
    return 0;
}

struct end {
    palshm *p;
    palshm_region *r;
    palshm_listener *l;
    struct palshm_call call;
    palshm_channel *c;
};

static void open_end(struct end *e, uint32_t domain)
{
    memset(e, 0, sizeof(*e));
    fake_domain(domain);
    e->p = palshm_open();
    assert_non_null(e->p);
    e->r = palshm_region_open(e->p, "bulk");
    assert_non_null(e->r);
}

static void close_end(struct end *e)
{
    if (e->c)
        palshm_channel_close(e->c);
    if (e->l && e->call.size)
        palshm_listener_free(e->l, &e->call);
    if (e->l)
        palshm_listener_close(e->l);
    palshm_region_close(e->r);
    palshm_close(e->p);
}

/* A listener that takes one call. */
static void serve_one(struct end *e)
{
    palshm_link *k;

    open_end(e, 1);
    e->l = palshm_listen(e->r, "s", 0, 0, false);
    assert_non_null(e->l);
    assert_int_equal(palshm_listener_next(e->l, &e->call, LIMIT), 1);
    k = palshm_accept(e->r, &e->call);
    assert_non_null(k);
    e->c = palshm_channel_new(k);
    palshm_channel_timeout(e->c, LIMIT);
}

static void *serve_in_thread(void *e)
{
    serve_one(e);
    return NULL;
}

static void call_one(struct end *e, uint64_t size)
{
    palshm_link *k;

    open_end(e, 2);
    k = palshm_connect(e->r, PALSHM_ANY, "s", size, LIMIT);
    if (!k)
        fail_msg("%s", palshm_why(e->p));
    e->c = palshm_channel_new(k);
    palshm_channel_timeout(e->c, LIMIT);
}

static uint8_t pattern(uint64_t at, unsigned seed)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16) + seed);
}

enum { BYTES = 3 << 20 };

static void *send_all(void *data)
{
    palshm_channel *c = ((struct end *)data)->c;
    static __thread uint8_t b[70000];
    unsigned seed = (unsigned)palshm_domain(((struct end *)data)->p), turn = seed;
    size_t n;

    for (uint64_t at = 0; at < BYTES; at += n) {
        turn = turn * 1103515245u + 12345u;
        n = turn >> 8 & 1 ? turn % sizeof(b) + 1 : turn % 50 + 1;
        n = n < BYTES - at ? n : BYTES - at;
        for (size_t i = 0; i < n; i++)
            b[i] = pattern(at + i, seed);
        if (turn >> 9 & 1) {
            if (palshm_write(c, b, n) != (ssize_t)n)
                return "write";
        } else {
            void *to;
            ssize_t room = palshm_write_begin(c, &to);

            if (room <= 0)
                return "begin";
            n = n < (size_t)room ? n : (size_t)room;
            memcpy(to, b, n);
            palshm_write_end(c, n);
        }
    }
    return NULL;
}

static const char *receive_all(struct end *e, unsigned seed)
{
    static __thread uint8_t b[50000];
    ssize_t got;

    for (uint64_t at = 0; at < BYTES; at += (uint64_t)got) {
        got = palshm_read(e->c, b, at % 3 ? sizeof(b) : 100);
        if (got <= 0)
            return "read";
        for (ssize_t i = 0; i < got; i++)
            if (b[i] != pattern(at + (uint64_t)i, seed))
                return "data";
    }
    return NULL;
}

static void *server_one_way(void *data)
{
    struct end *e = data;
    const char *bad;
    char byte;

    serve_one(e);
    bad = receive_all(e, 2);
    if (!bad && palshm_read(e->c, &byte, 1) != 0)
        bad = "end";
    if (!bad && (bad = send_all(e)))
        return (void *)bad;
    close_end(e);
    return (void *)bad;
}

/* All sizes of rings, with odd ones; there and back, end of stream, everything given back. */
static void test_stream(void **state)
{
    static const uint64_t sizes[] = {8192, 12288, 20480, 131072, 0};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct end server, client;
        struct palshm_counts counts;
        pthread_t thread;
        void *bad;
        char byte;

        pthread_create(&thread, NULL, server_one_way, &server);
        call_one(&client, sizes[i]);
        assert_null(send_all(&client));
        palshm_shutdown(client.c);
        assert_int_equal(palshm_write(client.c, "x", 1), -1);
        assert_int_equal(errno, EPIPE);
        assert_null(receive_all(&client, 1));
        assert_int_equal(palshm_read(client.c, &byte, 1), 0);
        palshm_channel_counts(client.c, &counts);
        assert_int_equal(counts.bytes_in, BYTES);
        assert_int_equal(counts.bytes_out, BYTES);
        pthread_join(thread, &bad);
        assert_null(bad);
        assert_int_equal(palshm_write(client.c, "x", 1), -1);
        assert_int_equal(errno, EPIPE);
        close_end(&client);
        assert_int_equal(
            fake_nodes("/call/3-77-s/") + fake_nodes("/reply/") + fake_nodes("/listen/3"), 0);
    }
}

/* One thread for both ends: readiness by poll, back-pressure, no bell while the peer is awake. */
static void test_back_pressure(void **state)
{
    static char big[1 << 20];
    struct end server, client;
    struct palshm_counts counts;
    ssize_t put, got;
    pthread_t thread;

    (void)state;
    pthread_create(&thread, NULL, serve_in_thread, &server);
    call_one(&client, 65536 + 4096);
    pthread_join(thread, NULL);
    put = palshm_write_some(client.c, big, sizeof(big));
    assert_int_equal(put, 32768);
    assert_int_equal(palshm_write_some(client.c, big, 1), -1);
    assert_int_equal(errno, EAGAIN);
    palshm_channel_counts(client.c, &counts);
    assert_int_equal(counts.rings, 0); /* nobody waits */
    assert_int_equal(palshm_link_wait(palshm_channel_link(client.c), 0), 0);
    /* One byte is room, so one byte is what was asked for. */
    got = palshm_read_some(server.c, big, 100);
    assert_int_equal(got, 100);
    assert_int_equal(palshm_link_wait(palshm_channel_link(client.c), LIMIT), 1);
    assert_int_equal(palshm_write_some(client.c, big, sizeof(big)), 100);
    assert_int_equal(palshm_write_some(client.c, big, sizeof(big)), -1); /* asks for half */
    got = palshm_read_some(server.c, big, 100);
    assert_int_equal(palshm_link_wait(palshm_channel_link(client.c), 0), 0);
    got += palshm_read_some(server.c, big, 16384);
    assert_int_equal(palshm_link_wait(palshm_channel_link(client.c), LIMIT), 1);
    while ((got = palshm_read_some(server.c, big, sizeof(big))) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(palshm_link_wait(palshm_channel_link(server.c), 0), 1); /* the caller came */
    assert_int_equal(palshm_link_wait(palshm_channel_link(server.c), 0), 0);
    assert_int_equal(palshm_write(client.c, "abc", 3), 3);
    assert_int_equal(palshm_write(client.c, "def", 3), 3);
    palshm_channel_counts(client.c, &counts);
    assert_int_equal(counts.rings, 1); /* one for both */
    assert_int_equal(palshm_link_wait(palshm_channel_link(server.c), LIMIT), 1);
    assert_int_equal(palshm_read(server.c, big, 10), 6);
    palshm_channel_timeout(server.c, 5);
    assert_int_equal(palshm_read(server.c, big, 10), -1);
    assert_int_equal(errno, ETIMEDOUT);
    close_end(&client);
    close_end(&server);
}

static void *serve_and_wait(void *data)
{
    static __thread char b[4096];
    struct end *e = data;
    ssize_t got;

    serve_one(e);
    while ((got = palshm_read(e->c, b, sizeof(b))) > 0)
        ;
    return got == 0              ? "end"
           : errno == ECONNRESET ? "reset"
           : errno == ENODEV     ? "revoked"
                                 : strerror(errno);
}

static void fill(struct end *e, unsigned times)
{
    static char b[5000];

    for (unsigned i = 0; i < times; i++)
        if (palshm_write(e->c, b, sizeof(b)) < 0)
            return;
}

/* The peer's process is killed at this moment or that: seen at once, without a time limit. */
static void test_killed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        struct end server, client;
        pthread_t thread;
        void *saw;

        pthread_create(&thread, NULL, serve_and_wait, &server);
        call_one(&client, i % 2 ? 8192 : 65536);
        fill(&client, i / 4);
        fake_kill(client.p->seam);
        pthread_join(thread, &saw);
        assert_string_equal(saw, "reset");
        close_end(&server);
        close_end(&client); /* frees memory only */
    }
}

/* The caller is killed between its call and its mapping of the window: nothing rings then, and it is not waited for long. */
static void test_never_came(void **state)
{
    static const char call[] = "/local/domain/2/data/palshm/call/3-77-s/1-1-1";
    struct end server, client;
    struct seam_bell *bell;
    char text[128], byte;
    palshm_link *k;

    (void)state;
    for (int polled = 0; polled < 2; polled++) {
        open_end(&server, 1);
        open_end(&client, 2);
        server.p->come_ms = 50;
        server.l = palshm_listen(server.r, "s", 0, 0, false);
        assert_non_null(server.l);
        assert_int_equal(seam_bell_open(client.p->seam, &bell), 0);
        snprintf(text, sizeof(text), "%s 8192 %d %d", server.l->process, seam_bell_offer(bell, 1),
                 seam_bell_offer(bell, 1));
        fake_write(2, call, text);
        assert_int_equal(palshm_listener_next(server.l, &server.call, LIMIT), 1);
        k = palshm_accept(server.r, &server.call);
        assert_non_null(k);
        server.c = palshm_channel_new(k);
        palshm_channel_timeout(server.c, LIMIT);
        seam_bell_close(bell); /* as its kernel does at its end */
        if (polled) {
            struct pollfd fd = {.fd = palshm_link_fd(k), .events = POLLIN};

            while (palshm_link_wait(k, 0) == 0)
                assert_int_equal(poll(&fd, 1, LIMIT), 1);
            assert_true(palshm_link_gone(k));
        }
        assert_int_equal(palshm_read(server.c, &byte, 1), -1);
        assert_int_equal(errno, ECONNRESET);
        close_end(&server);
        (void)seam_remove(client.p->seam, call);
        close_end(&client);
    }
}

/* A whole domain ends: its kernel rings nothing, the store tells. And the server's end is seen by the client likewise. */
static void test_domain_ends(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        struct end server, client;
        pthread_t thread;
        void *saw;
        char byte;

        pthread_create(&thread, NULL, i % 2 ? serve_and_wait : serve_in_thread, &server);
        call_one(&client, 65536);
        if (i % 2) {
            fake_end_domain(2);
            pthread_join(thread, &saw);
            assert_string_equal(saw, "reset");
            close_end(&server);
            close_end(&client);
        } else {
            pthread_join(thread, &saw);
            fake_end_domain(1);
            assert_int_equal(palshm_read(client.c, &byte, 1), -1);
            assert_int_equal(errno, ECONNRESET);
            close_end(&client);
            close_end(&server);
        }
        fake_reset();
        fake_region("bulk", SLOT, 77, PAGES, both, 2, 0);
    }
}

static void test_revoked(void **state)
{
    struct end server, client;
    pthread_t thread;
    void *saw, *at;
    char byte;

    (void)state;
    pthread_create(&thread, NULL, serve_and_wait, &server);
    call_one(&client, 65536);
    assert_int_equal(palshm_write(client.c, "x", 1), 1);
    fake_revoke("bulk", 1);
    pthread_join(thread, &saw);
    assert_string_equal(saw, "revoked");
    close_end(&server);
    assert_int_equal(palshm_read(client.c, &byte, 1), -1);
    fake_revoke("bulk", 2);
    assert_true(palshm_region_revoked(client.r));
    assert_int_equal(palshm_read(client.c, &byte, 1), -1);
    assert_int_equal(errno, ENODEV);
    at = palshm_map(client.r, 0, 0, true);
    assert_null(at);
    assert_int_equal(errno, ENODEV);
    close_end(&client);
    fake_domain(2);
    client.p = palshm_open();
    assert_null(palshm_region_open(client.p, "bulk"));
    assert_int_equal(errno, ENOENT);
    palshm_close(client.p);
}

enum { CLIENTS = 12 };

static void *echo(void *data)
{
    struct end *e = data;
    static __thread char b[8192];
    ssize_t got;
    palshm_link *k;

    fake_domain(1);
    e->p = palshm_open();
    e->r = palshm_region_open(e->p, "bulk");
    k = palshm_accept(e->r, &e->call);
    if (!k)
        return "accept";
    e->c = palshm_channel_new(k);
    palshm_channel_timeout(e->c, LIMIT);
    while ((got = palshm_read(e->c, b, sizeof(b))) > 0)
        if (palshm_write(e->c, b, (size_t)got) != got)
            break;
    close_end(e);
    return NULL;
}

static void *one_client(void *data)
{
    static __thread char b[9000], back[9000];
    unsigned seed = (unsigned)(uintptr_t)data;
    struct end e;
    const char *bad = NULL;

    open_end(&e, 2);
    palshm_link *k = palshm_connect(e.r, 1, "s", 32768, LIMIT);
    if (!k) {
        bad = "connect";
    } else {
        e.c = palshm_channel_new(k);
        palshm_channel_timeout(e.c, LIMIT);
        for (unsigned round = 0; round < 20 && !bad; round++) {
            size_t n = seed * 997 % sizeof(b) + 1, done = 0;
            ssize_t got = 0;

            memset(b, (int)(seed + round), n);
            if (palshm_write(e.c, b, n) < 0)
                bad = "write";
            for (; !bad && done < n; done += (size_t)got)
                if ((got = palshm_read(e.c, back + done, n - done)) <= 0)
                    bad = "read";
            if (!bad && memcmp(b, back, n))
                bad = "data";
        }
    }
    close_end(&e);
    return (void *)bad;
}

/* Many clients of one server, each with a window of its own. */
static void test_many(void **state)
{
    struct end listener, servers[CLIENTS] = {0};
    pthread_t client[CLIENTS], server[CLIENTS];
    struct palshm_call calls[CLIENTS];
    void *bad;

    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_create(&client[i], NULL, one_client, (void *)(uintptr_t)(i + 1));
    open_end(&listener, 1);
    listener.l = palshm_listen(listener.r, "s", 0, PAGES * 4096, false);
    assert_non_null(listener.l);
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(palshm_listener_next(listener.l, &calls[i], LIMIT), 1);
        for (unsigned j = 0; j < i; j++)
            assert_true(calls[i].offset >= calls[j].offset + calls[j].size ||
                        calls[j].offset >= calls[i].offset + calls[i].size);
        servers[i].call = calls[i];
        pthread_create(&server[i], NULL, echo, &servers[i]);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(client[i], &bad);
        assert_null(bad);
        pthread_join(server[i], &bad);
        assert_null(bad);
        palshm_listener_free(listener.l, &calls[i]);
    }
    assert_int_equal(listener.l->windows.n, 0);
    close_end(&listener);
}

/* Two listeners for the same bytes, and what a killed one leaves. */
static void test_listeners(void **state)
{
    struct end a, b;
    palshm_listener *second;

    (void)state;
    open_end(&a, 1);
    open_end(&b, 2);
    a.l = palshm_listen(a.r, "s", 0, 65536, false);
    assert_non_null(a.l);
    assert_null(palshm_listen(b.r, "t", 32768, 65536, false));
    assert_int_equal(errno, EADDRINUSE);
    second = palshm_listen(b.r, "t", 65536, 65536, false);
    assert_non_null(second);
    palshm_listener_close(second);
    second = palshm_listen(b.r, "t", 0, 65536, true);
    assert_non_null(second);
    palshm_listener_close(second);
    assert_null(palshm_listen(a.r, "t", 0, 65536, true));
    /* Chosen parts: each half of what is left. */
    second = palshm_listen(b.r, "t", 0, 0, false);
    assert_non_null(second);
    assert_int_equal(second->windows.offset, 65536);
    assert_int_equal(second->windows.length, (PAGES * 4096 - 65536) / 2);
    palshm_listener_close(second);
    palshm_listener_close(a.l);
    /* A process that does not run any more. */
    fake_write(1, "/local/domain/1/data/palshm/listen/3-77-old", "999999999-1 0 1048576");
    a.l = palshm_listen(a.r, "s", 0, 0, false);
    assert_non_null(a.l);
    assert_int_equal(fake_nodes("3-77-old"), 0);
    assert_null(palshm_listen(a.r, "bad name", 0, 0, false));
    assert_int_equal(errno, EINVAL);
    assert_null(palshm_listen(a.r, "s", 100, 4096, false));
    assert_null(palshm_connect(b.r, 1, "nobody", 0, 10));
    assert_int_equal(errno, ETIMEDOUT);
    assert_null(palshm_connect(b.r, 1, "s", 0, 30)); /* listens, does not answer */
    assert_int_equal(errno, ETIMEDOUT);
    assert_int_equal(fake_nodes("/call/3-77-s/"), 0);
    close_end(&a);
    close_end(&b);
}

/* What a hostile member may write into its nodes. */
static void test_forged(void **state)
{
    static const char *const calls[] = {"",
                                        "x",
                                        "a b c d",
                                        "1-1 1 1 99999999999 1",
                                        "1-1 99999999999999999999 1 1",
                                        "%s 4096 0 0",
                                        "%s 4096 5000 5001",
                                        "%s -1 1 1",
                                        "%s 1 2",
                                        "%s 18446744073709551615 3 4",
                                        "%s 1 2 3 4"};
    struct end server;
    struct palshm_call call;
    char path[128], text[128];

    (void)state;
    open_end(&server, 1);
    server.l = palshm_listen(server.r, "s", 0, 0, false);
    assert_non_null(server.l);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        snprintf(path, sizeof(path), "/local/domain/2/data/palshm/call/3-77-s/1-1-%zu", i);
        snprintf(text, sizeof(text), calls[i], server.l->process);
        fake_write(2, path, text);
        while (palshm_listener_next(server.l, &call, 0) == 1) {
            assert_null(palshm_accept(server.r, &call)); /* no such ports */
            palshm_listener_free(server.l, &call);
        }
    }
    fake_write(2, "/local/domain/2/data/palshm/call/3-77-s/a/b", "x");
    assert_int_equal(palshm_listener_next(server.l, &call, 0), 0);
    assert_int_equal(server.l->windows.n, 0);
    close_end(&server);
    /* A made-up region of another guest. */
    fake_write(2, "/local/domain/2/data/palshm/regions/trap", "");
    fake_write(2, "/local/domain/2/data/palshm/regions/trap/slot", "1024");
    fake_write(2, "/local/domain/2/data/palshm/regions/trap/pages", "1");
    fake_write(2, "/local/domain/2/data/palshm/regions/trap/generation", "1");
    fake_write(2, "/local/domain/2/data/palshm/regions/trap/members", "1 2 99999999 x");
    fake_write(2, "/local/domain/2/data/palshm/regions/trap/writers", "1");
    open_end(&server, 1);
    assert_null(palshm_region_open(server.p, "2:trap"));
    fake_write(2, "/local/domain/2/data/palshm/regions/trap/members", "1 2 99999999");
    assert_null(palshm_region_open(server.p, "2:trap"));
    assert_int_equal(errno, EPROTO);
    fake_write(2, "/local/domain/2/data/palshm/regions/trap/slot", "6");
    palshm_region *r = palshm_region_open(server.p, "2:trap");
    assert_non_null(r);
    assert_null(palshm_map(r, 0, 0, true)); /* the hypervisor does not know it */
    palshm_region_close(r);
    assert_null(palshm_region_open(server.p, "2:../../x"));
    assert_null(palshm_region_open(server.p, "99999:trap"));
    assert_null(palshm_region_open(server.p, "../2/x"));
    close_end(&server);
}

/* One member calls without end: another's call is heard all the same. */
static void test_flood(void **state)
{
    static const uint32_t three[] = {1, 2, 3};
    struct end server;
    struct palshm_call call;
    char path[128], text[128];
    bool heard = false;

    (void)state;
    fake_region("bulk", SLOT, 77, PAGES, three, 3, 0);
    open_end(&server, 1);
    server.l = palshm_listen(server.r, "s", 0, 0, false);
    assert_non_null(server.l);
    snprintf(text, sizeof(text), "%s 4096 1 2", server.l->process);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "/local/domain/2/data/palshm/call/3-77-s/1-1-%u", i);
        fake_write(2, path, text);
    }
    fake_write(3, "/local/domain/3/data/palshm/call/3-77-s/1-1-1", text);
    while (palshm_listener_next(server.l, &call, 0) == 1) {
        heard |= call.domain == 3;
        palshm_listener_free(server.l, &call);
    }
    assert_true(heard);
    close_end(&server);
}

/* A guest's own region: quota, publishing, another's use of it, taking it back. */
static void test_own(void **state)
{
    palshm *a, *b;
    palshm_region *r;
    struct palshm_info list[8];

    (void)state;
    fake_domain(1);
    a = palshm_open();
    fake_domain(2);
    b = palshm_open();
    assert_int_equal(palshm_create(a, "mine", 16), -1);
    assert_int_equal(errno, EPERM);
    fake_quota(1, 16);
    assert_int_equal(palshm_create(a, "mine", 16), 0);
    assert_int_equal(palshm_create(a, "bad/name", 1), -1);
    assert_null(palshm_region_open(b, "1:mine"));
    assert_int_equal(palshm_list(a, list, 8), 2);
    assert_string_equal(list[1].name, "mine");
    assert_true(list[1].writable);
    assert_int_equal(palshm_allow(a, "mine", 2, 'r'), 0);
    r = palshm_region_open(b, "1:mine");
    assert_non_null(r);
    assert_false(palshm_region_info(r)->writable);
    assert_null(palshm_map(r, 0, 0, true));
    assert_int_equal(errno, EACCES);
    assert_non_null(palshm_map(r, 4096, 8192, false));
    assert_int_equal(palshm_list(b, list, 8), 2);
    assert_string_equal(list[1].name, "1:mine");
    assert_false(palshm_region_revoked(r));
    assert_int_equal(palshm_allow(a, "mine", 2, 'n'), 0);
    assert_true(palshm_region_revoked(r));
    palshm_region_close(r);
    assert_int_equal(palshm_allow(b, "mine", 2, 'w'), -1);
    assert_int_equal(palshm_destroy(b, "mine"), -1);
    assert_int_equal(palshm_destroy(a, "mine"), 0);
    assert_int_equal(fake_nodes("palshm/regions/mine"), 0);
    palshm_close(a);
    palshm_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stream, set_up, nothing_left),
        cmocka_unit_test_setup_teardown(test_back_pressure, set_up, nothing_left),
        cmocka_unit_test_setup_teardown(test_killed, set_up, nothing_left),
        cmocka_unit_test_setup_teardown(test_never_came, set_up, nothing_left),
        cmocka_unit_test_setup_teardown(test_domain_ends, set_up, nothing_left),
        cmocka_unit_test_setup_teardown(test_revoked, set_up, nothing_left),
        cmocka_unit_test_setup_teardown(test_many, set_up, nothing_left),
        cmocka_unit_test_setup_teardown(test_listeners, set_up, nothing_left),
        cmocka_unit_test_setup_teardown(test_forged, set_up, nothing_left),
        cmocka_unit_test_setup_teardown(test_flood, set_up, nothing_left),
        cmocka_unit_test_setup_teardown(test_own, set_up, nothing_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
