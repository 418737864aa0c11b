/* SPDX-License-Identifier: MIT */
/*
 * libxml2, loaded when the first domain file is read. Loading it (with ICU and the C++ library behind
 * it) is three quarters of what starting pal would cost, and most verbs read no file.
 */
#ifndef LIBPAL_LIBXML_H
#define LIBPAL_LIBXML_H

#include "libpal/error.h"

#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <libxml/xmlerror.h>

/* What is used of it; xmlFree is a variable there. */
#define LIBXML_SYMBOLS(X)                                                                          \
    X(xmlReadMemory)                                                                               \
    X(xmlFreeDoc)                                                                                  \
    X(xmlDocGetRootElement)                                                                        \
    X(xmlNodeGetContent)                                                                           \
    X(xmlNodeSetContent)                                                                           \
    X(xmlGetNoNsProp)                                                                              \
    X(xmlGetLineNo)                                                                                \
    X(xmlNewChild)                                                                                 \
    X(xmlNewNs)                                                                                    \
    X(xmlSetNs)                                                                                    \
    X(xmlNewProp)                                                                                  \
    X(xmlUnlinkNode)                                                                               \
    X(xmlFreeNode)                                                                                 \
    X(xmlDocDumpMemoryEnc)                                                                         \
    X(xmlFree)                                                                                     \
    X(xmlSetStructuredErrorFunc)                                                                   \
    X(xmlRelaxNGNewMemParserCtxt)                                                                  \
    X(xmlRelaxNGParse)                                                                             \
    X(xmlRelaxNGNewValidCtxt)                                                                      \
    X(xmlRelaxNGSetValidStructuredErrors)                                                          \
    X(xmlRelaxNGValidateDoc)                                                                       \
    X(xmlRelaxNGFreeValidCtxt)                                                                     \
    X(xmlRelaxNGFree)                                                                              \
    X(xmlRelaxNGFreeParserCtxt)

struct libxml {
#define LIBXML_MEMBER(name) __typeof__(name) *name;
    LIBXML_SYMBOLS(LIBXML_MEMBER)
#undef LIBXML_MEMBER
};
extern struct libxml libxml;

/* Load it, unless it is there. */
int libxml_load(struct pal_error *e);

#endif
