/*
 * Services for calls that are under way side by side: each call has one of its own, so that what a
 * service keeps of its caller never meets another's. They read the site anew when it changed.
 */
#pragma once

#include "service/verbs.h"

struct pool;
/* options are borrowed, and so are its strings. */
struct pool *pool_new(struct loop *loop, const struct service_options *options);
/* All services must have been given back. Accepts NULL. */
void pool_free(struct pool *pool);
/* Who runs this program, as a service finds it out, freed with caller_done(), and (may be NULL) the
 * state folder, which the caller frees. */
int pool_find_owner(struct pool *pool, struct caller *ret_caller, char **ret_home,
                    struct error *err);
/* What the site says of the server, freed with site_server_done(). */
int pool_find_server(struct pool *pool, struct site_server *ret_server, struct error *err);
/* As service_derive_key(). */
int pool_derive_key(struct pool *pool, const char *purpose, unsigned char ret_key[SECRET_KEY_SIZE],
                    struct error *err);
/*
 * One for this caller and what it asks for; waits while too many are out. A failure is that of
 * service_open(): the site has a fault, which is in the message.
 */
CO_FN int pool_take(struct pool *pool, const struct caller *caller, const char *words,
                    struct service **ret_service, struct error *err);
void pool_give(struct pool *pool, struct service *service);
/* From now on who has one only waits for something that lasts, and keeps nobody from taking another
 * one. False: too many wait already, so that it must not. */
bool pool_begin_wait(struct pool *pool);
void pool_end_wait(struct pool *pool);
/* Grows when the site file has another text than it had before. */
uint64_t pool_site_version(struct pool *pool);
/* Whether this caller may ask a verb at all, as the site stands. */
bool pool_allows(struct pool *pool, const struct caller *caller, const struct verb *verb);
