/* The limiter that all balancers of a twin ask: one process, from the first one with a limit on. */
#pragma once

#include "twin/module.h"

/* Its name, among those of programs. It runs on no host. */
#define BALANCER_LIMITER "limiter"

struct balancer_limits;

/* The file lies in this folder, the socket in one of its own. Nothing runs yet. */
int balancer_limits_new(struct twin *twin, const char *config_folder,
                        struct balancer_limits **ret_limits, struct error *err);
/* Paths for the balancers' configurations; borrowed. */
const char *balancer_limits_file(const struct balancer_limits *limits);
const char *balancer_limits_folder(const struct balancer_limits *limits); /* of the socket */
const char *balancer_limits_socket(const struct balancer_limits *limits);

/* Starts it unless it runs. Several may call this and the next at once. */
int balancer_limits_launch(struct balancer_limits *limits, struct error *err);
/* Waits until what was launched answers. */
CO_FN int balancer_limits_await(struct balancer_limits *limits, int64_t deadline,
                                struct error *err);
/* Whether it answers now. */
bool balancer_limits_are_kept(const struct balancer_limits *limits);
/* How often it was started again. */
unsigned int balancer_limits_restarts(const struct balancer_limits *limits);
/* What was counted is forgotten. */
CO_FN void balancer_limits_stop(struct balancer_limits *limits);
/* Stops it too. Accepts NULL. */
CO_FN void balancer_limits_free(struct balancer_limits *limits);
