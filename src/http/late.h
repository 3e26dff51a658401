/*
 * libmicrohttpd, which is loaded when the first server starts: with the eight libraries that it
 * needs in turn it took each command 2 ms of its start, and most of them serve nothing. Its
 * functions are called by their own names.
 */
#pragma once

#include "base/error.h"

#include <microhttpd.h>

#define LATE_FUNCTIONS(X)            \
    X(add_connection)                \
    X(add_response_header)           \
    X(create_response_from_buffer)   \
    X(create_response_from_callback) \
    X(destroy_response)              \
    X(get_connection_info)           \
    X(get_connection_values)         \
    X(get_daemon_info)               \
    X(get_timeout)                   \
    X(queue_response)                \
    X(resume_connection)             \
    X(run)                           \
    X(start_daemon)                  \
    X(stop_daemon)                   \
    X(suspend_connection)

#define LATE_FIELD(name) __typeof__(MHD_##name) *name;
struct late_functions {
    LATE_FUNCTIONS(LATE_FIELD)
};
#undef LATE_FIELD
extern struct late_functions late;

/* Before any of them is called; again costs nothing. It stays to the end of the process. */
int late_load(struct error *err);

#define MHD_add_connection late.add_connection
#define MHD_add_response_header late.add_response_header
#define MHD_create_response_from_buffer late.create_response_from_buffer
#define MHD_create_response_from_callback late.create_response_from_callback
#define MHD_destroy_response late.destroy_response
#define MHD_get_connection_info late.get_connection_info
#define MHD_get_connection_values late.get_connection_values
#define MHD_get_daemon_info late.get_daemon_info
#define MHD_get_timeout late.get_timeout
#define MHD_queue_response late.queue_response
#define MHD_resume_connection late.resume_connection
#define MHD_run late.run
#define MHD_start_daemon late.start_daemon
#define MHD_stop_daemon late.stop_daemon
#define MHD_suspend_connection late.suspend_connection
