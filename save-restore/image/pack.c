/* SPDX-License-Identifier: MIT */
/*
 * All memory into chunks, in parallel. A worker takes the next pages in order, looks at them, packs
 * what is left of them; the caller's thread writes the chunks in their order. Chunks lie in a ring: who
 * would overtake the writing by more than the ring waits, which bounds memory and is the back-pressure
 * that the effort goes by.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "image/codec.h"
#include "image/limits.h"
#include "image/repeat.h"
#include "image/threads.h"
#include "image/writer_state.h"

#define PAGE    IMAGE_PAGE_SIZE
#define CHUNK   IMAGE_CHUNK_PAGES
#define SPARE   4u /* chunks in the ring beyond one for each worker */
#define SAMPLE  512u
#define SAMPLES 8u

/* One chunk on its way. Only one thread has it at a time. */
struct job {
    bool done; /* packed, not yet written; under the lock */
    struct image_page pages[CHUNK];
    unsigned count;
    const uint8_t *base; /* where they are shown; NULL: not any more */
    unsigned shown;      /* how many */
    struct image_record record;
    struct image_chunk head;
    struct image_run runs[CHUNK];
    const uint8_t *data[CHUNK]; /* the pages that are written */
    unsigned data_count;
    uint8_t *side;   /* a chunk's room: canonical pages, later all data side by side */
    uint8_t *packed; /* likewise */
    size_t packed_size;
};

struct packer {
    struct threads threads; /* its lock is for all but what is marked */
    struct image_writer *w; /* the caller's thread only; bitmap and header: nobody changes them */
    const struct image_source *source;
    pthread_mutex_t repeats_lock;
    struct repeats *repeats; /* find: under repeats_lock */
    struct job *jobs;
    unsigned job_count;
    uint64_t next_gfn; /* the first that is in no chunk yet; domain.frames: none is left */
    uint64_t taken;    /* chunks begun */
    uint64_t written;
    unsigned ready; /* chunks packed and not yet written */
    enum effort effort;
    uint64_t effort_since; /* this chunk */
    unsigned pressure;     /* how much of the time goes into the output of late, in percent */
    uint64_t last_written; /* ns; the caller's thread only */
};

/* ---- one chunk: what its pages are ---- */

static void add_run(struct job *j, const struct image_page *page, enum image_kind kind,
                    uint32_t source)
{
    struct image_run *last = j->head.runs ? &j->runs[j->head.runs - 1] : NULL;

    if (last && last->gfn + last->count == page->gfn && last->kind == kind &&
        last->type == page->type &&
        (kind != IMAGE_REPEAT || last->source + last->count == source)) {
        last->count++;
        return;
    }
    j->runs[j->head.runs++] =
        (struct image_run){page->gfn, 1, source, (uint8_t)kind, page->type, 0};
}

/* The content of one page that is not plain, in its canonical form. */
static const uint8_t *canonical(struct packer *p, struct job *j, unsigned i, struct pal_error *e)
{
    uint8_t *out = j->side + (size_t)i * PAGE;

    if (!type_is_known(j->pages[i].type)) {
        pal_fail(e, PAL_SYS_FAILED, "frame %u has a type no image can hold (%#x)", j->pages[i].gfn,
                 j->pages[i].type);
        return NULL;
    }
    if (p->source->canonical(p->source->context, &j->pages[i], j->base + (size_t)i * PAGE, out, e))
        return NULL;
    return out;
}

/* The plain pages of a chunk, as they may be repeats. */
struct suspects {
    bool plain[CHUNK]; /* and not zero */
    bool may[CHUNK];
    uint32_t sample[CHUNK];
    struct page_hash hash[CHUNK];
    uint32_t first[CHUNK]; /* frames that others resemble, not hashed until now */
    struct page_hash first_hash[CHUNK];
    unsigned firsts;
};

