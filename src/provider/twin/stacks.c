/* What of a stack cannot be on this machine, or makes no sense: before anything is approved. */
#include "provider/twin/twin.h"

#include "base/text.h"
#include "net/program.h"

#include <string.h>
#include <unistd.h>

static const struct position nowhere;

/* A service of a stack; all borrowed. */
struct service_view {
    const struct target *target;
    const struct value *services;
    const char *name;
    const struct value *fields;
};

__attribute__((format(printf, 4, 5))) static void refuse(struct diagnostics *diagnostics,
                                                         const struct service_view *service,
                                                         const char *help, const char *format, ...)
{
    struct strbuf text = {0};
    va_list arguments;
    va_start(arguments, format);
    strbuf_addv(&text, format, arguments);
    va_end(arguments);
    diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere, help, "%s: %s of %s.",
                    service->target->address, strbuf_text(&text), service->name);
    strbuf_done(&text);
}

static bool is_map(const struct value *value)
{
    return !value_is_null(value) && value_kind(value) == VALUE_MAP;
}

/* Only root has control groups. */
static void check_limits(const struct service_view *service, struct diagnostics *diagnostics)
{
    if (geteuid() != 0 && !value_is_null(value_get(service->fields, "limits")))
        diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                         "Run parley as root to have them kept.",
                         "%s: the limits of %s are not kept: only root has control groups.",
                         service->target->address, service->name);
}

/* For who looks at all types and wants none of them. */
static void tell_limits(const struct target *target, struct diagnostics *diagnostics)
{
    if (geteuid() != 0)
        diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                         "Run parley as root to have them kept.",
                         "%s: the limits of services are not kept: only root has control groups.",
                         target->address);
}

/* --- Health checks --- */

/* The item's text; "" when it is not known yet. */
static const char *text_at(const struct value *list, size_t index)
{
    const struct value *item = value_at(list, index);
    return value_kind(item) == VALUE_STRING ? value_text(item) : "";
}

static bool is_of_a_kind(const struct value *test)
{
    size_t n = value_count(test);
    const char *first = text_at(test, 0);
    if (value_kind(value_at(test, 0)) != VALUE_STRING)
        return true;
    if (text_equal(first, "CMD"))
        return n >= 2;
    if (text_equal(first, "CMD-SHELL"))
        return n == 2;
    return n == 1 && *first;
}

/* What a shell does by itself, or understands. */
static bool is_of_shell(const char *word)
{
    static const char *const words[] = {
        "!",    ".",      ":",     "[",      "case",  "cd",    "command", "echo", "eval",  "exec",
        "exit", "export", "false", "for",    "if",    "kill",  "printf",  "pwd",  "read",  "set",
        "test", "true",   "type",  "ulimit", "umask", "unset", "until",   "wait", "while",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (text_equal(words[i], word))
            return true;
    return false;
}

/* The program that a check begins with, where that can be told; the caller frees it. */
static char *find_word(const struct value *test)
{
    const char *first = text_at(test, 0);
    if (text_equal(first, "NONE"))
        return NULL;
    if (text_equal(first, "CMD"))
        return string_copy(text_at(test, 1));
    const char *line = text_equal(first, "CMD-SHELL") ? text_at(test, 1) : first;
    line += strspn(line, " \t\n");
    size_t length = strcspn(line, " \t\n;|&<>()");
    CLEANUP(mem_freep) char *word = string_copy_n(line, length);
    bool is_plain = strpbrk(word, "$`\"'\\*?{}=~#") == NULL;
    return is_plain && !is_of_shell(word) ? take_ptr(word) : NULL;
}

static void check_health(const struct service_view *service, struct diagnostics *diagnostics)
{
    const struct value *test = value_get(value_get(service->fields, "healthcheck"), "test");
    if (value_is_null(test) || value_kind(test) != VALUE_LIST || value_count(test) == 0)
        return;
    if (!is_of_a_kind(test)) {
        refuse(diagnostics, service,
               "Write test: [CMD, PROGRAM, ...], [CMD-SHELL, \"TEXT\"], [NONE], or a text for the "
               "shell.",
               "this is no test for the health check");
        return;
    }
    CLEANUP(mem_freep) char *word = find_word(test);
    if (!word || !*word || program_find(word, NULL))
        return;
    diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_STAND_IN, nowhere,
                     "Install it on this machine, or check with what is there.",
                     "%s: the health of %s is checked only if its image was built here: this "
                     "machine has no program %.200s for the stand-in of another, which counts as "
                     "healthy when it answers.",
                     service->target->address, service->name, word);
}

/* --- Volumes --- */

