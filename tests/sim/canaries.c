#include "sim/canaries.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "model/resource.h"
#include "sim/disk.h"

#include <stdlib.h>
#include <string.h>

static struct string_list known;
static char *token; /* owned */

void canaries_begin(void)
{
    string_list_add(&known, SIM_CANARY);
    canaries_set_token(0);
}

void canaries_done(void)
{
    string_list_done(&known);
    mem_free(take_ptr(token));
    unsetenv(SIM_TOKEN);
}

void canaries_set_token(unsigned int number)
{
    mem_free(token);
    token = string_format("%s-%u", SIM_CANARY, number);
}

const char *canaries_token(void)
{
    return token;
}

void canaries_offer(void)
{
    setenv(SIM_TOKEN, token, 1);
}

void canaries_note(const char *text)
{
    if (text && !canaries_find(text))
        string_list_add(&known, text);
}

const char *canaries_find(const char *text)
{
    for (size_t i = 0; i < known.n_items; i++)
        if (strstr(text, known.items[i]))
            return known.items[i];
    return NULL;
}

const char *canaries_find_on_disk(void)
{
    for (size_t i = 0; i < known.n_items; i++) {
        const char *path = disk_find_text(known.items[i]);
        if (path)
            return path;
    }
    return NULL;
}