static void suspect(struct packer *p, const struct job *j, struct suspects *s)
{
    pthread_mutex_lock(&p->repeats_lock);
    for (unsigned i = 0; i < j->count; i++) {
        uint32_t *first = &s->first[s->firsts];

        s->may[i] =
            s->plain[i] && repeats_suspect(p->repeats, s->sample[i], j->pages[i].gfn, first);
        if (s->may[i] && *first != UINT32_MAX)
            s->firsts++;
    }
    pthread_mutex_unlock(&p->repeats_lock);
}

static int hash_first(struct packer *p, struct suspects *s, unsigned i, struct pal_error *e)
{
    struct image_page page = {s->first[i], IMAGE_NORMAL};
    const void *at = p->source->map(p->source->context, &page, 1, e);

    if (!at)
        return pal_fail(e, PAL_SYS_FAILED, "frame %u cannot be read", page.gfn);
    s->first_hash[i] = repeats_hash(p->repeats, at);
    p->source->unmap(p->source->context, at, 1);
    return 0;
}

/* same: of each page the frame it repeats, UINT32_MAX: none. */
static int find_repeats(struct packer *p, const struct job *j, struct suspects *s, uint32_t *same,
                        struct pal_error *e)
{
    suspect(p, j, s);
    for (unsigned i = 0; i < j->count; i++)
        if (s->may[i])
            s->hash[i] = repeats_hash(p->repeats, j->base + (size_t)i * PAGE);
    for (unsigned i = 0; i < s->firsts; i++)
        if (hash_first(p, s, i, e))
            return -1;
    pthread_mutex_lock(&p->repeats_lock);
    for (unsigned i = 0; i < s->firsts; i++)
        repeats_find(p->repeats, s->first_hash[i], s->first[i]);
    for (unsigned i = 0; i < j->count; i++)
        same[i] = s->may[i] ? repeats_find(p->repeats, s->hash[i], j->pages[i].gfn) : UINT32_MAX;
    pthread_mutex_unlock(&p->repeats_lock);
    return 0;
}

/* Sort the pages into runs. */
static int look(struct packer *p, struct job *j, struct pal_error *e)
{
    const uint8_t *content[CHUNK]; /* NULL: zero */
    struct suspects suspects;
    uint32_t same[CHUNK];

    suspects.firsts = 0;
    for (unsigned i = 0; i < j->count; i++) {
        bool plain = j->pages[i].type == IMAGE_NORMAL;

        content[i] = plain ? j->base + (size_t)i * PAGE : canonical(p, j, i, e);
        if (!content[i])
            return -1;
        if (page_is_zero(content[i]))
            content[i] = NULL;
        suspects.plain[i] = plain && content[i];
        if (suspects.plain[i])
            suspects.sample[i] = repeats_sample(content[i]);
    }
    if (find_repeats(p, j, &suspects, same, e))
        return -1;
    for (unsigned i = 0; i < j->count; i++) {
        if (!content[i])
            add_run(j, &j->pages[i], IMAGE_ZERO, 0);
        else if (same[i] != UINT32_MAX)
            add_run(j, &j->pages[i], IMAGE_REPEAT, same[i]);
        else {
            add_run(j, &j->pages[i], IMAGE_DATA, 0);
            j->data[j->data_count++] = content[i];
        }
    }
    return 0;
}

/* ---- one chunk: packing ---- */

static bool together(const struct job *j)
{
    for (unsigned i = 1; i < j->data_count; i++)
        if (j->data[i] != j->data[i - 1] + PAGE)
            return false;
    return true;
}

/* All data side by side. In place: a page never moves up, and the ones before it have moved. */
static const uint8_t *gather(struct job *j, bool copies)
{
    uint8_t *room = copies ? (uint8_t *)j->base : j->side;

    if (together(j))
        return j->data[0];
    for (unsigned i = 0; i < j->data_count; i++) {
        uint8_t *to = room + (size_t)i * PAGE;

        if (j->data[i] != to)
            memcpy(to, j->data[i], PAGE);
        j->data[i] = to;
    }
    return room;
}

