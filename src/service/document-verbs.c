/* Reading a document for all verbs that begin with one. */
#include "base/memory.h"
#include "base/text.h"
#include "document/document.h"
#include "pattern/pattern.h"
#include "service/contexts.h"
#include "service/elsewhere.h"
#include "service/reads.h"
#include "service/secrets.h"
#include "service/service.h"
#include "service/shown-files.h"

#include <string.h>

extern char **environ;

void loaded_document_done(struct loaded_document *loaded)
{
    wanted_done(&loaded->wanted);
    document_free(loaded->document);
    value_unref(loaded->variables);
    value_unref(loaded->reads);
    value_unref(loaded->secrets);
    mem_free(loaded->text);
    *loaded = (struct loaded_document){0};
}

static int read_source(const struct document_source *source, struct loaded_document *loaded,
                       struct diagnostics *diagnostics, struct error *err)
{
    if (!source->text)
        return document_read_file(source->path, &loaded->text, &loaded->document, diagnostics, err);
    loaded->text = string_copy(source->text);
    document_read(source->path, source->text, strlen(source->text), &loaded->document, diagnostics);
    return 0;
}

/* PARLEY_VAR_name=value of the environment, as a map. */
static struct value *environment_variables(void)
{
    static const char prefix[] = "PARLEY_VAR_";
    struct value_builder fields = {0};
    for (char **entry = environ; *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (!equals || !text_starts_with(*entry, prefix))
            continue;
        const char *name = *entry + sizeof(prefix) - 1;
        CLEANUP(mem_freep) char *copy = string_copy_n(name, (size_t)(equals - name));
        value_builder_set(&fields, copy, value_string(equals + 1));
    }
    return value_builder_map(&fields);
}

/* A name given on the command line that no variable has is most likely a typing error. */
static void check_given(struct document *document, const struct document_source *source,
                        struct diagnostics *diagnostics)
{
    for (size_t i = 0; source->variables && i < value_count(source->variables); i++) {
        const char *name = value_key_at(source->variables, i);
        if (!document_has_variable(document, name))
            diagnostics_add(
                diagnostics, DIAGNOSTIC_UNKNOWN_VARIABLE, (struct position){source->path, 0, 0},
                "declare it under variables:, or correct its name",
                "The document has no variable \"%s\", which was given on the command line.", name);
    }
}

/* Document < site < PARLEY_VAR_x < --var (DESIGN section 18). */
static void set_variables(struct service *service, struct document *document,
                          const struct document_source *source, struct diagnostics *diagnostics)
{
    const struct value *of_site = site_variables(service->site, document_environment(document));
    CLEANUP(value_unrefp) struct value *of_environment = environment_variables();
    if (of_site)
        document_set_variables(document, of_site, diagnostics);
    document_set_variables(document, of_environment, diagnostics);
    check_given(document, source, diagnostics);
    if (source->variables)
        document_set_variables(document, source->variables, diagnostics);
}

static int choose_instance(void *argument, const struct resource_type *type, const char *on,
                           const char **ret_instance, struct error *err)
{
    const struct reader *reader = argument;
    return site_choose_instance(reader->service->site, type, on, ret_instance, err);
}

static int read_deployment(void *argument, const char *name, const char *environment,
                           const char *address, const char *path, struct value **ret_value,
                           struct error *err)
{
    CLEANUP(value_unrefp) struct value *value = NULL;
    int r = reader_read(argument, name, environment, address, path, &value, err);
    if (r == 0 && value_has_secret(value))
        r = error_set(err, ERROR_DENIED,
                      "%s of %s is a secret there; declare it under secrets: here, too", path,
                      address);
    if (r == 0)
        *ret_value = take_ptr(value);
    return r;
}

static int digest_secret(void *argument, const char *expression, char **ret_digest,
                         struct error *err)
{
    const struct reader *reader = argument;
    return secrets_find_digest(reader->service, expression, ret_digest, err);
}

