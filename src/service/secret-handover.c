/* Hands the texts of secrets from a door to the run that it starts, by a pipe. */
#include "base/memory.h"
#include "base/text.h"
#include "net/child.h"
#include "service/credentials.h"
#include "service/secrets.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* All that a run is handed: what a pipe may hold. */
enum { MAX_HANDED = 1 << 20 };

static size_t count(const struct value *map)
{
    return map ? value_count(map) : 0;
}

static int add_text(void *argument, const char *text, size_t size, struct error *err)
{
    struct strbuf *content = argument;
    (void)err;
    strbuf_addf(content, "%zu\n", size);
    strbuf_add_n(content, text, size);
    return 0;
}

int secrets_hand_over(struct service *service, const struct plan *plan, int *ret_descriptor,
                      struct error *err)
{
    struct strbuf content = {0};
    size_t n = count(plan->secrets);
    size_t n_all = n + count(plan->credentials);
    int r = 0;
    *ret_descriptor = -1;
    for (size_t i = 0; r == 0 && i < n_all; i++) {
        const char *digest =
            i < n ? secrets_find(service->secrets, value_key_at(plan->secrets, i))
                  : credentials_find(service, value_key_at(plan->credentials, i - n));
        r = secret_use(service->secrets, digest ? digest : "", add_text, &content, err);
    }
    if (r == 0 && content.length > MAX_HANDED)
        r = error_set(err, ERROR_LIMIT,
                      "the secrets of the plan have %zu bytes; a run takes at most %d",
                      content.length, MAX_HANDED);
    if (r == 0 && n_all > 0)
        r = child_make_input(strbuf_text(&content), content.length, ret_descriptor, err);
    strbuf_done(&content);
    return r;
}

/* All that stdin has, when it is what a door handed us. */
static int read_input(struct strbuf *content, struct error *err)
{
    static const char none[] =
        "the texts of the secrets were not handed to this run; start it with \"parley apply\" or "
        "\"parley resume\"";
    char piece[4096];
    struct stat status;
    if (fstat(STDIN_FILENO, &status) < 0 || !S_ISFIFO(status.st_mode))
        return error_set(err, ERROR_NOT_FOUND, "%s", none);
    for (;;) {
        ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        strbuf_add_n(content, piece, (size_t)n);
        mem_wipe(piece, (size_t)n);
        if (content->length > (size_t)2 * MAX_HANDED)
            return error_set(err, ERROR_LIMIT, "%s", none);
    }
    return content->length > 0 ? 0 : error_set(err, ERROR_NOT_FOUND, "%s", none);
}

/* Takes one text from *cursor on. */
static int take_text(struct service *service, char **cursor, const char *end, const char *name,
                     const char **ret_digest, struct error *err)
{
    char *text = NULL;
    unsigned long size = *cursor < end ? strtoul(*cursor, &text, 10) : 0;
    if (!text || *text != '\n' || size > (size_t)(end - text - 1))
        return error_set(err, ERROR_INVALID, "the secret %s was not handed to this run", name);
    *cursor = text + 1 + size;
    return secrets_add(service->secrets, text + 1, size, ret_digest, err);
}

static int take_secret(struct service *service, const struct plan *plan, const char *name,
                       const char *digest, struct error *err)
{
    const struct value *entry = value_get(plan->secrets, name);
    if (!text_equal_or_null(value_get_text(entry, "digest"), digest))
        return error_set(err, ERROR_STALE,
                         "the secret %s is another than the plan was made with; plan again", name);
    secrets_name(service->secrets, name, digest);
    return 0;
}

int secrets_take_over(struct service *service, const struct plan *plan, struct error *err)
{
    struct strbuf content = {0};
    size_t n = count(plan->secrets);
    size_t n_all = n + count(plan->credentials);
    if (n_all == 0)
        return 0;
    /* Where a run is no child there is no pipe. */
    if (service->run_host)
        return secrets_gather(service, plan, err);
    int r = secrets_open(service, err);
    if (r == 0)
        r = read_input(&content, err);
    char *cursor = content.text;
    for (size_t i = 0; r == 0 && i < n_all; i++) {
        const char *digest = NULL;
        const char *name =
            i < n ? value_key_at(plan->secrets, i) : value_key_at(plan->credentials, i - n);
        r = take_text(service, &cursor, content.text + content.length, name, &digest, err);
        if (r == 0)
            r = i < n ? take_secret(service, plan, name, digest, err)
                      : credentials_take(service, plan, name, digest, err);
    }
    strbuf_done(&content);
    return r;
}
