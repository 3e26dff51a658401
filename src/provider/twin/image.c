#include "provider/twin/image.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "net/child.h"
#include "provider/twin/client.h"
#include "provider/twin/unfinished.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_ENGINE "unix:///var/run/docker.sock"
#define SCHEME "unix://"
enum { LINE_LIMIT = 4 << 20, GLANCE_US = 250 * 1000, LOOK_US = 10 * 1000 * 1000 };

static const struct position nowhere;

bool twin_is_image(const struct target *target)
{
    return text_equal(target->type->name, "docker:image:build");
}

int twin_image_check_engine(const char *engine, struct error *err)
{
    if (text_starts_with(engine, SCHEME "/") && strlen(engine) > strlen(SCHEME "/"))
        return 0;
    return error_set(err, ERROR_INVALID, "the engine %s is no unix:///PATH; no other is served",
                     engine);
}

/* Borrowed; *ret_from says who names it. */
static const char *engine_of(const struct twin_provider *twin, const struct value *spec,
                             const char **ret_from)
{
    const char *of_document = spec ? value_get_text(spec, "engine") : NULL;
    const char *of_environment = getenv("DOCKER_HOST");
    *ret_from = of_document                         ? "the document"
                : twin->engine                      ? "the site"
                : of_environment && *of_environment ? "DOCKER_HOST"
                                                    : "Docker's default";
    return of_document                         ? of_document
           : twin->engine                      ? twin->engine
           : of_environment && *of_environment ? of_environment
                                               : DEFAULT_ENGINE;
}

/* --- The child that asks the engine --- */

/* A question to it; all borrowed. */
struct question {
    const char *verb;
    const char *engine;
    const char *uid;
    const struct value *spec; /* or NULL */
    const char *keep;         /* or NULL */
    int64_t deadline;
};

/* Who the twin is, and the images that it has. Without that nothing is taken for abandoned. */
static void describe_twin(struct twin_provider *twin, struct value_builder *fields)
{
    CLEANUP(value_unrefp) struct value *manifest = NULL;
    struct value_builder known = {0};
    char identity[UUID_TEXT_SIZE];
    twin->seen_at = 0;
    if (twin_see_manifest(twin, &manifest, NULL) < 0 ||
        twin_home_identify(&twin->home, manifest, identity, NULL) < 0)
        return;
    const struct value *resources = manifest ? value_get(manifest, "resources") : NULL;
    for (size_t i = 0; !value_is_null(resources) && i < value_count(resources); i++) {
        const char *uid = value_get_text(value_at(resources, i), "uid");
        if (uid)
            value_builder_append(&known, value_string(uid));
    }
    value_builder_set_string(fields, "twin", identity);
    value_builder_set(fields, "known", value_builder_list(&known));
}

static struct value *describe_question(struct twin_provider *twin, const struct question *question)
{
    struct value_builder fields = {0};
    CLEANUP(mem_freep) char *folder = string_format("%s/images", twin->home.folder);
    value_builder_set_string(&fields, "verb", question->verb);
    value_builder_set_string(&fields, "engine", question->engine + strlen(SCHEME));
    value_builder_set_string(&fields, "uid", question->uid);
    value_builder_set_string(&fields, "folder", folder);
    describe_twin(twin, &fields);
    if (question->spec)
        value_builder_set(&fields, "spec", value_ref((struct value *)question->spec));
    if (question->keep)
        value_builder_set_string(&fields, "keep", question->keep);
    return value_builder_map(&fields);
}

static int start(struct twin_provider *twin, const struct call *call,
                 const struct question *question, pid_t *ret_pid, struct channel **ret_channel,
                 struct error *err)
{
    CLEANUP(value_unrefp) struct value *request = describe_question(twin, question);
    CLEANUP(mem_freep) char *text = json_text(request);
    CLEANUP(mem_freep) char *program = twin_program();
    const char *path = getenv("PATH"), *temporary = getenv("TMPDIR");
    CLEANUP(mem_freep)
    char *lent_path = string_format("PATH=%s", path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
    CLEANUP(mem_freep)
    char *lent_folder = string_format("TMPDIR=%s", temporary ? temporary : "/tmp");
    const char *arguments[] = {program, "image", NULL};
    const char *environment[] = {lent_path, lent_folder, NULL};
    CLEANUP(close_descriptorp) int input = -1;
    int ends[2];
    int r = child_make_input(text, strlen(text), &input, err);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, ERROR_SYSTEM, "cannot make a socket to ask about images");
    CLEANUP(close_descriptorp) int theirs = ends[1];
    struct child_spec child = {.arguments = arguments,
                               .environment = environment,
                               .own_environment = true,
                               .folder = "/",
                               .input = input,
                               .output = theirs,
                               .errors = -1,
                               .own_group = true,
                               .dies_with_us = true};
    r = child_start(&child, ret_pid, err);
    if (r < 0) {
        close_descriptor(ends[0]);
        return r;
    }
    *ret_channel = channel_new(call->loop, ends[0], LINE_LIMIT);
    return 0;
}

