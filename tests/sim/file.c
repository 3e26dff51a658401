#include "sim/file.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/world.h"
#include "sim/disk.h"

#include <string.h>

enum { LIMIT = 1 << 20, MODE = 0644, STEPS = 6 /* of the disk, for one text */ };

/* What may be found there: more than one text, until a write has come to its end. */
static struct string_list possible;

void file_done(void)
{
    string_list_done(&possible);
    possible = (struct string_list){0};
}

static void expect(const char *text)
{
    file_done();
    string_list_add(&possible, text);
}

void file_save(const char *text)
{
    disk_save(SIM_FILE, text);
    expect(text);
}

static bool is_possible(const char *text)
{
    for (size_t i = 0; i < possible.n_items; i++)
        if (text_equal(possible.items[i], text))
            return true;
    return false;
}

char *file_read(void)
{
    char *text = NULL;
    struct error err = {0};
    int r = sim_is_dead() ? -1 : world_read_file(SIM_FILE, LIMIT, &text, NULL, &err);
    if (!sim_is_dead() && (r < 0 || !is_possible(text)))
        sim_violation("the document is neither as it was nor as it was to become: %s",
                      r < 0 ? error_message(&err) : text);
    error_done(&err);
    return text;
}

int file_write(const char *text, struct error *err)
{
    string_list_add(&possible, text);
    fault_ahead(&sim->writers, STEPS);
    int r = world_write_file(SIM_FILE, text, strlen(text), MODE, true, err);
    if (sim_is_dead())
        return r < 0 ? r : error_set(err, ERROR_UNAVAILABLE, "the process is dead");
    if (r == 0)
        expect(text);
    sim_trace("process %d writes the document: %s", sim->current->id,
              r < 0 ? error_message(err) : "0");
    return r;
}
