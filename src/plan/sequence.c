/* The pass that keeps ordered types (firewall rules) in document order, by sparse sequence numbers.
 */
#include "plan/draft.h"

#include "base/memory.h"
#include "base/text.h"

enum { STEP_SIZE = 100 };

/* The ordered resources of one type and instance, in document order. */
struct row {
    size_t *pairs;     /* owned */
    int64_t *recorded; /* owned; the number a resource has, or 0 */
    size_t n;
    size_t capacity;
};

static int64_t recorded_number(const struct draft *draft, const struct pair *pair)
{
    if (pair->record == NONE)
        return 0;
    return value_get_integer(draft_record(draft, pair->record)->spec, "sequence", 0);
}

/* Rows by "TYPE INSTANCE"; what the user numbers himself is left alone. */
static void collect_rows(const struct draft *draft, struct map *rows)
{
    for (size_t i = 0; i < draft->n_pairs; i++) {
        const struct pair *pair = &draft->pairs[i];
        if (!pair->type->is_ordered || value_get(pair->wanted->spec, "sequence"))
            continue;
        CLEANUP(mem_freep)
        char *key = string_format("%s %s", pair->wanted->type, pair->wanted->instance);
        struct row *row = map_get(rows, key);
        if (!row) {
            row = NEW(struct row);
            map_put(rows, key, row);
        }
        ARRAY_RESERVE(row->pairs, row->n, row->capacity);
        row->recorded = mem_resize(row->recorded, row->capacity, sizeof(row->recorded[0]));
        row->recorded[row->n] = recorded_number(draft, pair);
        row->pairs[row->n++] = i;
    }
}

/* Where number belongs in the ends of the increasing chains found so far. */
static size_t find_end(const struct row *row, const size_t *ends, size_t n_ends, int64_t number)
{
    size_t low = 0;
    size_t high = n_ends;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (row->recorded[ends[middle]] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Forgets the numbers outside the longest increasing chain, so that as few as possible change. */
static void keep_longest_chain(struct row *row)
{
    size_t *ends = NEW_ARRAY(size_t, row->n);
    size_t *previous = NEW_ARRAY(size_t, row->n);
    bool *is_kept = NEW_ARRAY(bool, row->n);
    size_t n_ends = 0;
    for (size_t i = 0; i < row->n; i++) {
        if (row->recorded[i] <= 0)
            continue;
        size_t at = find_end(row, ends, n_ends, row->recorded[i]);
        previous[i] = at > 0 ? ends[at - 1] : NONE;
        ends[at] = i;
        if (at == n_ends)
            n_ends++;
    }
    for (size_t i = n_ends > 0 ? ends[n_ends - 1] : NONE; i != NONE; i = previous[i])
        is_kept[i] = true;
    for (size_t i = 0; i < row->n; i++)
        if (!is_kept[i])
            row->recorded[i] = 0;
    mem_free(ends);
    mem_free(previous);
    mem_free(is_kept);
}

/* Numbers the gap [first, last) between two kept numbers; false when there is no room. */
static bool fill_gap(struct row *row, size_t first, size_t last, int64_t below, int64_t above)
{
    int64_t n = (int64_t)(last - first);
    int64_t distance = above ? (above - below) / (n + 1) : STEP_SIZE;
    if (distance < 1)
        return false;
    for (size_t i = first; i < last; i++)
        row->recorded[i] = below + distance * (int64_t)(i - first + 1);
    return true;
}

static bool fill_gaps(struct row *row)
{
    int64_t below = 0;
    for (size_t i = 0; i < row->n;) {
        if (row->recorded[i]) {
            below = row->recorded[i++];
            continue;
        }
        size_t last = i;
        while (last < row->n && !row->recorded[last])
            last++;
        if (!fill_gap(row, i, last, below, last < row->n ? row->recorded[last] : 0))
            return false;
        i = last;
    }
    return true;
}

static void number_row(struct draft *draft, struct row *row)
{
    keep_longest_chain(row);
    if (!fill_gaps(row))
        for (size_t i = 0; i < row->n; i++)
            row->recorded[i] = STEP_SIZE * (int64_t)(i + 1);
    for (size_t i = 0; i < row->n; i++) {
        struct pair *pair = &draft->pairs[row->pairs[i]];
        pair->spec = value_with(pair->wanted->spec, "sequence", value_integer(row->recorded[i]));
    }
    mem_free(row->pairs);
    mem_free(row->recorded);
    mem_free(row);
}

/* Gives every resource of an ordered type a number that keeps it where the document has it. */
int draft_sequence(struct draft *draft, struct error *err)
{
    (void)err;
    struct map rows = {0};
    collect_rows(draft, &rows);
    size_t cursor = 0;
    struct map_entry *entry;
    while ((entry = map_next(&rows, &cursor)))
        number_row(draft, entry->value);
    map_done(&rows);
    return 0;
}