/* Its lines until it ends; the last one is the answer. */
static CO_FN int listen_to(const struct call *call, struct channel *channel, int64_t deadline,
                           struct value **ret_answer, struct error *err)
{
    for (;;) {
        CLEANUP(mem_freep) char *line = NULL;
        CLEANUP(value_unrefp) struct value *message = NULL;
        struct error problem = {0};
        size_t length;
        int64_t now = world_monotonic_clock();
        if (*call->is_cancelled)
            return error_set(err, ERROR_CANCELLED,
                             "the Docker Engine was asked, and is left alone");
        if (deadline >= 0 && now > deadline)
            return error_set(err, ERROR_TIMEOUT, "the Docker Engine took too long");
        int r = channel_receive(channel, now + GLANCE_US, &line, &length, &problem);
        if (r == -ERROR_TIMEOUT) {
            error_done(&problem);
            continue;
        }
        if (r < 0)
            return error_move(err, &problem);
        if (!line)
            return error_set(err, ERROR_UNAVAILABLE, "what asks the Docker Engine has ended");
        if (json_read(line, length, &message, NULL) < 0 || value_kind(message) != VALUE_MAP)
            return error_set(err, ERROR_UNAVAILABLE, "what the engine says is not understood");
        const char *progress = value_get_text(message, "progress");
        if (progress && call->progress)
            call->progress(call->argument, progress);
        if (value_get(message, "ok")) {
            *ret_answer = value_ref(message);
            return 0;
        }
    }
}

static int read_refusal(const struct value *answer, struct error *err)
{
    const struct value *error = value_get(answer, "error");
    bool is_one = !value_is_null(error) && value_kind(error) == VALUE_MAP;
    const char *wire = is_one ? value_get_text(error, "code") : NULL;
    const char *message = is_one ? value_get_text(error, "message") : NULL;
    enum error_code code = wire ? error_code_from_string(wire) : ERROR_UNAVAILABLE;
    if (code == ERROR_NONE || code == ERROR_CODE_COUNT)
        code = ERROR_UNAVAILABLE;
    return error_set(err, code, "%s", message ? message : "the engine gives no reason");
}

/* What became of it when it fails: unknown when it was not answered at all. */
static CO_FN int ask(struct twin_provider *twin, const struct call *call,
                     const struct question *question, struct value **ret_answer,
                     enum outcome_kind *ret_failed, struct error *err)
{
    CLEANUP(value_unrefp) struct value *answer = NULL;
    CLEANUP(channel_freep) struct channel *channel = NULL;
    struct error problem = {0};
    pid_t pid = -1;
    int status;
    *ret_failed = OUTCOME_UNKNOWN;
    int r = twin_image_check_engine(question->engine, err);
    if (r == 0)
        r = start(twin, call, question, &pid, &channel, err);
    if (r < 0)
        return r;
    r = listen_to(call, channel, question->deadline, &answer, &problem);
    if (r < 0)
        kill(-pid, SIGKILL);
    child_wait(call->loop, pid, -1, &status, NULL);
    if (r < 0)
        return error_move(err, &problem);
    if (!value_get_bool(answer, "ok", false)) {
        *ret_failed = value_get_bool(answer, "left", false) ? OUTCOME_PARTLY : OUTCOME_FAILED;
        return read_refusal(answer, err);
    }
    *ret_answer = take_ptr(answer);
    return 0;
}

static CO_FN int look(struct twin_provider *twin, const struct call *call, const char *engine,
                      const char *uid, const struct value *spec, struct value **ret_answer,
                      struct error *err)
{
    enum outcome_kind failed;
    struct question question = {.verb = "look",
                                .engine = engine,
                                .uid = uid,
                                .spec = spec,
                                .deadline = world_monotonic_clock() + LOOK_US};
    return ask(twin, call, &question, ret_answer, &failed, err);
}

/* --- Before it is approved --- */

static struct value *with_engine(const struct value *spec, const char *engine)
{
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(spec); i++)
        value_builder_set(&fields, value_key_at(spec, i), value_ref(value_at(spec, i)));
    value_builder_set_string(&fields, "engine", engine);
    return value_builder_map(&fields);
}

/* What cannot be built runs as a stand-in, unless the document names the engine, or one built it
 * before. */