/* A file or folder of the document, by its absolute path; its digest is among the files. */
static void check_shown(const struct service_view *service, const struct value *files,
                        const char *source, const char *target, struct diagnostics *diagnostics)
{
    enum { SHOWN_DIGITS = 12 };
    const char *digest = is_map(files) ? value_get_text(files, source) : NULL;
    const char *option = strchr(target, ':');
    if (!digest)
        refuse(diagnostics, service, "Name it by its path from the document, such as ./conf.",
               "nothing of the document is at %.200s, which is one of the volumes", source);
    else if (!option || !text_equal(option, ":ro"))
        refuse(diagnostics, service,
               "End it with :ro; what a service writes belongs into a volume, NAME:/PATH.",
               "what lies beside the document is shown read-only, hence not \"%.200s:%.200s\"",
               source, target);
    else
        diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_REAL, nowhere, NULL,
                         "%s: %s finds a copy of %s as it is now (%.*s...) at %.*s, read-only.",
                         service->target->address, service->name, source, SHOWN_DIGITS, digest,
                         (int)(option - target), target);
}

static void check_volume(const struct service_view *service, const struct value *spec,
                         const char *text, struct diagnostics *diagnostics)
{
    static const char help[] =
        "Write NAME:/PATH or NAME:/PATH:ro, with NAME among the volumes of the stack; or "
        "./FILE:/PATH:ro with a file or folder beside the document.";
    const struct value *declared = value_get(spec, "volumes");
    size_t length = strcspn(text, ":");
    CLEANUP(mem_freep) char *name = string_copy_n(text, length);
    if (text[length] != ':' || text[length + 1] != '/')
        refuse(diagnostics, service, help, "\"%.200s\" is none of the volumes", text);
    else if (name[0] == '/')
        check_shown(service, value_get(spec, "files"), name, text + length + 1, diagnostics);
    else if (!text_is_name(name))
        refuse(diagnostics, service, help,
               "the twin shows no other folders of the machine to services, hence not the volume "
               "\"%.200s\"",
               text);
    else if (!is_map(declared) || !value_get(declared, name))
        refuse(diagnostics, service, help, "the stack has no volume \"%.63s\", which is one", name);
}

static void check_volumes(const struct service_view *service, const struct value *spec,
                          struct diagnostics *diagnostics)
{
    const struct value *volumes = value_get(service->fields, "volumes");
    bool is_list = !value_is_null(volumes) && value_kind(volumes) == VALUE_LIST;
    for (size_t i = 0; is_list && i < value_count(volumes); i++)
        if (value_kind(value_at(volumes, i)) == VALUE_STRING)
            check_volume(service, spec, text_at(volumes, i), diagnostics);
}

void twin_tell_volumes(const struct target *target, const struct value *spec,
                       struct diagnostics *diagnostics)
{
    const struct value *volumes = value_get(spec, "volumes");
    CLEANUP(strbuf_done) struct strbuf names = {0};
    for (size_t i = 0; is_map(volumes) && i < value_count(volumes); i++)
        strbuf_addf(&names, "%s%s", i > 0 ? ", " : "", value_key_at(volumes, i));
    if (names.length > 0)
        diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_INTERRUPTS, nowhere, NULL,
                         "%s: its volumes (%s) go with it, and all that is in them.",
                         target->address, strbuf_text(&names));
}

/* --- Who waits for whom --- */

static const struct value *needs_of(const struct service_view *service, const char *name)
{
    const struct value *needs = value_get(value_get(service->services, name), "depends_on");
    return is_map(needs) ? needs : NULL;
}

/* Whether one needs the other, be it by way of others; so many steps are enough for all. */
static bool needs(const struct service_view *service, const char *name, const char *wanted,
                  size_t n_steps)
{
    const struct value *map = needs_of(service, name);
    for (size_t i = 0; map && n_steps > 0 && i < value_count(map); i++)
        if (text_equal(value_key_at(map, i), wanted) ||
            needs(service, value_key_at(map, i), wanted, n_steps - 1))
            return true;
    return false;
}

static void check_needs(const struct service_view *service, struct diagnostics *diagnostics)
{
    enum { MOST_STEPS = 8 };
    const struct value *map = needs_of(service, service->name);
    for (size_t i = 0; map && i < value_count(map); i++)
        if (!value_get(service->services, value_key_at(map, i)))
            refuse(diagnostics, service, "Name a service of the same stack.",
                   "there is no service %.63s, which is in depends_on", value_key_at(map, i));
    if (needs(service, service->name, service->name, MOST_STEPS))
        refuse(diagnostics, service, "Take one of them out of the circle.",
               "what is in depends_on waits for it, hence it waits for itself: the start");
}

void twin_check_stack(const struct target *target, const struct value *spec,
                      struct diagnostics *diagnostics)
{
    const struct value *services = value_get(spec, "services");
    if (!*target->uid)
        tell_limits(target, diagnostics);
    for (size_t i = 0; is_map(services) && i < value_count(services); i++) {
        struct service_view service = {target, services, value_key_at(services, i),
                                       value_at(services, i)};
        if (!is_map(service.fields))
            continue;
        check_limits(&service, diagnostics);
        check_health(&service, diagnostics);
        check_volumes(&service, spec, diagnostics);
        check_needs(&service, diagnostics);
    }
}