/* Where the document lies; the caller frees it. */
static char *folder_of(const struct document_source *source)
{
    const char *slash = strrchr(source->path, '/');
    if (!slash)
        return string_copy(".");
    return slash == source->path ? string_copy("/")
                                 : string_copy_n(source->path, (size_t)(slash - source->path));
}

/* Reads the secrets from where they come, unless the document has faults already. */
static CO_FN int read_secrets(struct service *service, const struct document_source *source,
                              struct loaded_document *loaded, struct diagnostics *diagnostics,
                              struct error *err)
{
    struct store_deployment known = {0};
    const char *name = document_name(loaded->document);
    const char *environment = document_environment(loaded->document);
    CLEANUP(mem_freep) char *folder = folder_of(source);
    struct error missing = {0};
    if (!source->reads_secrets ||
        value_count(document_read_secrets(loaded->document, diagnostics)) == 0 ||
        diagnostics_has_errors(diagnostics))
        return 0;
    int r = service_need_store(service, true, err);
    if (r < 0)
        return r;
    r = store_find_deployment(service->store, name, environment, &known, &missing);
    if (r < 0 && r != -ERROR_NOT_FOUND)
        return error_move(err, &missing);
    error_done(&missing);
    bool is_there = r == 0 && !known.is_destroyed;
    CLEANUP(mem_freep)
    char *uid = is_there ? string_copy(known.uid)
                         : service_derive_uid(service, name, environment,
                                              r < 0 ? 1 : known.incarnation + 1);
    store_deployment_done(&known);
    if (source->secrets) {
        loaded->secrets = value_ref((struct value *)source->secrets);
        return secrets_recall(service, source->secrets, uid, err);
    }
    struct secret_place place = {uid, folder};
    return secrets_read(service, loaded->document, &place, &loaded->secrets, diagnostics, err);
}

int service_load_document(struct service *service, const struct document_source *source,
                          struct loaded_document *ret_loaded, struct diagnostics *diagnostics,
                          struct error *err)
{
    struct loaded_document *loaded = ret_loaded;
    *loaded = (struct loaded_document){0};
    int r = read_source(source, loaded, diagnostics, err);
    if (r < 0)
        return r;
    if (loaded->document) {
        struct reader reader = {.service = service};
        struct document_context context = {.catalog = service->catalog,
                                           .choose_instance = choose_instance,
                                           .read_deployment = read_deployment,
                                           .argument = &reader};
        set_variables(service, loaded->document, source, diagnostics);
        if (source->is_from_elsewhere)
            elsewhere_check_secrets(loaded->document, diagnostics);
        r = read_secrets(service, source, loaded, diagnostics, err);
        if (loaded->secrets)
            context.digest_secret = digest_secret;
        pattern_apply(loaded->document, service->catalog, diagnostics);
        document_expand(loaded->document, &context, &loaded->wanted, diagnostics);
        CLEANUP(mem_freep) char *folder = folder_of(source);
        /* An edit from elsewhere could name a file, too. */
        bool is_elsewhere = service->caller.authentication != AUTHENTICATION_USER;
        if (is_elsewhere)
            elsewhere_check_files(service->catalog, &loaded->wanted, diagnostics);
        if (!is_elsewhere || !diagnostics_has_errors(diagnostics)) {
            contexts_fill(service->catalog, folder, &loaded->wanted, diagnostics);
            shown_files_fill(service->catalog, folder, &loaded->wanted, diagnostics);
        }
        loaded->reads = reader_list(&reader);
        reader_done(&reader);
        struct value *variables = document_variables(loaded->document);
        loaded->variables =
            variables ? value_ref(variables) : value_builder_map(&(struct value_builder){0});
    }
    if (r < 0)
        return r;
    if (!loaded->document || diagnostics_has_errors(diagnostics))
        return error_set(err, ERROR_INVALID, "%s has faults", source->path);
    return 0;
}

char *service_expand(const struct loaded_document *loaded)
{
    return document_write_expanded(loaded->document);
}
