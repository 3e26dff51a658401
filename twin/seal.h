/*
 * What a program that the twin runs may not ask of the kernel: a filter of system calls. It refuses
 * what leads out of the program's namespaces, looks into others, or changes the kernel; all else
 * is left to permissions, since the program has no capabilities anyway.
 */
#pragma once

/*
 * Seals the calling process and all that it will start, for good. The refused calls fail with
 * EPERM (clone3 with ENOSYS, so that libraries fall back to clone, whose flags can be looked at),
 * also those of another architecture. Needs no rights. System calls only, so a child may call it
 * before it becomes another program. Returns 0 or a negative errno.
 */
int seal_process(void);
