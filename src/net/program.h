/* Programs that are installed on this machine: what a child can be. */
#pragma once

#include <stdbool.h>

/* PATH, and behind it the folders of the system that are not in everybody's; the caller's. */
char *program_folders(void);

/* Looks for a program in those folders. The caller frees *ret_path with mem_free(); it is untouched
 * when there is none, and may be NULL. */
bool program_find(const char *program, char **ret_path);

/* A program that works out of a folder of its own: HOME/bin/PROGRAM and other files beside it. */
struct program_kit {
    const char *const *programs; /* NULL-terminated; the first that is there is taken */
    const char *mark;            /* a file of HOME by which it is known */
    const char *home;            /* where its package puts HOME */
};

/* grafana, or grafana-server, which is what releases before 9.3 have alone. */
extern const struct program_kit program_grafana;

/*
 * Looks for a kit: by one of its programs, as program_find() does, beside which or beside whose
 * target HOME lies, then in the package's folder. A program that only leads to a kit elsewhere (a
 * script of a package) is not taken for one. The caller frees both texts; either may be NULL.
 */
bool program_find_kit(const struct program_kit *kit, char **ret_program, char **ret_home);
