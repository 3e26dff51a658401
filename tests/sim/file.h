/*
 * The document's file as its writer keeps it: people save it whole, and commands write it as the
 * command line does, which may die over that. Whoever reads it finds what was there before or what
 * was to be there, and nothing else.
 */
#pragma once

#include "base/error.h"
#include "sim/sim.h"

#define SIM_FILE "/home/story.yaml"
#define SIM_FILE_LABEL "file-" /* how a label begins that a command put there */

/* Somebody saves it, and has seen that it is on the disk. */
void file_save(const char *text);
void file_done(void);
/* What whoever has the turn finds there; the caller frees it. NULL: the process is dead. */
char *file_read(void);
/* As a command does once its plan is approved; the process may die over it. */
int file_write(const char *text, struct error *err);

/* Somebody changes a value in it, or brings it up to date. */
void writer_body(struct process *process);
