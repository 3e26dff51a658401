/* The audit chain: shown, verified, and added to where a verb is no plan. */
#include "base/memory.h"
#include "base/text.h"
#include "service/service.h"
#include "store/audit.h"

enum { SHOWN = 200, PAGE = 1000 };

void service_add_audit(const struct service *service, struct store_batch *batch, const char *kind,
                       struct value_builder *fields)
{
    value_builder_set_string(fields, "principal", service->caller.principal);
    value_builder_set_string(fields, "client", service->caller.client);
    value_builder_set_string(fields, "words", service->words);
    CLEANUP(value_unrefp) struct value *entry = value_builder_map(fields);
    store_batch_audit(batch, kind, entry);
}

int service_audit(struct service *service, const char *kind, struct value_builder *fields,
                  struct error *err)
{
    CLEANUP(store_batch_freep) struct store_batch *batch = store_batch_new();
    service_add_audit(service, batch, kind, fields);
    int r = service_need_store(service, false, err);
    return r < 0 ? r : store_commit(service->store, batch, NULL, err);
}

/* The newest entries that are of the deployment (NULL: of any), oldest first. */
struct newest {
    const char *deployment_uid;
    struct value *entries[SHOWN]; /* owned, as a ring */
    size_t n;                     /* that were put in */
};

static void newest_done(struct newest *newest)
{
    for (size_t i = 0; i < SHOWN; i++)
        value_unref(newest->entries[i]);
}

static void add_newest(struct newest *newest, struct value *entry)
{
    const char *uid = value_get_text(entry, "deployment");
    if (newest->deployment_uid && !text_equal_or_null(uid, newest->deployment_uid))
        return;
    struct value **place = &newest->entries[newest->n++ % SHOWN];
    value_unref(*place);
    *place = value_ref(entry);
}

static struct value *list_newest(const struct newest *newest)
{
    struct value_builder list = {0};
    size_t first = newest->n > SHOWN ? newest->n - SHOWN : 0;
    for (size_t i = first; i < newest->n; i++)
        value_builder_append(&list, value_ref(newest->entries[i % SHOWN]));
    return value_builder_list(&list);
}

/* Without a deployment the end of the chain is enough. */
CO_FN static int find_start(struct service *service, const struct newest *newest,
                            int64_t *ret_number, struct error *err)
{
    int64_t last = 0;
    *ret_number = 0;
    if (newest->deployment_uid)
        return 0;
    int r = store_last_audit(service->store, &last, err);
    *ret_number = last > SHOWN ? last - SHOWN : 0;
    return r;
}

CO_FN static int read_newest(struct service *service, struct newest *newest, struct error *err)
{
    int64_t number = 0;
    size_t n = PAGE;
    int r = find_start(service, newest, &number, err);
    while (r == 0 && n == PAGE) {
        CLEANUP(value_unrefp) struct value *page = NULL;
        r = store_read_audit(service->store, number, PAGE, &page, err);
        n = r == 0 ? value_count(page) : 0;
        for (size_t i = 0; i < n; i++)
            add_newest(newest, value_at(page, i));
        if (n > 0)
            number = value_get_integer(value_at(page, n - 1), "number", 0);
    }
    return r;
}

int service_show_audit(struct service *service, const char *word, struct value **ret_entries,
                       struct error *err)
{
    CLEANUP(store_deployment_done) struct store_deployment deployment = {0};
    CLEANUP(newest_done) struct newest newest = {0};
    int r = word ? service_find_deployment(service, word, &deployment, err)
                 : service_need_store(service, false, err);
    newest.deployment_uid = deployment.uid;
    if (r == 0)
        r = read_newest(service, &newest, err);
    if (r == 0)
        *ret_entries = list_newest(&newest);
    return r;
}

int service_verify_audit(struct service *service, const char *digest, struct value **ret_report,
                         struct error *err)
{
    int r = service_need_store(service, false, err);
    return r < 0 ? r : store_verify_audit(service->store, digest, ret_report, err);
}
