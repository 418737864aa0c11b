/* SPDX-License-Identifier: MIT */
/* What domain 0 does to other domains: makes them of this same program, looks into them, ends them. */
#ifndef BARE_CONTROL_H
#define BARE_CONTROL_H

#include <bare/hypercall.h>
#include <stdbool.h>

/* A domain as its builder knows it. Page counts in 4 KiB frames. */
struct control_domain {
    unsigned int id;
    unsigned int vcpus;
    uint64_t pages;
    uint64_t mfns[1536]; /* by pfn */
    uint64_t root_mfn, shared_mfn, store_mfn, console_mfn;
    unsigned int store_port, console_port; /* the domain's own numbers of them */
};
#define CONTROL_PAGES_MAX 1536u

/*
 * Each command of the domctl interface, on domain id: 0 or -errno. `u` points to what the command's
 * part of the union is to hold (size bytes), and gets what came back.
 */
long control_domctl(unsigned int cmd, unsigned int id, void *u, size_t size);

/* A new domain, paused and empty; id 0: any number. The number, or -errno. */
long control_create(unsigned int id, unsigned int vcpus);
long control_populate(unsigned int id, uint64_t pages, uint64_t *mfns); /* frames got */
long control_pause(unsigned int id, bool on);
long control_destroy(unsigned int id);
long control_pin_vcpu(unsigned int id, unsigned int vcpu, uint64_t cpus); /* a mask */
/* DOMINF flags, or -errno where there is no such domain. */
long control_flags(unsigned int id);
/* EVTCHNOP_alloc_unbound in domain id for domain `peer`: the port, or -errno. */
long control_unbound_port(unsigned int id, unsigned int peer);
/* Ports of a domain that are not closed, or -errno. */
long control_ports(unsigned int id);

/*
 * Build it whole from the program in our module (the same ELF file as ours), with `words` as its command
 * line; it has mapped all its pages and is still paused, its vCPU 0 ready to start. 0 or -errno.
 */
long control_build(struct control_domain *d, unsigned int id, unsigned int vcpus,
                   const char *words);

/*
 * Windows onto others' frames: writable mappings at fixed places of ours, numbers 0 .. CONTROL_WINDOWS-1.
 * NULL where it is refused. What a window showed before is unmapped.
 */
#define CONTROL_WINDOWS 64u
void *control_window(unsigned int window, unsigned int id, uint64_t mfn);
void control_window_close(unsigned int window);

/* Up to size bytes of the console's ring, from *index on, which goes forward; how many. */
uint32_t control_log_read(char *buf, uint32_t size, uint32_t *index);
/* Bytes that the hypervisor itself has added to its log since the last call. */
uint64_t control_log_growth(void);

#endif
