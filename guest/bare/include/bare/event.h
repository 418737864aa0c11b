/* SPDX-License-Identifier: MIT */
/* Event channels (2-level) and time. */
#ifndef BARE_EVENT_H
#define BARE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

typedef void event_handler(unsigned int port);

void event_init(void); /* nothing masked at the vCPU, all ports masked */
void event_dispatch(void);
void event_set_handler(unsigned int port, event_handler *h); /* and unmask the port */
bool event_pending(unsigned int port);
void event_clear(unsigned int port);
void event_deliver(bool on); /* the vCPU's own mask; on: pending ones run now */

/* Ports, or -errno. */
long event_bind_virq(unsigned int virq, unsigned int vcpu);
long event_bind_ipi(unsigned int vcpu);
long event_send(unsigned int port);
long event_close(unsigned int port);

uint64_t event_now(void); /* system time, ns */
/* A periodic timer tick on this vCPU, counted in vcpu_self()->beats; 0 stops. */
void event_heartbeat(uint64_t period_ns);

#endif
