/* SPDX-License-Identifier: MIT */
#include "fake.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/pal.h"

enum { NODES = 4096, PORTS = 512, SLOTS = 8, SEAMS = 128, READERS = 33 };

struct node {
    char path[SEAM_PATH], value[SEAM_VALUE];
    uint32_t owner, reader[READERS];
    unsigned readers;
    bool used, all;
};
struct watch {
    struct watch *next;
    char path[SEAM_PATH], token[64];
};
struct event {
    struct event *next;
    char path[SEAM_PATH], token[64];
};
struct seam {
    uint32_t domain;
    bool dead, used;
    struct watch *watches;
    struct event *first, **last;
    int fd;
};
struct port {
    bool used, rang, masked;
    uint32_t domain, remote; /* who may bind, or is bound */
    unsigned peer;           /* port + 1, 0: unbound */
    unsigned references;     /* the bell, and a mapping that rings at its end */
    struct seam_bell *bell;
};
struct seam_bell {
    struct seam *seam;
    int fd;
};
struct seam_mapping {
    struct seam_mapping *next;
    struct seam *seam;
    void *at;
    size_t size;
    unsigned port; /* + 1 */
};
static struct region {
    bool used;
    char name[PAL_REGION_NAME];
    uint32_t creator;
    uint64_t pages, generation;
    int fd;
    uint8_t *memory;
    uint32_t members, member[PAL_REGION_MEMBERS], access[PAL_REGION_MEMBERS];
} regions[SLOTS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node nodes[NODES];
static struct port ports[PORTS];
static struct seam *seams[SEAMS];
static struct seam_mapping *mappings;
static uint64_t quota[16], generations = 1000;
static __thread uint32_t current;

void fake_domain(uint32_t domain)
{
    current = domain;
}

static void signal_fd(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) != sizeof(one))
        abort();
}

static void drain_fd(int fd)
{
    uint64_t count;

    if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        abort();
}

/* ---- the store ---- */

static bool may_read(const struct node *n, uint32_t domain)
{
    if (!domain || n->all || n->owner == domain)
        return true;
    for (unsigned i = 0; i < n->readers; i++)
        if (n->reader[i] == domain)
            return true;
    return false;
}

static struct node *find(const char *path)
{
    for (int i = 0; i < NODES; i++)
        if (nodes[i].used && !strcmp(nodes[i].path, path))
            return &nodes[i];
    return NULL;
}

static void queue(struct seam *s, const char *path, const char *token)
{
    struct event *e = calloc(1, sizeof(*e));

    snprintf(e->path, sizeof(e->path), "%s", path);
    snprintf(e->token, sizeof(e->token), "%s", token);
    *s->last = e;
    s->last = &e->next;
    signal_fd(s->fd);
}

static bool below(const char *path, const char *top)
{
    size_t length = strlen(top);

    return !strncmp(path, top, length) && (!path[length] || path[length] == '/');
}

/* The watches of those who may read the node. */
static void fire(const struct node *n)
{
    for (int i = 0; i < SEAMS; i++)
        if (seams[i] && !seams[i]->dead && may_read(n, seams[i]->domain))
            for (struct watch *w = seams[i]->watches; w; w = w->next)
                if (below(n->path, w->path))
                    queue(seams[i], n->path, w->token);
}

static void full_path(struct seam *s, const char *path, char *full)
{
    if (*path == '/')
        snprintf(full, SEAM_PATH, "%s", path);
    else
        snprintf(full, SEAM_PATH, "/local/domain/%u/%s", s->domain, path);
}

/* The owner of what is made there; who may make it: domain 0 all, others under their own data. */
static bool owner_of(const char *path, uint32_t by, uint32_t *owner)
{
    char own[64];

    snprintf(own, sizeof(own), "/local/domain/%u/data", by);
    *owner = by;
    return !by || below(path, own);
}

static bool good_path(const char *path)
{
    return strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/_@") ==
           strlen(path);
}

