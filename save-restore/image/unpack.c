/* SPDX-License-Identifier: MIT */
/*
 * All pages out of the chunks, in parallel. The caller's thread reads and checks the chunks' bodies in
 * their order (what may follow what is decided there); workers take the data: read it themselves where
 * the image is a file, check it, unpack it into the sink's room. Repeats are copied when all chunks up
 * to their own have been placed; the first unfinished chunk never waits, so somebody always gets on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "image/limits.h"
#include "image/reader_state.h"
#include "image/threads.h"

#define PAGE  IMAGE_PAGE_SIZE
#define ROOM  ((size_t)IMAGE_CHUNK_PAGES * PAGE)
#define SPARE 4u

/* One chunk on its way. */
struct job {
    enum { JOB_FREE, JOB_READ, JOB_TAKEN } state; /* under the lock, as is placed */
    bool placed;                                  /* its data is where it belongs */
    struct image_record record;
    uint64_t at; /* where the record is, and its data */
    uint64_t data_at;
    struct chunk chunk;
    uint8_t *packed; /* room for the data as it is in the image */
    uint8_t *room;   /* for the pages, where there is no sink */
};

struct unpacker {
    struct threads threads; /* its lock is for all that follows but r */
    struct image_reader *r;
    const struct image_sink *sink; /* or NULL */
    const struct image_reader_options *options;
    struct chunk_walk walk; /* the caller's thread only */
    struct job *jobs;
    unsigned job_count;
    uint64_t filled;   /* chunks read by the caller's thread */
    uint64_t taken;    /* by workers */
    uint64_t placed;   /* chunks, from the first on, whose data is placed */
    uint64_t finished; /* chunks with nothing left to do, in whatever order */
    uint64_t pages_done;
};

/* ---- one chunk ---- */

static int damaged(const struct unpacker *u, const struct job *j, const char *what,
                   struct pal_error *e)
{
    return record_bad(u->r, &j->record, j->at, e, "%s", what);
}

/* The data as it is in the image, into `to`, which may be the pages' own room. */
static int read_data(const struct unpacker *u, const struct job *j, void *to, struct pal_error *e)
{
    ssize_t got = input_read_at(&u->r->in, j->data_at, to, j->record.data_length);

    if (got == (ssize_t)j->record.data_length)
        return 0;
    if (got < 0)
        return pal_fail(e, PAL_SAVE_UNREADABLE, "%s, at byte %llu: %s", u->r->in.name,
                        (unsigned long long)j->data_at, strerror(errno));
    return damaged(u, j, "the image ends in its data", e);
}

static int check_sum(const struct unpacker *u, const struct job *j, const void *data,
                     struct pal_error *e)
{
    if (checksum_of(u->r->header.id, data, j->record.data_length) == j->record.data_checksum)
        return 0;
    return damaged(u, j, "the checksum of its data is wrong", e);
}

/* From image to room: what is stored in a file needs no stop in between. */
static int fill_room(const struct unpacker *u, struct codec *codec, struct job *j, uint8_t *room,
                     struct pal_error *e)
{
    bool direct = u->r->in.file && j->chunk.codec == IMAGE_STORED;
    uint8_t *data = direct ? room : j->packed;

    if (u->r->in.file && read_data(u, j, data, e))
        return -1;
    if (check_sum(u, j, data, e))
        return -1;
    if (!direct && !codec_unpack(codec, j->chunk.codec, data, j->record.data_length, room,
                                 (size_t)j->chunk.data_count * PAGE))
        return damaged(u, j, "its data does not unpack to its pages", e);
    return 0;
}

static int place_data(const struct unpacker *u, struct codec *codec, struct job *j,
                      struct pal_error *e)
{
    const struct image_sink *s = u->sink;
    const struct chunk *c = &j->chunk;
    uint8_t *room = j->room;
    int rc;

    if (!c->data_count)
        return check_sum(u, j, NULL, e);
    if (s)
        room = s->place(s->context, c->data, c->data_count, e);
    if (!room)
        return pal_fail(e, PAL_SYS_FAILED, "no room for frames from %u on", c->data[0].gfn);
    rc = fill_room(u, codec, j, room, e);
    if (s && s->placed(s->context, room, c->data, c->data_count, rc != 0, e) && rc == 0)
        rc = pal_fail(e, PAL_SYS_FAILED, "frames from %u on were refused", c->data[0].gfn);
    return rc;
}

static int place_zeros(const struct unpacker *u, const struct job *j, struct pal_error *e)
{
    const struct image_sink *s = u->sink;

    for (unsigned i = 0; s && i < j->chunk.zero_count; i++) {
        const struct image_run *z = &j->chunk.zero[i];

        if (s->zero(s->context, z->gfn, z->count, z->type, e))
            return pal_fail(e, PAL_SYS_FAILED, "frame %u was refused", z->gfn);
    }
    return 0;
}

