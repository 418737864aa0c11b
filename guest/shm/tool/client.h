/* SPDX-License-Identifier: MIT */
#ifndef PALSHM_CLIENT_H
#define PALSHM_CLIENT_H

#include "tool.h"

/* What the server has under that path, to standard output. The exit code. */
int client_list(const struct options *o, const char *path);

#endif
