/* SPDX-License-Identifier: MIT */
#include "bus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xenevtchn.h>
#include <xenstore.h>
#include <xen/io/xenbus.h>

#include "device.h"
#include "machine.h"
#include "opener.h"

#define PATH         256u
#define TOKEN_BACK   "back"
#define MARK_OPEN    "open"
#define MARK_LOST    "lost"
#define WATCHES_MOST 512u
#define OURS_MOST    32u
#define RETRY_MS     50
#define ASK_MS       1000
#define RETRIES      600u /* half a minute */
#define BUSY_RETRIES 20u

static struct xs_handle *store;
static xenevtchn_handle *events;
static int opener_socket;
static struct device *all;

/* ---- nodes ---- */

static char *read_text(const char *directory, const char *name)
{
    char path[PATH];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return xs_read(store, XBT_NULL, path, NULL);
}

/* A decimal number and nothing else; false: there is none. */
static bool read_number(const char *directory, const char *name, uint32_t *value)
{
    char *text = read_text(directory, name), *end;
    unsigned long long number = 0;
    bool good = text && text[0] >= '0' && text[0] <= '9';

    if (good) {
        errno = 0;
        number = strtoull(text, &end, 10);
        good = !*end && !errno && number <= UINT32_MAX;
    }
    free(text);
    *value = (uint32_t)number;
    return good;
}

