/*
 * The secrets of a simulated world. Each is a canary: once it is known it must stand nowhere but at
 * the remote systems, whatever goes wrong.
 */
#pragma once

/* What every secret of ours has in it; what the program makes itself is known when it arrives. */
#define SIM_CANARY "canary-9f1c77"
/* The environment variable that a document's secret is read from. */
#define SIM_TOKEN "SIM_TOKEN"

void canaries_begin(void);
void canaries_done(void);
/* What the variable says from now on. */
void canaries_set_token(unsigned int number);
const char *canaries_token(void);
/* Gives the variable to a process that begins: who reads a secret takes it out. */
void canaries_offer(void);
/* A remote system was sent a secret; NULL: none. */
void canaries_note(const char *text);
/* The secret that stands in a text or on the disk; NULL: none. */
const char *canaries_find(const char *text);
const char *canaries_find_on_disk(void);