/* Is it worth the time? Random data is recognised by a few pieces of it. */
static bool promising(struct codec *codec, enum effort effort, const struct job *j)
{
    uint8_t sample[SAMPLES * SAMPLE];
    enum image_codec unused;
    size_t packed;

    if (j->data_count < 2 * SAMPLES)
        return true;
    for (unsigned i = 0; i < SAMPLES; i++)
        memcpy(sample + i * SAMPLE, j->data[j->data_count / SAMPLES * i], SAMPLE);
    packed = codec_pack(codec, effort <= EFFORT_LZ4 ? EFFORT_LZ4 : EFFORT_ZLIB_FAST, sample,
                        sizeof(sample), j->packed, &unused);
    return packed && packed < sizeof(sample) / 4 * 3;
}

static void pack(struct packer *p, struct codec *codec, struct job *j, enum effort effort)
{
    size_t size = (size_t)j->data_count * PAGE;
    enum image_codec used = IMAGE_STORED;

    j->packed_size = 0;
    if (effort != EFFORT_STORED && size && promising(codec, effort, j))
        j->packed_size =
            codec_pack(codec, effort, gather(j, p->source->copies), size, j->packed, &used);
    if (j->packed_size > size / 32 * 31)
        j->packed_size = 0; /* not worth unpacking */
    j->head.codec = j->packed_size ? used : IMAGE_STORED;
}

/* Everything of the record that the writing need not do. */
static void seal(struct packer *p, struct job *j)
{
    uint64_t seed = p->w->header.id;
    struct checksum sum;

    j->record = (struct image_record){.type = IMAGE_CHUNK};
    j->record.body_length = (uint32_t)(sizeof(j->head) + j->head.runs * sizeof(j->runs[0]));
    if (j->packed_size) {
        j->record.data_length = (uint32_t)j->packed_size;
        j->record.data_checksum = checksum_of(seed, j->packed, j->packed_size);
        return;
    }
    j->record.data_length = j->data_count * PAGE;
    if (j->data_count && together(j)) { /* in one go it takes fewer steps */
        j->record.data_checksum = checksum_of(seed, j->data[0], j->record.data_length);
        return;
    }
    checksum_begin(&sum, seed);
    for (unsigned i = 0; i < j->data_count; i++)
        checksum_add(&sum, j->data[i], PAGE);
    j->record.data_checksum = checksum_end(&sum, NULL, 0);
}

static void unmap(struct packer *p, struct job *j)
{
    if (j->base)
        p->source->unmap(p->source->context, j->base, j->shown);
    j->base = NULL;
}

static int do_chunk(struct packer *p, struct codec *codec, struct job *j, enum effort effort,
                    struct pal_error *e)
{
    unmap(p, j); /* of the chunk that had this place before */
    j->head = (struct image_chunk){0};
    j->data_count = 0;
    j->shown = j->count;
    j->base = p->source->map(p->source->context, j->pages, j->count, e);
    if (!j->base)
        return pal_fail(e, PAL_SYS_FAILED, "frames from %u on cannot be read", j->pages[0].gfn);
    if (look(p, j, e))
        return -1;
    pack(p, codec, j, effort);
    seal(p, j);
    if (j->packed_size)
        unmap(p, j);
    return 0;
}

/* ---- the workers ---- */

/* The next pages into the chunk. The lock is held. */
static void take_pages(struct packer *p, struct job *j)
{
    const uint8_t *bitmap = p->w->bitmap;
    uint64_t frames = p->w->domain.frames;

    for (j->count = 0; j->count < CHUNK && p->next_gfn < frames; j->count++) {
        j->pages[j->count] = (struct image_page){(uint32_t)p->next_gfn, IMAGE_NORMAL};
        p->next_gfn = bitmap_next(bitmap, frames, p->next_gfn + 1);
    }
}

/*
 * By default effort follows the output: when nearly all time passes in it while packed chunks pile up,
 * packing harder costs nothing; when it is idle, packing is what everybody waits for. After a change the
 * ring passes once before the next. The lock is held.
 */
