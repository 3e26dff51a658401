/* The socket of a run: through it doors follow its events and ask it to stop. Private to service/.
 */
#pragma once

#include "model/value.h"
#include "net/loop.h"
#include "store/store.h"

/* The longest line that is read from it. */
enum { RUN_LINE_LIMIT = 16 << 20 };

/* A row of the journal as the event that it was told as. The caller unrefs it. */
struct value *run_event_of_row(const struct value *row);

/* Where it lies: in $XDG_RUNTIME_DIR/parley, else in /tmp/parley-UID. The folder is made when
 * create. */
int run_socket_path(const char *run_id, bool create, char **ret_path, struct error *err);

/* Removes the sockets of runs that were killed. Never fails, never touches one that is answered. */
void run_sweep_sockets(void);

/* The run's side. */
struct run_server;
/* What a door may ask of it. */
struct run_asked {
    void (*cancel)(void *argument); /* to stop */
    void *argument;
    void (*abort)(void); /* to end at once */
};
/* Listens, after a sweep. */
CO_FN int run_server_open(struct loop *loop, const char *run_id, const struct run_asked *asked,
                          struct run_server **ret_server, struct error *err);
/* Tells all followers, now and later ones, of an event. */
void run_server_tell(struct run_server *server, const struct value *event);
/* Waits until every follower has got everything (at most a few seconds), then closes. Accepts NULL.
 */
CO_FN void run_server_close(struct run_server *server);
