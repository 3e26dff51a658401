#include "store/sqlite/here.h"

#include "base/files.h"
#include "base/memory.h"

#include <pthread.h>

static struct {
    pthread_mutex_t lock;
    struct here_file *files; /* owned; one that is open twice is there twice */
    size_t n_files, capacity;
} here = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_same(const struct here_file *a, const struct here_file *b)
{
    return a->device == b->device && a->number == b->number;
}

static bool look_up(const char *database, struct here_file *ret_file)
{
    struct stat status;
    if (files_look_at(database, &status) < 0)
        return false;
    *ret_file = (struct here_file){status.st_dev, status.st_ino, true};
    return true;
}

void here_add(const char *database, struct here_file *ret_file)
{
    if (!look_up(database, ret_file))
        return;
    pthread_mutex_lock(&here.lock);
    ARRAY_RESERVE(here.files, here.n_files, here.capacity);
    here.files[here.n_files++] = *ret_file;
    pthread_mutex_unlock(&here.lock);
}

void here_remove(struct here_file *file)
{
    if (!file->is_noted)
        return;
    pthread_mutex_lock(&here.lock);
    size_t i = 0;
    while (i < here.n_files && !is_same(&here.files[i], file))
        i++;
    if (i < here.n_files)
        here.files[i] = here.files[--here.n_files];
    if (here.n_files == 0) {
        mem_free(here.files);
        here.files = NULL;
        here.capacity = 0;
    }
    pthread_mutex_unlock(&here.lock);
    file->is_noted = false;
}

bool here_has(const char *database)
{
    struct here_file file = {0};
    bool has = false;
    if (!look_up(database, &file))
        return false;
    pthread_mutex_lock(&here.lock);
    for (size_t i = 0; i < here.n_files; i++)
        has = has || is_same(&here.files[i], &file);
    pthread_mutex_unlock(&here.lock);
    return has;
}