static int put(uint32_t by, const char *path, const char *value)
{
    struct node *n = find(path);
    char parent[SEAM_PATH];
    uint32_t owner, parents;

    if (!good_path(path))
        return -EINVAL;
    if (!owner_of(path, by, &owner))
        return -EACCES;
    snprintf(parent, sizeof(parent), "%s", path);
    *strrchr(parent, '/') = 0;
    if (!n && *parent && !find(parent))
        put(owner_of(parent, by, &parents) ? by : 0, parent, "");
    for (int i = 0; i < NODES && !n; i++)
        if (!nodes[i].used) {
            n = &nodes[i];
            memset(n, 0, sizeof(*n));
            n->used = true;
            n->owner = owner;
            snprintf(n->path, sizeof(n->path), "%s", path);
        }
    if (!n)
        return -ENOSPC;
    snprintf(n->value, sizeof(n->value), "%s", value);
    fire(n);
    return 0;
}

static void cut(const char *path)
{
    for (int i = 0; i < NODES; i++)
        if (nodes[i].used && below(nodes[i].path, path)) {
            struct node gone = nodes[i];

            nodes[i].used = false;
            fire(&gone);
        }
}

int seam_open(struct seam **out)
{
    struct seam *s = calloc(1, sizeof(*s));

    s->domain = current;
    s->last = &s->first;
    s->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < SEAMS; i++)
        if (!seams[i]) {
            seams[i] = s;
            break;
        }
    pthread_mutex_unlock(&lock);
    *out = s;
    return 0;
}

static void leave(struct seam *s)
{
    while (s->watches) {
        struct watch *w = s->watches;

        s->watches = w->next;
        free(w);
    }
    while (s->first) {
        struct event *e = s->first;

        s->first = e->next;
        free(e);
    }
    s->last = &s->first;
    for (int i = 0; i < SEAMS; i++)
        if (seams[i] == s)
            seams[i] = NULL;
}

void seam_close(struct seam *s)
{
    pthread_mutex_lock(&lock);
    leave(s);
    pthread_mutex_unlock(&lock);
    close(s->fd);
    free(s);
}

int seam_read(struct seam *s, const char *path, char *value, size_t room)
{
    char full[SEAM_PATH];
    int got = -ENOENT;
    struct node *n;

    full_path(s, path, full);
    pthread_mutex_lock(&lock);
    if (!strcmp(path, "domid"))
        got = snprintf(value, room, "%u", s->domain);
    else if ((n = find(full)))
        got = may_read(n, s->domain) ? snprintf(value, room, "%s", n->value) : -EACCES;
    pthread_mutex_unlock(&lock);
    return got;
}

int seam_write(struct seam *s, const char *path, const char *value)
{
    int error;

    pthread_mutex_lock(&lock);
    error = s->dead ? -EIO : put(s->domain, path, value);
    pthread_mutex_unlock(&lock);
    return error;
}

int seam_remove(struct seam *s, const char *path)
{
    uint32_t owner;
    int error;

    pthread_mutex_lock(&lock);
    error = s->dead                              ? -EIO
            : !owner_of(path, s->domain, &owner) ? -EACCES
            : find(path)                         ? 0
                                                 : -ENOENT;
    if (!error)
        cut(path);
    pthread_mutex_unlock(&lock);
    return error;
}

int seam_list(struct seam *s, const char *path, char *names, size_t room)
{
    size_t length = strlen(path), used = 0;
    struct node *n;
    int error = 0;

    pthread_mutex_lock(&lock);
    n = find(path);
    if (!n || !may_read(n, s->domain))
        error = n ? -EACCES : -ENOENT;
    for (int i = 0; i < NODES && !error; i++) {
        const char *rest = nodes[i].path + length + 1;

        if (!nodes[i].used || !below(nodes[i].path, path) || !nodes[i].path[length] ||
            strchr(rest, '/'))
            continue;
        if (used + strlen(rest) + 2 > room)
            error = -ENOSPC;
        else
            used += (size_t)sprintf(names + used, "%s", rest) + 1;
    }
    if (!error)
        names[used] = 0;
    pthread_mutex_unlock(&lock);
    return error ? error : (int)used;
}

