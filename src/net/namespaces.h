/*
 * What keeps a process from making namespaces, and what to do about it, as far as this machine's
 * files tell. Nothing is tried.
 */
#pragma once

#include <stdbool.h>

/* A sentence for what is wrong and one for what to do; the caller frees both with mem_free(). */
struct namespaces_obstacle {
    char *detail;
    char *help;
    bool is_certain; /* false: AppArmor's profiles may allow it all the same; a trial tells */
};

/* Whether anything is known to be in the way of this user; *ret_obstacle is untouched if not. */
bool namespaces_find_obstacle(struct namespaces_obstacle *ret_obstacle);
void namespaces_obstacle_done(struct namespaces_obstacle *obstacle);

/* What to do when the kernel has refused; the caller frees it with mem_free(). */
char *namespaces_explain_refusal(void);
/* Why, in words; borrowed, as strerror()'s. */
const char *namespaces_describe_error(int errno_value);