static enum effort choose_effort(struct packer *p)
{
    switch (p->w->options.mode) {
    case IMAGE_MODE_FAST:
        return EFFORT_STORED;
    case IMAGE_MODE_SMALL:
        return EFFORT_ZLIB_BEST;
    case IMAGE_MODE_DEFAULT:
        break;
    }
    if (p->taken < p->effort_since + p->job_count)
        return p->effort;
    p->effort_since = p->taken;
    if (p->pressure > 85 && p->ready >= SPARE / 2 && p->effort < EFFORT_ZLIB_BEST)
        p->effort++;
    else if (p->pressure < 60 && p->effort > EFFORT_LZ4_FAST)
        p->effort--;
    return p->effort;
}

static struct job *next_job(struct packer *p)
{
    while (!p->threads.stop && p->next_gfn < p->w->domain.frames) {
        struct job *j = &p->jobs[p->taken % p->job_count];

        if (p->taken - p->written < p->job_count) {
            p->taken++;
            take_pages(p, j);
            return j;
        }
        pthread_cond_wait(&p->threads.work, &p->threads.lock);
    }
    return NULL;
}

static void *worker(void *context)
{
    struct packer *p = context;
    struct codec *codec = codec_new();
    struct pal_error e = {0};
    struct job *j;

    pthread_mutex_lock(&p->threads.lock);
    if (!codec) {
        pal_fail(&e, PAL_MEM_HOST, "no memory for packing");
        threads_fail(&p->threads, &e);
    }
    while ((j = next_job(p))) {
        enum effort effort = choose_effort(p);
        int rc;

        pthread_mutex_unlock(&p->threads.lock);
        rc = do_chunk(p, codec, j, effort, &e);
        pthread_mutex_lock(&p->threads.lock);
        if (rc) {
            threads_fail(&p->threads, &e);
            break;
        }
        j->done = true;
        p->ready++;
        pthread_cond_signal(&p->threads.done);
    }
    pthread_mutex_unlock(&p->threads.lock);
    codec_free(codec);
    return NULL;
}

/* ---- the caller's thread ---- */

static void count_runs(struct image_end *end, const struct job *j)
{
    for (unsigned i = 0; i < j->head.runs; i++) {
        const struct image_run *r = &j->runs[i];

        end->data_pages += r->kind == IMAGE_DATA ? r->count : 0;
        end->zero_pages += r->kind == IMAGE_ZERO ? r->count : 0;
        end->repeat_pages += r->kind == IMAGE_REPEAT ? r->count : 0;
    }
    end->packed_bytes += j->record.data_length;
}

static int write_chunk(struct image_writer *w, struct job *j, struct pal_error *e)
{
    struct iovec parts[CHUNK + 3];
    uint8_t body[sizeof(j->head) + sizeof(j->runs)];
    unsigned n = 2;

    memcpy(body, &j->head, sizeof(j->head));
    memcpy(body + sizeof(j->head), j->runs, j->head.runs * sizeof(j->runs[0]));
    parts[1] = (struct iovec){body, j->record.body_length};
    if (j->packed_size)
        parts[n++] = (struct iovec){j->packed, j->packed_size};
    for (unsigned i = 0; !j->packed_size && i < j->data_count; i++) {
        struct iovec *last = &parts[n - 1];

        if (n > 2 && (const uint8_t *)last->iov_base + last->iov_len == j->data[i])
            last->iov_len += PAGE;
        else
            parts[n++] = (struct iovec){(void *)j->data[i], PAGE};
    }
    w->index[w->end.chunks++] =
        (struct image_index_entry){w->out.offset, j->pages[0].gfn, j->count};
    count_runs(&w->end, j);
    if (writer_record(w, &j->record, parts, n, e))
        return -1;
    w->pages_done += j->count;
    return 0;
}

