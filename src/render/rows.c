/* Rows as people read them, however many they are. */
#include "render/render.h"

#include <stdlib.h>
#include <string.h>

/* So many are told one by one. */
enum { MAX_ROWS = 200 };

static int compare_rows(const void *a, const void *b, void *argument)
{
    const struct row_view *view = argument;
    const struct value *left = *(const struct value *const *)a;
    const struct value *right = *(const struct value *const *)b;
    int order = strcmp(view->state(left), view->state(right));
    return order ? order : strcmp(view->kind(left), view->kind(right));
}

static void write_counts(const struct row_view *view, const struct value **rows, size_t n_rows,
                         struct strbuf *buffer)
{
    for (size_t first = 0, last; first < n_rows; first = last) {
        for (last = first + 1;
             last < n_rows && compare_rows(&rows[first], &rows[last], (void *)view) == 0;)
            last++;
        strbuf_addf(buffer, "  %-10s %zu x %s\n", view->state(rows[first]), last - first,
                    view->kind(rows[first]));
    }
}

void render_rows(const struct row_view *view, const struct value **rows, size_t n_rows,
                 struct strbuf *buffer)
{
    bool are_many = n_rows > MAX_ROWS;
    if (are_many) {
        qsort_r(rows, n_rows, sizeof(const struct value *), compare_rows, (void *)view);
        write_counts(view, rows, n_rows, buffer);
    }
    for (size_t i = 0, n_named = 0; i < n_rows && n_named < MAX_ROWS; i++) {
        if (are_many && view->is_well(rows[i]))
            continue;
        view->write(rows[i], buffer);
        n_named++;
    }
    if (are_many)
        strbuf_add(buffer, "These are many: --json has each of them.\n");
}

void render_row_list(const struct row_view *view, const struct value *list, struct strbuf *buffer)
{
    size_t n_rows = value_count(list);
    const struct value **rows = NEW_ARRAY(const struct value *, n_rows);
    for (size_t i = 0; i < n_rows; i++)
        rows[i] = value_at(list, i);
    render_rows(view, rows, n_rows, buffer);
    mem_free(rows);
}
