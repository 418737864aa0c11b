/* SPDX-License-Identifier: MIT */
/* Inside libpal: changes to the tree of a domain's XML file. */
#ifndef LIBPAL_CONFIG_TREE_H
#define LIBPAL_CONFIG_TREE_H

#include "libpal/config.h"

#include <libxml/tree.h>

/* Keep the tree's text in the config, with what it left out and the config has made up: what is
 * made from that text has the same UUID and MACs each time. */
int config_tree_keep(struct pal_config *c, xmlDoc *document, struct pal_error *e);

#endif