int seam_share(struct seam *s, const char *path, uint32_t owner, const uint32_t *readers,
               size_t count)
{
    struct node *n, before;
    int error = 0;

    (void)owner;
    pthread_mutex_lock(&lock);
    n = find(path);
    if (!n || (s->domain && n->owner != s->domain))
        error = n ? -EACCES : -ENOENT;
    else {
        before = *n;
        n->readers = 0;
        for (size_t i = 0; i < count && i < READERS; i++)
            n->reader[n->readers++] = readers[i];
        fire(n);
        for (unsigned i = 0; i < before.readers; i++)
            for (int j = 0; j < SEAMS; j++)
                if (seams[j] && seams[j]->domain == before.reader[i] &&
                    !may_read(n, before.reader[i]))
                    for (struct watch *w = seams[j]->watches; w; w = w->next)
                        if (below(path, w->path))
                            queue(seams[j], path, w->token);
    }
    pthread_mutex_unlock(&lock);
    return error;
}

int seam_watch(struct seam *s, const char *path, const char *token)
{
    struct watch *w;

    if (!good_path(path))
        return -EINVAL;
    w = calloc(1, sizeof(*w));
    snprintf(w->path, sizeof(w->path), "%s", path);
    snprintf(w->token, sizeof(w->token), "%s", token);
    pthread_mutex_lock(&lock);
    w->next = s->watches;
    s->watches = w;
    queue(s, path, token);
    pthread_mutex_unlock(&lock);
    return 0;
}

int seam_unwatch(struct seam *s, const char *path, const char *token)
{
    pthread_mutex_lock(&lock);
    for (struct watch **w = &s->watches; *w; w = &(*w)->next)
        if (!strcmp((*w)->path, path) && !strcmp((*w)->token, token)) {
            struct watch *gone = *w;

            *w = gone->next;
            free(gone);
            break;
        }
    pthread_mutex_unlock(&lock);
    return 0;
}

int seam_event(struct seam *s, char *path, char *token, size_t room)
{
    struct event *e;

    pthread_mutex_lock(&lock);
    drain_fd(s->fd);
    e = s->first;
    if (e) {
        s->first = e->next;
        if (!s->first)
            s->last = &s->first;
        else
            signal_fd(s->fd);
        snprintf(path, room, "%s", e->path);
        snprintf(token, room, "%s", e->token);
        free(e);
    }
    pthread_mutex_unlock(&lock);
    return e != NULL;
}

int seam_fd(struct seam *s)
{
    return s->fd;
}

bool seam_pending(struct seam *s)
{
    (void)s;
    return false; /* the descriptor tells of all */
}

/* ---- event channels ---- */

int seam_bell_open(struct seam *s, struct seam_bell **out)
{
    struct seam_bell *b = calloc(1, sizeof(*b));

    b->seam = s;
    b->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    *out = b;
    return 0;
}

static void rang(struct port *p)
{
    p->rang = true;
    if (p->bell && !p->masked)
        signal_fd(p->bell->fd);
}

static void ring(unsigned port)
{
    if (port && ports[port - 1].peer)
        rang(&ports[ports[port - 1].peer - 1]);
}

static void release(unsigned port)
{
    struct port *p = &ports[port - 1];

    if (--p->references)
        return;
    if (p->peer)
        ports[p->peer - 1].peer = 0;
    memset(p, 0, sizeof(*p));
}

static void close_ports(struct seam_bell *b)
{
    for (unsigned i = 1; i < PORTS; i++)
        if (ports[i].used && ports[i].bell == b) {
            ports[i].bell = NULL;
            release(i + 1);
        }
}

void seam_bell_close(struct seam_bell *b)
{
    pthread_mutex_lock(&lock);
    close_ports(b);
    pthread_mutex_unlock(&lock);
    close(b->fd);
    free(b);
}

int seam_bell_fd(struct seam_bell *b)
{
    return b->fd;
}

static unsigned new_port(struct seam_bell *b, uint32_t remote)
{
    for (unsigned i = 1; i < PORTS; i++)
        if (!ports[i].used) {
            ports[i] = (struct port){.used = true,
                                     .domain = b->seam->domain,
                                     .remote = remote,
                                     .references = 1,
                                     .bell = b};
            return i;
        }
    abort();
}