static void write_text(const char *directory, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void write_text(const char *directory, const char *name, const char *format, ...)
{
    char path[PATH], text[OPENER_WHY];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    if (!xs_write(store, XBT_NULL, path, text, (unsigned)strlen(text)))
        fprintf(stderr, "pal-blkd: the store takes no %s: %s\n", path, strerror(errno));
}

static unsigned state_of(const char *directory)
{
    uint32_t state;

    return read_number(directory, "state", &state) ? state : XenbusStateUnknown;
}

/* Only where the device's nodes are still there: writing would make those again that were removed meanwhile. */
static void write_while_there(const struct device *v, const char *path, const char *text)
{
    char state[PATH];
    xs_transaction_t t;
    unsigned length;

    snprintf(state, sizeof(state), "%s/state", v->back);
    do {
        char *now;

        t = xs_transaction_start(store);
        now = t ? xs_read(store, t, state, &length) : NULL;
        if (now)
            xs_write(store, t, path, text, (unsigned)strlen(text));
        free(now);
    } while (t && !xs_transaction_end(store, t, false) && errno == EAGAIN);
}

static void set_state(struct device *v, unsigned state)
{
    char path[PATH], text[4];

    snprintf(path, sizeof(path), "%s/state", v->back);
    snprintf(text, sizeof(text), "%u", state);
    write_while_there(v, path, text);
    v->state = state;
}

static void complain(struct device *v, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void complain(struct device *v, const char *format, ...)
{
    char path[PATH], text[OPENER_WHY];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    if (disk_may_complain(&v->disk))
        fprintf(stderr, "pal-blkd: domain %u disk %u: %s\n", v->disk.domain, v->disk.number, text);
    /* The next device of this name must not begin with it. */
    snprintf(path, sizeof(path), "/local/domain/0/error/backend/palblk/%u/%u/error", v->disk.domain,
             v->disk.number);
    write_while_there(v, path, text);
}

/* The mark of a disk that is open; NULL: it is not. It outlives this process. */
static void mark_taken(const struct device *v, const char *mark)
{
    char path[PATH];

    snprintf(path, sizeof(path), OPENER_TAKEN "/%u-%u", v->disk.domain, v->disk.number);
    if (mark)
        xs_write(store, XBT_NULL, path, mark, (unsigned)strlen(mark));
    else
        xs_rm(store, XBT_NULL, path);
}

static void lost(void *owner)
{
    struct device *v = owner;

    mark_taken(v, MARK_LOST);
    if (v->ending < DEVICE_GONE)
        complain(v, "the disk below failed a flush: answered writes may be lost; writes and "
                    "flushes fail until it is attached anew");
}

/* Did one that served it before see a flush fail? */
static bool was_lost(const struct device *v)
{
    char name[24], *mark;
    bool same;

    snprintf(name, sizeof(name), "%u-%u", v->disk.domain, v->disk.number);
    mark = read_text(OPENER_TAKEN, name);
    same = mark && !strcmp(mark, MARK_LOST);
    free(mark);
    return same;
}

/* ---- connecting ---- */

static void notify(struct disk *d)
{
    struct device *v = device_of(d);

    xenevtchn_notify(events, v->port);
}

static bool read_refs(const struct device *v, uint32_t refs[1 << RING_ORDER_MOST], unsigned *count)
{
    uint32_t order;
    char name[24];

    *count = 1;
    if (!read_number(v->front, "ring-page-order", &order))
        return read_number(v->front, "ring-ref", &refs[0]);
    if (order > RING_ORDER_MOST)
        return false;
    *count = 1u << order;
    for (unsigned i = 0; i < *count; i++) {
        snprintf(name, sizeof(name), "ring-ref%u", i);
        if (!read_number(v->front, name, &refs[i]))
            return false;
    }
    return true;
}

static bool map_ring(struct device *v)
{
    uint32_t refs[1 << RING_ORDER_MOST], remote;
    char *protocol = read_text(v->front, "protocol");
    bool fits = !protocol || !strcmp(protocol, "x86_64-abi");
    xenevtchn_port_or_error_t port;

    if (!fits)
        complain(v, "its driver speaks another protocol than x86_64-abi");
    free(protocol);
    if (!fits)
        return false;
    if (!read_refs(v, refs, &v->pages) || !read_number(v->front, "event-channel", &remote)) {
        complain(v, "its driver names no ring and event channel");
        return false;
    }
    v->ring = grant_map(v->disk.domain, refs, v->pages);
    if (!v->ring) {
        complain(v, "its ring is not granted: %s", strerror(errno));
        return false;
    }
    port = xenevtchn_bind_interdomain(events, v->disk.domain, remote);
    if (port < 0) {
        complain(v, "its event channel cannot be bound: %s", strerror(errno));
        grant_unmap(v->ring, v->pages);
        v->ring = NULL;
        return false;
    }
    v->port = (unsigned)port;
    return true;
}

static void connect_device(struct device *v)
{
    if (v->ring || !map_ring(v))
        return;
    disk_connect(&v->disk, v->ring, v->pages);
    if (v->state == XenbusStateConnected)
        ring_take_over(&v->disk.ring);
    else
        set_state(v, XenbusStateConnected);
    /* One before us may have answered without saying so. */
    notify(&v->disk);
}

static void disconnect(struct device *v)
{
    if (!v->ring)
        return;
    disk_forget(&v->disk);
    v->disk.connected = false;
    xenevtchn_unbind(events, v->port);
    grant_unmap(v->ring, v->pages);
    v->ring = NULL;
}

/* ---- ending ---- */

static void drop(struct device *v)
{
    struct device **link = &all;
    char path[PATH];

    while (*link != v)
        link = &(*link)->next;
    *link = v->next;
    snprintf(path, sizeof(path), "%s/state", v->front);
    xs_unwatch(store, path, v->token);
    mark_taken(v, NULL);
    free(v);
}

static void look_at(uint32_t domain, uint32_t number);

static void put_away(struct device *v, bool clean)
{
    uint32_t domain = v->disk.domain, number = v->disk.number;

    device_close(v, clean);
    drop(v);
    look_at(domain, number); /* it may have come back meanwhile */
}

static void flushed(struct volume_flush *f, int result)
{
    struct device *v = (struct device *)(void *)((char *)f - offsetof(struct device, flush));

    if (result)
        fprintf(stderr, "pal-blkd: domain %u disk %u: the last flush failed: %s\n", v->disk.domain,
                v->disk.number, strerror(-result));
    put_away(v, !result);
}

/* Nothing is under way any more. */
static void idle(struct disk *d)
{
    struct device *v = device_of(d);

    disconnect(v);
    if (v->ending == DEVICE_STAYS) {
        set_state(v, XenbusStateClosed);
        return;
    }
    if (v->ending == DEVICE_GONE)
        return; /* being flushed */
    v->ending = DEVICE_GONE;
    if (v->online)
        set_state(v, XenbusStateClosed);
    if (!d->volume || d->volume->fd < 0) {
        put_away(v, true);
        return;
    }
    v->flush.done = flushed;
    volume_flush(d->volume, &v->flush);
}

static void end(struct device *v, enum device_ending how)
{
    if (v->ending < how)
        v->ending = how;
    if (v->ring)
        disk_close(&v->disk);
    else
        idle(&v->disk);
}

/* ---- the guest's half ---- */

static void front_changed(struct device *v)
{
    uint32_t online = 0;

    if (!v->disk.volume || v->ending > DEVICE_STAYS)
        return;
    switch (state_of(v->front)) {
    case XenbusStateInitialising:
        if (v->state == XenbusStateClosed) {
            v->ending = DEVICE_RUNS;
            set_state(v, XenbusStateInitWait);
        }
        break;
    case XenbusStateInitialised:
    case XenbusStateConnected:
        if (v->state == XenbusStateInitWait || v->state == XenbusStateConnected)
            connect_device(v);
        break;
    case XenbusStateClosing:
        if (v->state != XenbusStateClosing && v->state != XenbusStateClosed)
            set_state(v, XenbusStateClosing);
        break;
    case XenbusStateClosed:
    case XenbusStateUnknown:
        v->online = true; /* its state is still read */
        end(v, read_number(v->back, "online", &online) && online ? DEVICE_STAYS : DEVICE_ENDS);
        break;
    default:
        break;
    }
}

/* ---- our half ---- */

static void offer(struct device *v)
{
    const struct volume *volume = v->disk.volume;

    write_text(v->back, "feature-flush-cache", "1");
    write_text(v->back, "feature-barrier", "1");
    write_text(v->back, "feature-discard", "%u", !volume->read_only);
    write_text(v->back, "discard-granularity", "%u", OVERLAY_CLUSTER);
    write_text(v->back, "discard-alignment", "0");
    write_text(v->back, "discard-secure", "0");
    write_text(v->back, "feature-persistent", "0");
    write_text(v->back, "feature-max-indirect-segments", "%u", REQUEST_SEGMENTS);
    write_text(v->back, "max-ring-page-order", "%u", RING_ORDER_MOST);
    write_text(v->back, "sectors", "%" PRIu64, volume->size / SECTOR);
    write_text(v->back, "sector-size", "%u", SECTOR);
    write_text(v->back, "physical-sector-size", "%u", volume->overlay ? OVERLAY_CLUSTER : SECTOR);
    write_text(v->back, "info", "%u", volume->read_only ? VDISK_READONLY : 0);
}

/* Open what it stands for; opened() comes when it is. */
static void open_images(struct device *v)
{
    static uint32_t serial;
    struct opener_question q = {v->disk.domain, v->disk.number, 0};

    if (v->asked)
        return;
    serial += serial == UINT32_MAX ? 2 : 1;
    v->asked = q.serial = serial;
    if (!opener_ask(opener_socket, &q))
        exit(1); /* whoever starts us is gone */
}

/* In use: by what an earlier server had begun, however long that takes, if the guest waits for it. */
static bool try_again(struct device *v, const char *why)
{
    bool again = v->tries < RETRIES || state_of(v->back) == XenbusStateConnected;

    if (again && v->tries++ == RETRIES)
        complain(v, "%s; waiting", why);
    return again;
}

static void opened(struct device *v, struct opener_answer *a, const int files[OPENER_FILES])
{
    char path[PATH];

    if ((a->error == EAGAIN && try_again(v, a->why)) ||
        (a->error == EBUSY && v->tries++ < BUSY_RETRIES))
        return;
    v->tries = 0;
    if (a->error || device_open(v, a, files)) {
        complain(v, "%s", a->why);
        v->failed = true;
        return;
    }
    v->disk.volume->lost = was_lost(v);
    v->disk.volume->on_loss = lost;
    v->disk.volume->owner = v;
    mark_taken(v, v->disk.volume->lost ? MARK_LOST : MARK_OPEN);
    v->state = state_of(v->back);
    if (v->state != XenbusStateConnected)
        offer(v);
    if (v->state == XenbusStateInitialising)
        set_state(v, XenbusStateInitWait);
    snprintf(path, sizeof(path), "%s/state", v->front);
    xs_watch(store, path, v->token); /* fires at once */
}

static struct device *find(uint32_t domain, uint32_t number)
{
    struct device *v = all;

    while (v && (v->disk.domain != domain || v->disk.number != number))
        v = v->next;
    return v;
}

void bus_opened(void)
{
    struct opener_answer a;
    int files[OPENER_FILES];
    struct device *v;

    if (!opener_hear(opener_socket, &a, files))
        exit(0); /* it is gone */
    v = find(a.question.domain, a.question.number);
    if (v && v->asked == a.question.serial) {
        v->asked = 0;
        opened(v, &a, files);
    } else { /* the device went meanwhile */
        for (unsigned i = 0; i < OPENER_FILES; i++) {
            if (files[i] >= 0)
                close(files[i]);
        }
    }
}

static void add(uint32_t domain, uint32_t number, const char *back, const char *front)
{
    struct device *v = calloc(1, sizeof(*v));

    if (!v)
        return;
    v->disk.domain = domain;
    v->disk.number = number;
    v->disk.notify = notify;
    v->disk.idle = idle;
    snprintf(v->back, sizeof(v->back), "%s", back);
    snprintf(v->front, sizeof(v->front), "%s", front);
    snprintf(v->token, sizeof(v->token), "%u/%u", domain, number);
    v->next = all;
    all = v;
    open_images(v);
}

/* The device came, went or was changed. */
static void look_at(uint32_t domain, uint32_t number)
{
    struct device *v = find(domain, number);
    char back[DEVICE_PATH], expected[64], *front;
    uint32_t online;

    snprintf(back, sizeof(back), OPENER_BACKEND "/%u/%u", domain, number);
    snprintf(expected, sizeof(expected), "/local/domain/%u/device/", domain);
    front = read_text(back, "frontend");
    if (front && (strncmp(front, expected, strlen(expected)) || strlen(front) >= DEVICE_PATH)) {
        free(front);
        front = NULL;
    }
    /* One that was taken away does not come back, whether its nodes are still there or were removed while we looked. */
    unsigned state = front ? state_of(back) : XenbusStateUnknown;
    bool over = state == XenbusStateUnknown ||
                (state == XenbusStateClosed && !(read_number(back, "online", &online) && online));
    if (!v && front && !over) {
        add(domain, number, back, front);
    } else if (v && v->failed && front && !over) {
        v->failed = false; /* somebody wrote to its nodes, or made them anew: it may open now */
        open_images(v);
    } else if (v && !front && !v->disk.volume) {
        drop(v);
    } else if (v && !front && v->ending < DEVICE_ENDS) {
        v->online = false;
        end(v, DEVICE_ENDS);
    }
    free(front);
}

static void look_at_domain(uint32_t domain)
{
    char path[PATH], **list;
    unsigned count;

    snprintf(path, sizeof(path), OPENER_BACKEND "/%u", domain);
    list = xs_directory(store, XBT_NULL, path, &count);
    for (unsigned i = 0; list && i < count; i++)
        look_at(domain, (uint32_t)strtoul(list[i], NULL, 10));
    free(list);
    for (struct device *v = all, *next; v; v = next) {
        next = v->next;
        if (v->disk.domain == domain)
            look_at(domain, v->disk.number);
    }
}

/* Marks of disks that an earlier server had open and this one knows nothing of. */
static void forget_marks(void)
{
    unsigned count, domain, number;
    char **list = xs_directory(store, XBT_NULL, OPENER_TAKEN, &count), path[PATH];

    for (unsigned i = 0; list && i < count; i++) {
        if (sscanf(list[i], "%u-%u", &domain, &number) != 2 || find(domain, number))
            continue;
        snprintf(path, sizeof(path), OPENER_TAKEN "/%u-%u", domain, number);
        xs_rm(store, XBT_NULL, path);
    }
    free(list);
}

static void look_at_all(void)
{
    unsigned count;
    char **list = xs_directory(store, XBT_NULL, OPENER_BACKEND, &count);

    for (unsigned i = 0; list && i < count; i++)
        look_at_domain((uint32_t)strtoul(list[i], NULL, 10));
    free(list);
    for (struct device *v = all, *next; v; v = next) {
        next = v->next;
        look_at(v->disk.domain, v->disk.number);
    }
    forget_marks();
}

static void handle_watch(const char *path, const char *token)
{
    unsigned domain, number;
    struct device *v;

    if (!strcmp(token, TOKEN_BACK)) {
        const char *rest = path + strlen(OPENER_BACKEND);

        switch (strlen(path) > strlen(OPENER_BACKEND) ? sscanf(rest, "/%u/%u", &domain, &number)
                                                      : 0) {
        case 2:
            look_at(domain, number);
            break;
        case 1:
            look_at_domain(domain);
            break;
        default:
            look_at_all();
        }
    } else if (sscanf(token, "%u/%u", &domain, &number) == 2) {
        v = find(domain, number);
        if (v)
            v->changed = true;
    }
}

void bus_watch(void)
{
    char **watch = NULL;

    /* A guest can write to its half for ever. So many are taken at once that they do not pile up; what they tell of is looked at
     * once; then the disks have their turn. */
    for (unsigned i = 0, ours = 0; i < WATCHES_MOST && ours < OURS_MOST; i++) {
        watch = xs_check_watch(store);
        if (!watch)
            break;
        ours += !strcmp(watch[XS_WATCH_TOKEN], TOKEN_BACK);
        handle_watch(watch[XS_WATCH_PATH], watch[XS_WATCH_TOKEN]);
        free(watch);
    }
    if (!watch && errno != EAGAIN) {
        fprintf(stderr, "pal-blkd: the store is gone: %s\n", strerror(errno));
        exit(1);
    }
    for (struct device *v = all, *next; v; v = next) {
        next = v->next;
        if (v->changed) {
            v->changed = false;
            front_changed(v);
        }
    }
}

void bus_event(void)
{
    xenevtchn_port_or_error_t port = xenevtchn_pending(events);

    if (port < 0)
        return;
    for (struct device *v = all; v; v = v->next) {
        if (v->ring && v->port == (unsigned)port)
            disk_wake(&v->disk);
    }
    xenevtchn_unmask(events, (evtchn_port_t)port);
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int bus_patience(void)
{
    int patience = -1;

    for (struct device *v = all; v; v = v->next) {
        if (v->tries)
            return RETRY_MS;
        if (v->ring)
            patience = ASK_MS;
    }
    return patience;
}

void bus_retry(void)
{
    static int64_t last;

    if (now_ms() - last < RETRY_MS)
        return;
    last = now_ms();
    for (struct device *v = all, *next; v; v = next) {
        next = v->next;
        if (v->tries)
            open_images(v);
    }
}

int bus_open(struct xs_handle *xs, struct xenevtchn_handle *channel, int opener)
{
    store = xs;
    events = channel;
    opener_socket = opener;
    write_text(OPENER_TAKEN, "running", "%d", getpid());
    return xs_watch(store, OPENER_BACKEND, TOKEN_BACK) ? 0 : -1;
}
