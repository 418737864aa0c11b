/* SPDX-License-Identifier: MIT */
/*
 * What the file server and its clients say to each other over a channel; all numbers little-endian.
 *
 *   client: struct proto_request, then the path
 *   server: for each file or directory struct proto_entry, then its path from the one asked for; when data were asked for and it is a
 *           file, chunks: a length (u32, not 0) and so many bytes, in the end a length of 0 and struct proto_tail;
 *           after all of them an entry of kind PROTO_END, whose error says how it went
 *
 * Neither side believes the other: lengths are bounded, paths are checked by whoever uses them.
 */
#ifndef PALSHM_PROTO_H
#define PALSHM_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROTO_MAGIC 0x31465350u /* "PSF1" */
#define PROTO_PATH  4096u       /* bytes of a path, its 0 included */
#define PROTO_CHUNK (1u << 20)

struct proto_request {
    uint32_t magic;
    uint16_t operation; /* PROTO_LIST, PROTO_GET */
    uint16_t path;      /* bytes that follow */
};
#define PROTO_LIST 1 /* the file, or what is in the directory */
#define PROTO_GET  2 /* the same with data, and all that is below */

struct proto_entry {
    uint32_t magic;
    uint16_t kind;  /* PROTO_FILE, ... */
    uint16_t path;  /* bytes that follow */
    uint32_t mode;  /* permission bits */
    uint32_t error; /* an errno: it could not be read */
    uint64_t size;
    int64_t mtime; /* seconds */
};
#define PROTO_END       0
#define PROTO_FILE      1
#define PROTO_DIRECTORY 2
#define PROTO_OTHER     3 /* listed, never sent */

struct proto_tail {
    uint32_t error; /* an errno: reading broke off */
    uint32_t pad;
    uint64_t hash; /* XXH3 of the data */
};
_Static_assert(sizeof(struct proto_request) == 8 && sizeof(struct proto_entry) == 32 &&
                   sizeof(struct proto_tail) == 16,
               "wire");

/* Relative, no empty, "." or ".." part: it stays below where it is put. "" is the top itself and good only if `top`. */
bool proto_path_is_good(const char *path, size_t length, bool top);

/* Bytes from the other side: as read(2) on a socket. */
struct proto_source {
    ssize_t (*read)(void *from, void *to, size_t n);
    void *from;
};
/* Exactly n bytes. 0; -1 and errno (EPIPE: they ended). */
int proto_read(const struct proto_source *s, void *to, size_t n);

/* The next request, its path ended by 0. 1: there is one; 0: the other side is done; -1: it says what cannot be (EPROTO), or is gone. */
int proto_read_request(const struct proto_source *s, struct proto_request *r,
                       char path[PROTO_PATH]);

/* What becomes of an answer. All return 0, or -1 and errno, which ends it. */
struct proto_sink {
    int (*entry)(void *to, const struct proto_entry *e, const char *path);
    int (*data)(void *to, const void *bytes, size_t n);
    int (*done)(void *to, bool good,
                int error); /* of a file: all data came and the hash agrees; error: the server's */
    void *to;
};
/* A whole answer. 0: good; -1 and errno: EPROTO: not as it must be; another: the server's, for all of it. */
int proto_read_answer(const struct proto_source *s, const struct proto_sink *sink, bool data);

#endif
