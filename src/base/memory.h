/* Memory that is always there: allocation ends the process when it fails, cleanup follows scope. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * All of these abort when memory is out: the journal makes that survivable. Sizes that come from
 * outside must have been checked against a limit before.
 */
void *mem_zeroed(size_t count, size_t size);
void *mem_resize(void *block, size_t count, size_t size);
void *mem_copy(const void *block, size_t size);
char *string_copy(const char *text);
char *string_copy_n(const char *text, size_t length);
void mem_free(void *block);

/* From now on this process overwrites whatever it frees: texts of secrets were, or will be, in it.
 */
void mem_wipe_freed(void);
/* The end of that, for a simulated machine that is gone with all its secrets. */
void mem_keep_freed(void);

/*
 * While it is on, what this thread allocates lies in pages that no core file has and that are not
 * swapped out, as far as the system lets us; they stay so. Returns whether it was on. It never is
 * on a simulated machine, whose memory nobody looks at.
 */
bool mem_lock_new(bool is_on);
/* Whether the system lets us: RLIMIT_MEMLOCK may be too small. */
bool mem_can_lock(void);

/* Overwrites size bytes in a way the compiler does not remove. For secrets. */
void mem_wipe(void *block, size_t size);

#define NEW(type) ((type *)mem_zeroed(1, sizeof(type)))
#define NEW_ARRAY(type, count) ((type *)mem_zeroed((count), sizeof(type)))

/* Makes room for one more item in (items, n_items, capacity), doubling the capacity when it is used
 * up. */
#define ARRAY_RESERVE(items, n_items, capacity)                                      \
    do {                                                                             \
        if ((n_items) == (capacity)) {                                               \
            (capacity) = (capacity) ? (capacity)*2 : 8;                              \
            (items) = mem_resize((items), (capacity), sizeof(__typeof__(*(items)))); \
        }                                                                            \
    } while (0)

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* CLEANUP(x_freep) struct x *p = ...; calls x_free(p) when p leaves its scope. */
#define CLEANUP(function) __attribute__((cleanup(function)))

/* Defines FREE##p() for CLEANUP from a destructor that accepts NULL. */
#define DEFINE_CLEANUP(type, free)            \
    static inline void free##p(type *pointer) \
    {                                         \
        if (*pointer)                         \
            free(*pointer);                   \
    }

DEFINE_CLEANUP(char *, mem_free)

/* Hands ownership out of a CLEANUP variable: yields its pointer and leaves NULL behind. */
#define take_ptr(pointer)                        \
    ({                                           \
        __typeof__(pointer) *from_ = &(pointer); \
        __typeof__(pointer) taken_ = *from_;     \
        *from_ = NULL;                           \
        taken_;                                  \
    })

/* Closes a descriptor that is not negative; for CLEANUP(close_descriptorp) int fd = ...; */
void close_descriptor(int fd);
static inline void close_descriptorp(const int *fd)
{
    close_descriptor(*fd);
}

/* Hands a descriptor out of a CLEANUP variable: returns it and leaves -1 behind. */
static inline int take_descriptor(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}
