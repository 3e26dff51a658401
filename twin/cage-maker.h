/*
 * The process that makes cages (twin/cage.h). It is a program of its own, since what it forks
 * becomes the first process of each cage: nothing that the supervisor knows may lie in its memory.
 *
 * It sees the machine's files as the cages do and lends them that view. Its stdin is a socket of
 * packets: a request is one byte and may have a network namespace beside it; the answer is a struct
 * cage_answer, with a descriptor of the first process beside it when errno_value is 0.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct cage_answer {
    pid_t pid;
    int errno_value;
    char what[64]; /* what failed, to be read after "cannot" */
};

/* `parley-twin cages`: serves until the other end is closed. Returns the exit code. */
int cage_maker_main(void);

/* Whether cages find the path where it is, without being given it. */
bool cage_maker_shows(const char *path);
/* Makes the folders that lead to the path, and an empty folder or file at it, as far as they are
 * not there. System calls only. Returns 0 or a negative errno. */
int cage_maker_make_way(const char *path, bool is_folder);