static void tell_stand_in(const struct target *target, bool is_promised, const char *help,
                          const char *reason, struct diagnostics *diagnostics)
{
    if (is_promised)
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere, help, "%s: %s.",
                        target->address, reason);
    else
        diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_STAND_IN, nowhere, help,
                         "%s: a small built-in workload runs in its place, since %s.",
                         target->address, reason);
}

static void tell_taken(const struct target *target, const struct value *answer,
                       struct diagnostics *diagnostics)
{
    const struct value *taken = value_get(answer, "taken");
    for (size_t i = 0; !value_is_null(taken) && i < value_count(taken); i++)
        diagnostics_add(diagnostics, DIAGNOSTIC_CANNOT_SERVE, nowhere,
                        "Give this one another name, or remove that one from the engine.",
                        "%s: the Docker Engine has an image %s that is not this resource's.",
                        target->address, value_text(value_at(taken, i)));
}

CO_FN void twin_image_propose(struct twin_provider *twin, struct call *call,
                              const struct target *target, const struct step *step,
                              struct value **ret_after, struct diagnostics *diagnostics)
{
    CLEANUP(error_done) struct error err = {0};
    CLEANUP(value_unrefp) struct value *answer = NULL;
    const char *from;
    const char *engine = engine_of(twin, step->after, &from);
    /* Of nothing that is wanted it is asked when all types are looked at. */
    bool is_wanted = value_get_text(step->after, "image") != NULL;
    bool is_promised = !value_is_null(value_get(step->after, "engine"));
    if (is_wanted && value_is_null(value_get(step->after, "context"))) {
        tell_stand_in(target, is_promised, NULL, "it has no context that it could be built from",
                      diagnostics);
        return;
    }
    CLEANUP(value_unrefp) struct value *built = twin_image_find(twin, target->uid);
    is_promised = is_promised || built;
    if (geteuid() != 0) {
        tell_stand_in(target, is_promised, "Run parley as root to have images built and run.",
                      "only root's twin runs images", diagnostics);
        return;
    }
    if (look(twin, call, engine, target->uid, is_wanted ? step->after : NULL, &answer, &err) < 0) {
        CLEANUP(mem_freep)
        char *reason = string_format("%s (%s names it)", error_message(&err), from);
        tell_stand_in(target, is_promised,
                      "Start one: apt-get install docker.io, then dockerd; or say where it is with "
                      "DOCKER_HOST=unix:///PATH.",
                      reason, diagnostics);
        return;
    }
    tell_taken(target, answer, diagnostics);
    diagnostics_note(diagnostics, DIAGNOSTIC_NOTE, DIAGNOSTIC_REAL, nowhere, NULL,
                     "%s: real: built by the Docker Engine at %s (%s).", target->address,
                     engine + strlen(SCHEME), value_get_text(answer, "version"));
    if (is_wanted)
        *ret_after = with_engine(step->after, engine);
}

/* --- Changing --- */

/* The engine that the plan promised, or NULL. */
static const char *promised(const struct step *step, const struct value *after)
{
    const char *proposed = step->proposed ? value_get_text(step->proposed, "engine") : NULL;
    return proposed ? proposed : value_get_text(after, "engine");
}

static struct value *describe_built(const struct value *made, const char *engine)
{
    struct value_builder fields = {0};
    for (size_t i = 0; i < value_count(made); i++)
        value_builder_set(&fields, value_key_at(made, i), value_ref(value_at(made, i)));
    value_builder_set_string(&fields, "engine", engine);
    return value_builder_map(&fields);
}

/* What status says of one that nothing has built. */
static struct value *describe_stand_in(const struct value *after)
{
    const char *reason =
        value_is_null(value_get(after, "context"))
            ? "a built-in workload runs in its place: it has no context"
        : geteuid() != 0 ? "a built-in workload runs in its place: only root's twin runs images"
                         : "a built-in workload runs in its place: no Docker Engine answered when "
                           "it was planned";
    struct value_builder fields = {0};
    value_builder_set_string(&fields, "missing", reason);
    return value_builder_map(&fields);
}

CO_FN bool twin_image_build(struct twin_provider *twin, struct call *call,
                            const struct target *target, const struct step *step,
                            struct value *after, struct value **ret_built,
                            struct outcome *ret_outcome)
{
    CLEANUP(value_unrefp) struct value *answer = NULL;
    struct error problem = {0};
    const char *engine = promised(step, after);
    enum outcome_kind failed = OUTCOME_FAILED;
    *ret_built = NULL;
    if (!engine || value_is_null(value_get(after, "context"))) {
        *ret_built = describe_stand_in(after);
        return true;
    }
    struct question question = {.verb = "build",
                                .engine = engine,
                                .uid = target->uid,
                                .spec = after,
                                .deadline = call->deadline};
    int r = unfinished_note(&twin->home, target->uid, engine, after, &problem);
    if (r == 0)
        r = ask(twin, call, &question, &answer, &failed, &problem);
    const struct value *made = r == 0 ? value_get(answer, "built") : NULL;
    if (r == 0 && (value_is_null(made) || value_kind(made) != VALUE_MAP))
        r = error_set(&problem, ERROR_UNAVAILABLE, "what the engine says is not understood");
    if (r < 0) {
        if (failed == OUTCOME_FAILED)
            unfinished_drop(&twin->home, target->uid);
        outcome_set_error(ret_outcome, failed, &problem);
        return false;
    }
    *ret_built = describe_built(made, engine);
    return true;
}

