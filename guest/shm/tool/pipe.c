/* SPDX-License-Identifier: MIT */
/* send and recv: a pipe between two domains. Whoever sends ends well only when the other side has taken everything. */
#include "tool.h"

#include <errno.h>
#include <unistd.h>

static const char *service_of(const struct options *o)
{
    return o->service ? o->service : "pipe";
}

enum culprit { CHANNEL, INPUT, REGION };

/* Standard input into the channel. True: all of it. */
static bool send_input(palshm_channel *c, uint64_t *bytes, enum culprit *culprit)
{
    for (*culprit = CHANNEL;;) {
        void *at;
        ssize_t room = palshm_write_begin(c, &at), got;

        if (room < 0)
            return false;
        /* Straight into the ring. */
        got = read(0, at, room < 262144 ? (size_t)room : 262144);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            *culprit = errno == EFAULT ? REGION : INPUT;
        if (got <= 0)
            return got == 0;
        palshm_write_end(c, (size_t)got);
        *bytes += (uint64_t)got;
    }
}

static int failed_to_send(struct session *s, uint32_t domain, enum culprit culprit)
{
    if (culprit == INPUT)
        return complain(NULL, "standard input");
    if (culprit == REGION) {
        errno = ENODEV;
        return complain(NULL, "region %s was taken from this domain",
                        palshm_region_info(s->r)->name);
    }
    return complain(s->p, "sending to domain %u", domain);
}

int verb_send(const struct options *o, int argc, char **argv)
{
    struct session s;
    int status = session_open(&s, o);
    palshm_link *k;
    palshm_channel *c;
    uint64_t bytes = 0;
    enum culprit culprit;
    double began;
    char byte;

    (void)argc, (void)argv;
    if (status)
        return status;
    catch_revocation();
    k = palshm_connect(s.r, o->domain, service_of(o), o->size, o->wait_ms);
    if (!k) {
        status = complain(s.p, "nobody to send to");
        session_close(&s);
        return status;
    }
    c = palshm_channel_new(k);
    began = seconds_now();
    if (!send_input(c, &bytes, &culprit))
        status = failed_to_send(&s, palshm_link_peer(k), culprit);
    else if (palshm_shutdown(c) || palshm_read(c, &byte, 1) != 0)
        status = complain(s.p, "domain %u did not take everything", palshm_link_peer(k));
    if (!status)
        say_rate("sent", bytes, seconds_now() - began);
    palshm_channel_close(c);
    session_close(&s);
    return status;
}

static int receive(struct session *s, palshm_link *k)
{
    static char buffer[262144];
    palshm_channel *c = palshm_channel_new(k);
    uint64_t bytes = 0;
    double began = seconds_now();
    int status = 0;
    ssize_t got;

    while ((got = palshm_read(c, buffer, sizeof(buffer))) > 0) {
        bytes += (uint64_t)got;
        if (!write_all(1, buffer, (size_t)got)) {
            status = complain(NULL, "standard output");
            break;
        }
    }
    if (got < 0)
        status = complain(s->p, "receiving from domain %u", palshm_link_peer(k));
    if (!status) {
        say_rate("received", bytes, seconds_now() - began);
        palshm_channel_close(c);
    } else {
        palshm_link_close(k); /* without an end: the sender must not take it for one */
    }
    return status;
}

int verb_recv(const struct options *o, int argc, char **argv)
{
    struct session s;
    struct palshm_call call;
    palshm_listener *l;
    palshm_link *k = NULL;
    int status = session_open(&s, o), got;

    (void)argc, (void)argv;
    if (status)
        return status;
    catch_revocation();
    l = palshm_listen(s.r, service_of(o), 0, 0, false);
    if (!l) {
        status = complain(s.p, "cannot receive");
        session_close(&s);
        return status;
    }
    got = palshm_listener_next(l, &call, o->wait_ms);
    if (got == 0) {
        errno = ETIMEDOUT;
        status = complain(NULL, "nobody sends");
    } else if (got < 0 || !(k = palshm_accept(s.r, &call))) {
        status = complain(s.p, "cannot receive");
    }
    if (k)
        status = receive(&s, k);
    if (got > 0)
        palshm_listener_free(l, &call);
    palshm_listener_close(l);
    session_close(&s);
    return status;
}
