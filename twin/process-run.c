/* Programs that are run to their end. */
#include "twin/process-private.h"

#include "base/strbuf.h"
#include "twin/log.h"

#include <string.h>
#include <sys/wait.h>

#define COMPLAINT_LINES 3

/* At most the first few lines with the word, as one. */
static void collect_complaints(struct strbuf *out, const char *output, const char *word)
{
    const char *line = output;
    for (unsigned int n_lines = 0; *line && n_lines < COMPLAINT_LINES;) {
        size_t length = strcspn(line, "\n");
        CLEANUP(mem_freep) char *text = string_copy_n(line, length);
        if (strstr(text, word)) {
            strbuf_addf(out, "%s%s", n_lines > 0 ? "; " : "", text);
            n_lines++;
        }
        line += length + (line[length] == '\n');
    }
}

/* Without a word to look for, the last line of its output is where a program says why. */
static int explain_run(const struct process_spec *spec, int status, char *output, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf complaints = {0};
    if (spec->complaint)
        collect_complaints(&complaints, output, spec->complaint);
    size_t length = strlen(output);
    while (length > 0 && output[length - 1] == '\n')
        output[--length] = '\0';
    const char *line = strrchr(output, '\n');
    line = complaints.length > 0 ? strbuf_text(&complaints) : line ? line + 1 : output;
    if (WIFSIGNALED(status))
        return error_set(err, ERROR_UNAVAILABLE, "%s was killed by signal %d: %s", spec->name,
                         WTERMSIG(status), line);
    return error_set(err, ERROR_UNAVAILABLE, "%s failed with status %d: %s", spec->name,
                     WEXITSTATUS(status), line);
}

/* That it cannot be kept is no failure of the program. */
static void keep_output(struct processes *processes, const char *name, const char *output)
{
    struct log *log;
    if (log_open(processes->loop, processes->folder, name, LOG_LIMIT, &log, NULL) < 0)
        return;
    log_add(log, output, strlen(output));
    log_close(log);
}

CO_FN int process_run(struct processes *processes, const struct process_spec *spec, size_t limit,
                      int64_t deadline, char **ret_output, struct error *err)
{
    struct cage_door door;
    int r = cage_await_end(processes->cages, spec->host, deadline, err);
    if (r == 0)
        r = process_open_door(processes, spec, &door, err);
    if (r < 0)
        return r;
    CLEANUP(process_preparation_done) struct process_preparation preparation;
    process_prepare(spec, &door, &preparation);
    CLEANUP(mem_freep) char *output = NULL;
    int status;
    processes->n_runs++;
    r = child_run(processes->loop, &preparation.child, limit, deadline, &status, &output, err);
    processes->n_runs--;
    cage_close(&door);
    processes_reap(processes);
    if (r < 0)
        return process_explain_start(r, spec, err);
    if (spec->is_logged)
        keep_output(processes, spec->name, output);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return explain_run(spec, status, output, err);
    if (ret_output)
        *ret_output = take_ptr(output);
    return 0;
}