static int copy_repeats(const struct unpacker *u, const struct job *j, struct pal_error *e)
{
    const struct image_sink *s = u->sink;

    if (s && j->chunk.copy_count && s->copy(s->context, j->chunk.copy, j->chunk.copy_count, e))
        return pal_fail(e, PAL_SYS_FAILED, "copies to frames from %u on were refused",
                        j->chunk.copy[0].gfn);
    return 0;
}

/* ---- the workers ---- */

/* Its data is placed; perhaps that of all before it now is, too. The lock is held. */
static void note_placed(struct unpacker *u, struct job *j)
{
    j->placed = true;
    while (u->placed < u->taken && u->jobs[u->placed % u->job_count].placed) {
        u->jobs[u->placed % u->job_count].placed = false;
        u->placed++;
    }
    pthread_cond_broadcast(&u->threads.work);
    pthread_cond_signal(&u->threads.done);
}

/* One chunk, of this number, from beginning to end; the lock is held at both. */
static int do_chunk(struct unpacker *u, struct codec *codec, struct job *j, uint64_t number,
                    struct pal_error *e)
{
    int rc;

    pthread_mutex_unlock(&u->threads.lock);
    rc = place_data(u, codec, j, e) || place_zeros(u, j, e) ? -1 : 0;
    pthread_mutex_lock(&u->threads.lock);
    if (rc)
        return -1;
    note_placed(u, j);
    if (!j->chunk.copy_count || !u->sink)
        return 0;
    while (u->placed <= number && !u->threads.stop)
        pthread_cond_wait(&u->threads.work, &u->threads.lock);
    if (u->threads.stop)
        return 0;
    pthread_mutex_unlock(&u->threads.lock);
    rc = copy_repeats(u, j, e);
    pthread_mutex_lock(&u->threads.lock);
    return rc;
}

static struct job *next_job(struct unpacker *u, uint64_t *number)
{
    while (!u->threads.stop) {
        if (u->taken < u->filled) {
            struct job *j = &u->jobs[u->taken % u->job_count];

            *number = u->taken++;
            j->state = JOB_TAKEN;
            return j;
        }
        pthread_cond_wait(&u->threads.work, &u->threads.lock);
    }
    return NULL;
}

static void *worker(void *context)
{
    struct unpacker *u = context;
    struct codec *codec = codec_new();
    struct pal_error e = {0};
    uint64_t number;
    struct job *j;

    pthread_mutex_lock(&u->threads.lock);
    if (!codec) {
        pal_fail(&e, PAL_MEM_HOST, "no memory for unpacking");
        threads_fail(&u->threads, &e);
    }
    while ((j = next_job(u, &number))) {
        if (do_chunk(u, codec, j, number, &e)) {
            threads_fail(&u->threads, &e);
            break;
        }
        j->state = JOB_FREE;
        u->finished++;
        u->pages_done += j->chunk.count;
        pthread_cond_signal(&u->threads.done);
    }
    pthread_mutex_unlock(&u->threads.lock);
    codec_free(codec);
    return NULL;
}

/* ---- the caller's thread ---- */

static bool goes_on(struct unpacker *u, struct pal_error *e)
{
    const struct image_reader_options *o = u->options;
    struct image_progress now = {.total = u->r->domain.pages, .bytes = u->r->in.offset};

    if (!o || !o->progress)
        return true;
    pthread_mutex_lock(&u->threads.lock);
    now.pages = u->pages_done;
    pthread_mutex_unlock(&u->threads.lock);
    if (o->progress(o->progress_context, &now))
        return true;
    pal_fail(e, PAL_SAVE_STOPPED, "stopped after %llu of %llu pages", (unsigned long long)now.pages,
             (unsigned long long)now.total);
    return false;
}

static bool patience(void *context)
{
    struct unpacker *u = context;
    struct pal_error unused = {0};
    bool stop;

    pthread_mutex_lock(&u->threads.lock);
    stop = u->threads.stop;
    pthread_mutex_unlock(&u->threads.lock);
    return !stop && goes_on(u, &unused);
}

/*
 * Wait until this many chunks are finished or, with finished 0, the place of the next one is free. -1:
 * stop.
 */
static int wait_for(struct unpacker *u, uint64_t finished, struct pal_error *e)
{
    struct threads *t = &u->threads;
    const struct job *next = &u->jobs[u->filled % u->job_count];
    int rc = 0;

    pthread_mutex_lock(&t->lock);
    while (!t->stop &&
           (finished ? u->finished < finished
                     : next->state != JOB_FREE || u->filled - u->placed >= u->job_count)) {
        threads_wait_done(t);
        pthread_mutex_unlock(&t->lock);
        rc = goes_on(u, e) ? 0 : -1;
        pthread_mutex_lock(&t->lock);
        if (rc)
            break;
    }
    rc = t->stop ? -1 : rc;
    pthread_mutex_unlock(&t->lock);
    return rc;
}