struct value *twin_image_find(struct twin_provider *twin, const char *uid)
{
    CLEANUP(value_unrefp) struct value *manifest = NULL;
    twin->seen_at = 0;
    if (twin_see_manifest(twin, &manifest, NULL) < 0)
        return NULL;
    const struct value *resource = twin_manifest_find(manifest, uid);
    struct value *built = resource ? value_get(resource, "built") : NULL;
    bool is_one = !value_is_null(built) && value_kind(built) == VALUE_MAP &&
                  value_get_text(built, "engine") && value_get_text(built, "id");
    return is_one ? value_ref(built) : NULL;
}

CO_FN int twin_image_remove(struct twin_provider *twin, struct call *call, const char *uid,
                            const struct value *built, const struct value *used, struct error *err)
{
    CLEANUP(value_unrefp) struct value *answer = NULL;
    enum outcome_kind failed;
    struct question question = {.verb = "remove",
                                .engine = value_get_text(built, "engine"),
                                .uid = uid,
                                .keep = used ? value_get_text(used, "id") : NULL,
                                .deadline = call->deadline};
    int r = ask(twin, call, &question, &answer, &failed, err);
    return r < 0 ? error_wrap(err, r, "remove the image from its engine") : 0;
}

/* --- Reading --- */

static bool has_image(const struct value *answer, const char *id)
{
    const struct value *images = value_get(answer, "images");
    for (size_t i = 0; !value_is_null(images) && i < value_count(images); i++)
        if (text_equal_or_null(value_get_text(value_at(images, i), "id"), id))
            return true;
    return false;
}

static void add_doubt(struct live *live, const char *doubt)
{
    struct value_builder fields = {0};
    for (size_t i = 0; live->status && i < value_count(live->status); i++)
        value_builder_set(&fields, value_key_at(live->status, i),
                          value_ref(value_at(live->status, i)));
    value_builder_set_string(&fields, "doubt", doubt);
    value_unref(live->status);
    live->status = value_builder_map(&fields);
}

/* What the twin has not taken over: there is as much of it as the engine has. */
static CO_FN int look_for_unfinished(struct twin_provider *twin, struct call *call,
                                     const struct target *target, struct live *live,
                                     struct error *err)
{
    CLEANUP(value_unrefp) struct value *answer = NULL;
    CLEANUP(value_unrefp) struct value *note = unfinished_find(&twin->home, target->uid);
    struct value_builder status = {0};
    if (!note)
        return 0;
    int r = look(twin, call, value_get_text(note, "engine"), target->uid, NULL, &answer, err);
    if (r < 0)
        return error_wrap(err, r, "a run that built %s was cut short", target->address);
    const struct value *images = value_get(answer, "images");
    if (value_is_null(images) || value_count(images) == 0)
        return 0;
    value_builder_set_string(&status, "state", "failed");
    value_builder_set_string(&status, "reason", "the run that built it was cut short");
    live->is_present = true;
    live->spec = value_ref(value_get(note, "spec"));
    live->outputs = value_builder_map(&(struct value_builder){0});
    live->status = value_builder_map(&status);
    return 0;
}

CO_FN int twin_image_look(struct twin_provider *twin, struct call *call,
                          const struct target *target, struct live *live, struct error *err)
{
    CLEANUP(error_done) struct error problem = {0};
    CLEANUP(value_unrefp) struct value *answer = NULL;
    if (!live->is_present)
        return look_for_unfinished(twin, call, target, live, err);
    CLEANUP(value_unrefp) struct value *built = twin_image_find(twin, target->uid);
    if (!built)
        return 0;
    int r = look(twin, call, value_get_text(built, "engine"), target->uid, NULL, &answer, &problem);
    if (r == 0 && !has_image(answer, value_get_text(built, "id"))) {
        live_done(live);
        *live = (struct live){0};
    } else if (r < 0) {
        CLEANUP(mem_freep)
        char *doubt = string_format("whether the image is still there cannot be told: %s; the "
                                    "twin goes on with its copy",
                                    error_message(&problem));
        add_doubt(live, doubt);
    }
    return 0;
}
