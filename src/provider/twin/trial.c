/* Has a twin made for a moment, to see whether this machine's kernel lets one stand. */
#include "base/memory.h"
#include "base/world.h"
#include "model/json.h"
#include "net/child.h"
#include "net/namespaces.h"
#include "provider/twin/client.h"

#include <stdlib.h>
#include <string.h>

enum { TRIAL_TIME = 30 * 1000 * 1000, ANSWER_LIMIT = 1 << 16 };

static void add_findings(const struct value *findings, struct diagnostics *diagnostics)
{
    static const struct position nowhere;
    for (size_t i = 0; i < value_count(findings); i++) {
        const struct value *finding = value_at(findings, i);
        bool is_error = value_get_bool(finding, "is_error", true);
        diagnostics_note(diagnostics, is_error ? DIAGNOSTIC_ERROR : DIAGNOSTIC_NOTE,
                         DIAGNOSTIC_CANNOT_SERVE, nowhere, value_get_text(finding, "help"), "%s",
                         value_get_text(finding, "detail"));
    }
}

static int read_answer(const char *text, struct diagnostics *diagnostics, struct error *err)
{
    CLEANUP(value_unrefp) struct value *answer = NULL;
    struct error ignored = {0};
    int r = json_read(text, strlen(text), &answer, &ignored);
    error_done(&ignored);
    const struct value *findings = r == 0 ? value_get(answer, "findings") : NULL;
    if (!findings || value_kind(findings) != VALUE_LIST)
        return error_set(err, ERROR_SYSTEM, "the trial of a twin ended without a result: %.200s",
                         text);
    add_findings(findings, diagnostics);
    return 0;
}

/* What a trial needs of our environment: a secret that lies there is not its business. The caller
 * frees it. */
static char *lend_variable(const char *name, const char *otherwise)
{
    const char *text = getenv(name);
    return string_format("%s=%s", name, text ? text : otherwise);
}

CO_FN int twin_try(const struct call *call, struct diagnostics *diagnostics, struct error *err)
{
    struct namespaces_obstacle obstacle;
    CLEANUP(mem_freep) char *program = twin_program();
    CLEANUP(mem_freep) char *output = NULL;
    const char *arguments[] = {program, "trial", NULL};
    CLEANUP(mem_freep) char *path = lend_variable("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    CLEANUP(mem_freep) char *folder = lend_variable("TMPDIR", "/tmp");
    const char *environment[] = {path, folder, NULL};
    struct child_spec spec = {
        .arguments = arguments, .environment = environment, .own_environment = true, .input = -1};
    int status;
    if (namespaces_find_obstacle(&obstacle)) {
        bool is_certain = obstacle.is_certain;
        namespaces_obstacle_done(&obstacle);
        /* It would fail by what is known, and told, already. */
        if (is_certain)
            return 0;
    }
    int r = child_run(call->loop, &spec, ANSWER_LIMIT, world_monotonic_clock() + TRIAL_TIME,
                      &status, &output, err);
    return r < 0 ? r : read_answer(output, diagnostics, err);
}