/* The chunk that is to be written next, when it is packed; NULL: stop, or all are written. */
static struct job *packed_chunk(struct packer *p, struct pal_error *e)
{
    struct threads *t = &p->threads;
    struct job *j = NULL;

    pthread_mutex_lock(&t->lock);
    while (!t->stop && (p->next_gfn < p->w->domain.frames || p->written < p->taken)) {
        j = &p->jobs[p->written % p->job_count];
        if (p->written < p->taken && j->done)
            break;
        j = NULL;
        if (threads_wait_done(t))
            continue;
        pthread_mutex_unlock(&t->lock);
        if (!writer_goes_on(p->w, e))
            return NULL;
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    return j;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/*
 * Its place in the ring is free; what it shows is unmapped by whoever takes the place. Writing it began at
 * this time.
 */
static void chunk_written(struct packer *p, struct job *j, uint64_t began)
{
    uint64_t now = now_ns(), all = now - p->last_written + 1;

    p->last_written = now;
    pthread_mutex_lock(&p->threads.lock);
    p->pressure = (3 * p->pressure + (unsigned)((now - began) * 100 / all)) / 4;
    j->done = false;
    p->written++;
    p->ready--;
    pthread_cond_signal(&p->threads.work);
    pthread_mutex_unlock(&p->threads.lock);
}

static int write_all(struct packer *p, struct pal_error *e)
{
    struct job *j;

    p->last_written = now_ns();
    while ((j = packed_chunk(p, e))) {
        uint64_t began = now_ns();

        if (write_chunk(p->w, j, e) || !writer_goes_on(p->w, e))
            return -1;
        chunk_written(p, j, began);
    }
    return e->code == PAL_OK ? 0 : -1;
}

/* ---- all of it ---- */

static int jobs_make(struct packer *p, struct pal_error *e)
{
    const size_t room = (size_t)CHUNK * PAGE;

    p->jobs = calloc(p->job_count, sizeof(*p->jobs));
    for (unsigned i = 0; p->jobs && i < p->job_count; i++) {
        /* What is not touched takes no memory. */
        uint8_t *at = mmap(NULL, 2 * room, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (at == MAP_FAILED)
            return pal_fail(e, PAL_MEM_HOST, "no memory for packing");
        p->jobs[i].side = at;
        p->jobs[i].packed = at + room;
    }
    p->repeats = repeats_new(p->w->domain.frames);
    return p->jobs && p->repeats ? 0 : pal_fail(e, PAL_MEM_HOST, "no memory for packing");
}

static void jobs_free(struct packer *p)
{
    for (unsigned i = 0; p->jobs && i < p->job_count; i++) {
        unmap(p, &p->jobs[i]);
        if (p->jobs[i].side)
            munmap(p->jobs[i].side, 2 * (size_t)CHUNK * PAGE);
    }
    free(p->jobs);
    repeats_free(p->repeats);
}

static int pack_all(struct packer *p, unsigned workers, struct pal_error *e)
{
    int rc;

    if (jobs_make(p, e) || threads_start(&p->threads, workers, worker, p, e))
        return -1;
    rc = write_all(p, e);
    return threads_end(&p->threads, e) || rc ? -1 : 0;
}

int image_writer_pages(struct image_writer *w, const struct image_source *source,
                       struct pal_error *e)
{
    unsigned workers = threads_wanted(w->options.workers);
    struct packer p = {
        .w = w, .source = source, .job_count = workers + SPARE, .effort = EFFORT_LZ4_FAST};
    int rc = -1;

    if (!w->bitmap)
        return pal_fail(e, PAL_SYS_FAILED, "the image's writer was used wrongly: no domain");
    if (writer_memory(w, e))
        return -1;
    p.next_gfn = bitmap_next(w->bitmap, w->domain.frames, 0);
    pthread_mutex_init(&p.repeats_lock, NULL);
    rc = pack_all(&p, workers, e);
    jobs_free(&p);
    pthread_mutex_destroy(&p.repeats_lock);
    w->failed = w->failed || rc;
    return rc;
}