static void note_index(struct image_reader *r, const struct job *j)
{
    r->index[r->indexed++] = (struct image_index_entry){j->at, j->chunk.first, j->chunk.count};
}

/* The next chunk's record into its place; the data, too, if it cannot be read later. */
static int read_chunk(struct unpacker *u, struct job *j, struct pal_error *e)
{
    struct image_reader *r = u->r;
    char why[160];
    void *body;
    bool sound;

    if (reader_next(r, e))
        return -1;
    if (r->record.type != IMAGE_CHUNK)
        return reader_bad(r, e, "here should be: pages");
    body = reader_body(r, e);
    if (!body)
        return -1;
    sound = chunk_check(&u->walk, body, r->record.body_length, r->record.data_length, &j->chunk,
                        why, sizeof(why));
    free(body);
    if (!sound)
        return reader_bad(r, e, "%s", why);
    j->record = r->record;
    j->at = r->at;
    j->data_at = r->in.offset;
    note_index(r, j);
    if (!r->in.file)
        return reader_bytes(r, j->packed, r->record.data_length, e);
    r->in.offset += r->record.data_length;
    return 0;
}

static int read_all(struct unpacker *u, struct pal_error *e)
{
    while (u->walk.next_gfn < u->r->domain.frames) {
        struct job *j = &u->jobs[u->filled % u->job_count];

        if (wait_for(u, 0, e) || read_chunk(u, j, e) || !goes_on(u, e))
            return -1;
        pthread_mutex_lock(&u->threads.lock);
        j->state = JOB_READ;
        u->filled++;
        pthread_cond_signal(&u->threads.work);
        pthread_mutex_unlock(&u->threads.lock);
    }
    /* Asked at the end, too: the workers may have been quicker than any question. */
    return wait_for(u, u->filled, e) || !goes_on(u, e) || reader_finish(u->r, &u->walk.counted, e)
               ? -1
               : 0;
}

/* ---- all of it ---- */

static int make(struct unpacker *u, struct pal_error *e)
{
    struct image_reader *r = u->r;
    uint64_t chunks = r->domain.pages / IMAGE_CHUNK_PAGES + 1;

    r->index = malloc(chunks * sizeof(*r->index));
    u->walk.plain = calloc(1, (r->domain.frames + 7) / 8);
    u->jobs = calloc(u->job_count, sizeof(*u->jobs));
    for (unsigned i = 0; u->jobs && i < u->job_count; i++) {
        uint8_t *at = mmap(NULL, 2 * ROOM, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (at == MAP_FAILED)
            return pal_fail(e, PAL_MEM_HOST, "no memory for unpacking");
        u->jobs[i].packed = at;
        u->jobs[i].room = at + ROOM;
    }
    return r->index && u->walk.plain && u->jobs
               ? 0
               : pal_fail(e, PAL_MEM_HOST, "no memory for unpacking");
}

static void unmake(struct unpacker *u)
{
    for (unsigned i = 0; u->jobs && i < u->job_count; i++)
        if (u->jobs[i].packed)
            munmap(u->jobs[i].packed, 2 * ROOM);
    free(u->jobs);
    free(u->walk.plain);
}

static int unpack_all(struct unpacker *u, unsigned workers, struct pal_error *e)
{
    struct pal_error mine = {0};
    int rc;

    if (make(u, e) || threads_start(&u->threads, workers, worker, u, e))
        return -1;
    u->r->in.patience = patience;
    u->r->in.context = u;
    rc = read_all(u, &mine);
    u->r->in.patience = NULL;
    rc = threads_end(&u->threads, e) || rc ? -1 : 0; /* a worker's error is nearer to the cause */
    if (e->code == PAL_OK)
        *e = mine;
    return rc;
}

int image_reader_pages(struct image_reader *r, const struct image_sink *sink,
                       const struct image_reader_options *options, struct pal_error *e)
{
    unsigned workers = threads_wanted(options ? options->workers : 0);
    struct unpacker u = {.r = r, .sink = sink, .options = options, .job_count = workers + SPARE};
    int rc;

    if (r->pages_read || r->index)
        return pal_fail(e, PAL_SYS_FAILED, "the image's reader was used wrongly");
    r->pages_read = true;
    u.walk.domain = &r->domain;
    u.walk.bitmap = r->bitmap;
    u.walk.next_gfn = bitmap_next(r->bitmap, r->domain.frames, 0);
    rc = unpack_all(&u, workers, e);
    memcpy(r->chunks_by, u.walk.chunks_by, sizeof(r->chunks_by));
    memcpy(r->packed_by, u.walk.packed_by, sizeof(r->packed_by));
    unmake(&u);
    return rc;
}