int seam_bell_offer(struct seam_bell *b, uint32_t domain)
{
    unsigned port;

    pthread_mutex_lock(&lock);
    port = new_port(b, domain);
    pthread_mutex_unlock(&lock);
    return (int)port;
}

int seam_bell_bind(struct seam_bell *b, uint32_t domain, uint32_t remote)
{
    int port = -EINVAL;

    pthread_mutex_lock(&lock);
    if (remote && remote < PORTS && ports[remote].used && ports[remote].domain == domain &&
        ports[remote].remote == b->seam->domain && !ports[remote].peer) {
        port = (int)new_port(b, domain);
        ports[port].peer = remote + 1;
        ports[remote].peer = (unsigned)port + 1;
        rang(&ports[port]);
    }
    pthread_mutex_unlock(&lock);
    return port;
}

int seam_bell_ring(struct seam_bell *b, uint32_t port)
{
    pthread_mutex_lock(&lock);
    if (!b->seam->dead && port && port < PORTS && ports[port].bell == b)
        ring(port + 1);
    pthread_mutex_unlock(&lock);
    return 0;
}

int seam_bell_take(struct seam_bell *b, uint32_t *out, size_t room)
{
    size_t n = 0;

    pthread_mutex_lock(&lock);
    drain_fd(b->fd);
    for (unsigned i = 1; i < PORTS && n < room; i++)
        if (ports[i].used && ports[i].bell == b && ports[i].rang && !ports[i].masked) {
            ports[i].rang = false;
            ports[i].masked = true;
            out[n++] = i;
        }
    pthread_mutex_unlock(&lock);
    return (int)n;
}

int seam_bell_arm(struct seam_bell *b, const uint32_t *list, size_t n)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n; i++)
        if (list[i] && list[i] < PORTS && ports[list[i]].bell == b) {
            ports[list[i]].masked = false;
            if (ports[list[i]].rang)
                signal_fd(b->fd);
        }
    pthread_mutex_unlock(&lock);
    return 0;
}

/* ---- regions ---- */

static uint32_t access_of(const struct region *r, uint32_t domain)
{
    for (uint32_t i = 0; i < r->members; i++)
        if (r->member[i] == domain)
            return r->access[i];
    return 0;
}

static void make(struct region *r, const char *name, uint32_t creator, uint64_t generation,
                 uint64_t pages)
{
    memset(r, 0, sizeof(*r));
    r->used = true;
    snprintf(r->name, sizeof(r->name), "%s", name);
    r->creator = creator;
    r->generation = generation;
    r->pages = pages;
    r->fd = memfd_create("region", MFD_CLOEXEC);
    if (ftruncate(r->fd, (off_t)(pages * 4096)))
        abort();
    /* Between pages that nobody may touch. */
    r->memory =
        (uint8_t *)mmap(NULL, (pages + 2) * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) +
        4096;
    if (mmap(r->memory, pages * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, r->fd, 0) !=
        r->memory)
        abort();
}

static void unmake(struct region *r)
{
    munmap(r->memory - 4096, (r->pages + 2) * 4096);
    close(r->fd);
    r->used = false;
}

int seam_map(struct seam *s, uint32_t slot, uint64_t page, uint64_t pages, bool writable,
             struct seam_bell *notify, uint32_t port, void **at, struct seam_mapping **out)
{
    struct seam_mapping *m;
    struct region *r = &regions[slot];
    int error = 0;

    pthread_mutex_lock(&lock);
    if (slot >= SLOTS || !r->used || page + pages > r->pages ||
        access_of(r, s->domain) < 1u + writable)
        error = -EINVAL;
    else {
        m = calloc(1, sizeof(*m));
        m->seam = s;
        m->size = pages * 4096;
        /* All mappings of a region are one, so that a race of two threads is seen as one. */
        m->at = r->memory + page * 4096;
        if (notify) {
            m->port = port + 1;
            ports[port].references++;
        }
        m->next = mappings;
        mappings = m;
        *at = m->at;
        *out = m;
    }
    pthread_mutex_unlock(&lock);
    return error;
}

