/*
 * Answers the hosts' questions for names, at the router's address outside, and tells every program
 * of the twin to ask there.
 */
#pragma once

#include "twin/module.h"

struct name_server;

/*
 * Makes /etc/resolv.conf, as the twin's programs see it, name the server. Called once, before any
 * of them runs. Where that file cannot be covered, names are not found by programs; the reason is
 * told.
 */
int name_server_announce(struct error *err);
/* Called in the router's namespace, when its networks stand. */
int name_server_new(struct twin *twin, struct name_server **ret_server, struct error *err);
/* Accepts NULL. */
void name_server_free(struct name_server *server);
