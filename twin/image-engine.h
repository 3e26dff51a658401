/* Requests to a Docker Engine on its Unix socket (API 1.41, which every engine since 20.10 takes),
 * one after the other. For a process of its own, which may wait. */
#pragma once

#include "base/error.h"
#include "base/memory.h"
#include "model/value.h"

#include <stdio.h>

struct engine;

/* Makes no contact. */
struct engine *engine_new(const char *socket_path);
void engine_free(struct engine *engine); /* accepts NULL */
DEFINE_CLEANUP(struct engine *, engine_free)

/* A text as a part of a path or a query; the caller frees it with mem_free(). */
char *engine_escape(struct engine *engine, const char *text);

/* A request; zero-initialise what is not needed. All borrowed. */
struct engine_request {
    const char *method;       /* "GET" */
    const char *path;         /* with its query */
    const struct value *body; /* is sent as JSON */
    FILE *archive;            /* is sent as a tar from where it stands */
    /* Gets an answer of the code 200 as it comes; without it the answer is collected. */
    int (*take)(void *argument, const char *bytes, size_t size, struct error *err);
    void *argument;
};

/*
 * Fails with ERROR_UNAVAILABLE when no engine answers, ERROR_NOT_FOUND for a 404, ERROR_CONFLICT
 * for a 409, ERROR_INVALID for another refusal; the message is the engine's. *ret_answer (may be
 * NULL) is what it answers as JSON, NULL for nothing.
 */
int engine_ask(struct engine *engine, const struct engine_request *request,
               struct value **ret_answer, struct error *err);