static void unmap(struct seam_mapping *m)
{
    struct seam_mapping **at = &mappings;

    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    if (m->port) {
        ring(m->port);
        release(m->port);
    }
    free(m);
}

void seam_unmap(struct seam_mapping *m)
{
    pthread_mutex_lock(&lock);
    unmap(m);
    pthread_mutex_unlock(&lock);
}

static long allow(struct region *r, uint32_t domain, uint32_t access)
{
    for (uint32_t i = 0; i < r->members; i++)
        if (r->member[i] == domain) {
            r->access[i] = access;
            if (!access) {
                r->members--;
                r->member[i] = r->member[r->members];
                r->access[i] = r->access[r->members];
            }
            return 0;
        }
    if (access) {
        r->member[r->members] = domain;
        r->access[r->members++] = access;
    }
    return 0;
}

static long info(uint32_t domain, struct pal_region_info *op)
{
    for (; op->slot < SLOTS; op->slot++) {
        struct region *r = &regions[op->slot];

        if (!r->used || (r->creator != domain && !access_of(r, domain)))
            continue;
        op->creator = r->creator;
        op->pages = r->pages;
        op->generation = r->generation;
        memcpy(op->name, r->name, sizeof(op->name));
        op->members = r->members;
        for (uint32_t i = 0; i < r->members; i++)
            op->member[i] = (struct pal_region_member){r->member[i], r->access[i], 0};
        return 0;
    }
    return -ENOENT;
}

static long region_op(struct seam *s, unsigned command, void *argument)
{
    struct pal_region_create *create = argument;
    struct pal_region_allow *change = argument;
    struct pal_region_destroy *destroy = argument;

    switch (command) {
    case PALOP_region_create:
        if (create->pages > quota[s->domain])
            return -EPERM;
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            if (!regions[slot].used) {
                make(&regions[slot], create->name, s->domain, ++generations, create->pages);
                return slot;
            }
        return -ENOSPC;
    case PALOP_region_allow:
        if (change->slot >= SLOTS || !regions[change->slot].used ||
            regions[change->slot].creator != s->domain)
            return -ENOENT;
        return allow(&regions[change->slot], change->domain, change->access);
    case PALOP_region_destroy:
        if (destroy->slot >= SLOTS || !regions[destroy->slot].used ||
            regions[destroy->slot].creator != s->domain)
            return -ENOENT;
        unmake(&regions[destroy->slot]);
        return 0;
    case PALOP_region_info:
        return info(s->domain, argument);
    }
    return -EPERM;
}

long seam_region_op(struct seam *s, unsigned command, void *argument, size_t size)
{
    long result;

    (void)size;
    pthread_mutex_lock(&lock);
    result = region_op(s, command, argument);
    pthread_mutex_unlock(&lock);
    return result;
}

/* ---- what tests do to it ---- */

static void list_region(const struct region *r, uint32_t slot, uint32_t member, uint32_t access)
{
    char base[SEAM_PATH - 64], path[SEAM_PATH], text[SEAM_VALUE], *at = text;
    struct {
        const char *name;
        char value[SEAM_VALUE];
    } row[5] = {{"slot", ""}, {"pages", ""}, {"access", ""}, {"generation", ""}, {"members", ""}};

    snprintf(base, sizeof(base), "/local/domain/%u/pal/regions/%s", member, r->name);
    for (uint32_t i = 0; i < r->members; i++)
        at += sprintf(at, "%s%u", i ? " " : "", r->member[i]);
    sprintf(row[0].value, "%u", slot);
    sprintf(row[1].value, "%llu", (unsigned long long)r->pages);
    sprintf(row[2].value, "%s", access == PAL_REGION_write ? "rw" : "ro");
    sprintf(row[3].value, "%llu", (unsigned long long)r->generation);
    snprintf(row[4].value, SEAM_VALUE, "%s", text);
    for (int i = -1; i < 5; i++) {
        struct node *n;

        snprintf(path, sizeof(path), "%s%s%s", base, i < 0 ? "" : "/", i < 0 ? "" : row[i].name);
        put(0, path, i < 0 ? "" : row[i].value);
        n = find(path);
        n->readers = 1;
        n->reader[0] = member;
        fire(n);
    }
    *strrchr(base, '/') = 0; /* the list itself */
    find(base)->readers = 1;
    find(base)->reader[0] = member;
}

