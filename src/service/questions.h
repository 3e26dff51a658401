/*
 * Many questions to several systems, asked at the same time. Each instance has a lane of its own: a
 * slow one holds up nobody else, and no more of its questions are under way than its limits let
 * begin. What comes of it does not depend on the order of the answers. Private to service/.
 */
#pragma once

#include "service/service.h"

struct questions;
/* Asks one. Fails for good: then no other question begins, and calls under way are cancelled. */
typedef CO_FN int (*question)(struct questions *questions, void *argument, size_t index,
                              struct error *err);

/* Zero-initialise it but for service. */
struct questions {
    struct service *service; /* borrowed */
    struct map lanes;        /* instance -> owned struct lane */
    size_t n_added;
    size_t n_asking; /* coroutines at work */
    bool is_running;
    bool is_over;        /* one failed */
    size_t fault_number; /* the first of those that failed, in the order they were added */
    struct error fault;
    struct gate ended; /* opens when a coroutine ends */
};

/* Adds one; also while others are asked, from within a question of the same instance. */
void questions_add(struct questions *questions, const char *instance, question ask, void *argument,
                   size_t index);
/* A call for a question: as service_read_call(), and cancelled when another one failed. */
struct call questions_call(struct questions *questions);
/*
 * Asks all, and is empty afterwards. When some failed it fails as the first of them that was
 * added; those that were only cancelled because of that do not count.
 */
CO_FN int questions_ask(struct questions *questions, struct error *err);
/* Frees those that were added and not asked. */
void questions_done(struct questions *questions);
