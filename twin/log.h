/*
 * The log of one program: what it prints, line by line, each with the time at which it came:
 *
 * 2026-11-21T22:16:28.123456Z the line
 *
 * in FOLDER/NAME.log, mode 0600. A file that would grow beyond its limit becomes NAME.log.old, and
 * a new one begins: so a log takes at most twice the limit. A line above LOG_LINE_LIMIT is cut into
 * several. The program writes into a pipe: it waits while we are busy, and nothing is lost but what
 * the disk does not take.
 */
#pragma once

#include "net/loop.h"

/* Of one file, and of one line without its time. */
#define LOG_LIMIT (8 << 20)
#define LOG_LINE_LIMIT 8192
/* The time at the start of each line and the space after it. */
#define LOG_TIME_LENGTH 28

struct log;

/* Goes on with the log of that name. The folder exists. limit is that of a file, LOG_LIMIT but for
 * tests. */
int log_open(struct loop *loop, const char *folder, const char *name, int64_t limit,
             struct log **ret_log, struct error *err);
/* Takes in what is under way, and frees it. Accepts NULL. */
void log_close(struct log *take_log);

/* A descriptor for a program to print into, which the caller closes; the one before is let go of.
 */
int log_attach(struct log *log, int *ret_fd, struct error *err);
/* Takes in what a program printed elsewhere. */
void log_add(struct log *log, const char *text, size_t size);
/* Takes in what a program that has ended has left in the pipe. */
void log_drain(struct log *log);
/* The last line that was not empty, at most 300 bytes of it, fit to be
 * shown; "" when there was none. */
const char *log_last_line(const struct log *log);