void fake_region(const char *name, uint32_t slot, uint64_t generation, uint64_t pages,
                 const uint32_t *members, unsigned n, uint32_t reader)
{
    pthread_mutex_lock(&lock);
    make(&regions[slot], name, PALSHM_CONTROL, generation, pages);
    for (unsigned i = 0; i < n; i++)
        allow(&regions[slot], members[i],
              members[i] == reader ? PAL_REGION_read : PAL_REGION_write);
    for (unsigned i = 0; i < n; i++)
        list_region(&regions[slot], slot, members[i], regions[slot].access[i]);
    pthread_mutex_unlock(&lock);
}

void fake_revoke(const char *name, uint32_t member)
{
    char path[SEAM_PATH];

    pthread_mutex_lock(&lock);
    snprintf(path, sizeof(path), "/local/domain/%u/pal/regions/%s", member, name);
    cut(path);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        if (regions[slot].used && !strcmp(regions[slot].name, name))
            allow(&regions[slot], member, 0);
    pthread_mutex_unlock(&lock);
}

/* ring_them: its kernel lives on and does for it what a process leaves behind. */
static void die(struct seam *s, bool ring_them)
{
    s->dead = true;
    for (struct seam_mapping *m = mappings, *next; m; m = next) {
        next = m->next;
        if (m->seam != s)
            continue;
        /* The library's own record is still there, so it is only cut off; its memory stays mapped. */
        if (m->port && ring_them)
            ring(m->port);
    }
    for (unsigned i = 1; i < PORTS; i++)
        if (ports[i].used && ports[i].bell && ports[i].bell->seam == s && ports[i].peer) {
            ports[ports[i].peer - 1].peer = 0;
            ports[i].peer = 0;
        }
    leave(s);
}

void fake_kill(struct seam *s)
{
    pthread_mutex_lock(&lock);
    die(s, true);
    pthread_mutex_unlock(&lock);
}

void fake_end_domain(uint32_t domain)
{
    char path[SEAM_PATH];

    pthread_mutex_lock(&lock);
    for (int i = 0; i < SEAMS; i++)
        if (seams[i] && seams[i]->domain == domain)
            die(seams[i], false);
    snprintf(path, sizeof(path), "/local/domain/%u", domain);
    cut(path);
    pthread_mutex_unlock(&lock);
}

void fake_write(uint32_t domain, const char *path, const char *value)
{
    pthread_mutex_lock(&lock);
    put(domain, path, value);
    if (find(path)) {
        find(path)->all = true;
        fire(find(path));
    }
    pthread_mutex_unlock(&lock);
}

uint8_t *fake_memory(uint32_t slot)
{
    return regions[slot].memory;
}

void fake_quota(uint32_t domain, uint64_t pages)
{
    quota[domain] = pages;
}

unsigned fake_nodes(const char *prefix)
{
    unsigned n = 0;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < NODES; i++)
        n += nodes[i].used && strstr(nodes[i].path, prefix);
    pthread_mutex_unlock(&lock);
    return n;
}

unsigned fake_ports(void)
{
    unsigned n = 0;

    for (int i = 0; i < PORTS; i++)
        n += ports[i].used;
    return n;
}

unsigned fake_mappings(void)
{
    unsigned n = 0;

    for (struct seam_mapping *m = mappings; m; m = m->next)
        n++;
    return n;
}

void fake_reset(void)
{
    for (int i = 0; i < SLOTS; i++)
        if (regions[i].used)
            unmake(&regions[i]);
    memset(nodes, 0, sizeof(nodes));
    memset(quota, 0, sizeof(quota));
}
