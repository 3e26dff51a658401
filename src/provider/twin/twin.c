/* Reads the twin back, whether its supervisor runs or not, and says what the driver can do. */
#include "provider/twin/twin.h"

#include "base/strbuf.h"
#include "base/text.h"
#include "base/world.h"
#include "provider/twin/client.h"
#include "provider/twin/image.h"

#include <string.h>

#define SIGHT_US 200000 /* how long a look at the manifest counts */

static int twin_configure(struct provider *provider, const struct value *config, const char *home,
                          struct error *err)
{
    struct twin_provider *twin = twin_of(provider);
    for (size_t i = 0; config && i < value_count(config); i++) {
        const char *engine = value_get_text(config, "engine");
        if (!text_equal(value_key_at(config, i), "engine") || !engine)
            return error_set(err, ERROR_INVALID, "the driver twin has no setting \"%s\"; remove it",
                             value_key_at(config, i));
        int r = twin_image_check_engine(engine, err);
        if (r < 0)
            return r;
        twin->engine = string_copy(engine);
    }
    return twin_home_init(&twin_of(provider)->home, home, err);
}

static void twin_close(struct provider *provider)
{
    twin_home_done(&twin_of(provider)->home);
    value_unref(twin_of(provider)->manifest);
    mem_free(twin_of(provider)->engine);
    channel_free(twin_of(provider)->held);
}

/*
 * That there is no manifest is never taken from an older look: another instance may have begun the
 * twin since, and the identity of a next one would be derived from a history that has this one in
 * it.
 */
int twin_see_manifest(struct twin_provider *twin, struct value **ret_manifest, struct error *err)
{
    int64_t now = world_monotonic_clock();
    if (!twin->manifest || twin->seen_at == 0 || now - twin->seen_at > SIGHT_US) {
        struct value *manifest = NULL;
        int r = twin_home_read(&twin->home, &manifest, err);
        if (r < 0)
            return r;
        value_unref(twin->manifest);
        twin->manifest = manifest;
        twin->seen_at = now;
    }
    *ret_manifest = twin->manifest ? value_ref(twin->manifest) : NULL;
    return 0;
}

int twin_find_identity(struct twin_provider *twin, char ret_identity[UUID_TEXT_SIZE],
                       struct error *err)
{
    CLEANUP(value_unrefp) struct value *manifest = NULL;
    int r = twin_see_manifest(twin, &manifest, err);
    return r < 0 ? r : twin_home_identify(&twin->home, manifest, ret_identity, err);
}

static CO_FN int twin_identify(struct provider *provider, struct call *call, char **ret_identity,
                               struct error *err)
{
    (void)call;
    char identity[UUID_TEXT_SIZE];
    int r = twin_find_identity(twin_of(provider), identity, err);
    if (r == 0)
        *ret_identity = string_format("twin:%s", identity);
    return r;
}

int twin_check_identity(struct twin_provider *twin, const struct target *target,
                        char ret_identity[UUID_TEXT_SIZE], struct error *err)
{
    int r = twin_find_identity(twin, ret_identity, err);
    if (r < 0 || !target->provider_id)
        return r;
    size_t length = UUID_TEXT_SIZE - 1;
    if (strncmp(target->provider_id, ret_identity, length) == 0 &&
        target->provider_id[length] == '/')
        return 0;
    return error_set(err, ERROR_UNAVAILABLE,
                     "%s was made on another twin, whose folder %s is gone or was replaced; put "
                     "that folder back, or, when it was removed on purpose, begin anew in another "
                     "home: parley --home FOLDER up FILE",
                     target->address, twin->home.folder);
}

/* --- Reading --- */

/* What of the outputs is a property: all that is known while nobody runs. */
static struct value *outputs_of_spec(const struct resource_type *type, struct value *spec)
{
    struct value_builder outputs = {0};
    for (size_t i = 0; i < type->n_outputs; i++) {
        struct value *value =
            type->outputs[i].from ? value_at_path(spec, type->outputs[i].from) : NULL;
        if (value)
            value_builder_set(&outputs, type->outputs[i].name, value_ref(value));
    }
    return value_builder_map(&outputs);
}

/* The manifest's resource as a new reference. That there is none is never said by an older look. */
static int find_stopped(struct twin_provider *twin, const char *uid, struct value **ret_resource,
                        struct error *err)
{
    *ret_resource = NULL;
    for (int look = 0; look < 2 && !*ret_resource; look++) {
        CLEANUP(value_unrefp) struct value *manifest = NULL;
        if (look > 0)
            twin->seen_at = 0;
        int r = twin_see_manifest(twin, &manifest, err);
        if (r < 0)
            return r;
        struct value *resource = twin_manifest_find(manifest, uid);
        *ret_resource = resource ? value_ref(resource) : NULL;
    }
    return 0;
}

static int read_stopped(struct twin_provider *twin, const struct target *target,
                        struct live *ret_live, struct error *err)
{
    CLEANUP(value_unrefp) struct value *resource = NULL;
    int r = find_stopped(twin, target->uid, &resource, err);
    if (!resource)
        return r;
    struct value_builder status = {0};
    value_builder_set_string(&status, "state", "stopped");
    ret_live->is_present = true;
    ret_live->is_stopped = true;
    ret_live->spec = value_ref(value_get(resource, "spec"));
    ret_live->outputs = outputs_of_spec(target->type, ret_live->spec);
    ret_live->status = value_builder_map(&status);
    return 0;
}

/* The supervisor's description of one resource, borrowed from its answer. */
static CO_FN int get(const struct twin_home *home, const struct call *call, const char *uid,
                     struct twin_answer *answer, struct value **ret_resource, struct error *err)
{
    struct value_builder request = twin_request("get");
    value_builder_set_string(&request, "uid", uid);
    CLEANUP(value_unrefp) struct value *message = value_builder_map(&request);
    int r = twin_ask(home, call, message, answer, err);
    if (r < 0)
        return r;
    struct value *resource = value_get(answer->value, "resource");
    bool is_present = value_get_bool(resource, "present", false);
    if (!twin_is_map(resource) || (is_present && (!twin_is_map(value_get(resource, "spec")) ||
                                                  !twin_is_map(value_get(resource, "outputs")) ||
                                                  !twin_is_map(value_get(resource, "status")))))
        return error_set(err, ERROR_UNAVAILABLE, "what the twin says is not understood");
    *ret_resource = is_present ? resource : NULL;
    return 0;
}

int twin_read(struct provider *provider, struct call *call, const struct target *target,
              struct live *ret_live, struct error *err)
{
    struct twin_provider *twin = twin_of(provider);
    struct twin_answer answer = {0};
    struct value *resource = NULL;
    char identity[UUID_TEXT_SIZE];
    struct error problem = {0};
    int r = twin_check_identity(twin, target, identity, err);
    if (r < 0)
        return r;
    r = get(&twin->home, call, target->uid, &answer, &resource, &problem);
    if (r == -ERROR_NOT_FOUND) {
        error_done(&problem);
        r = read_stopped(twin, target, ret_live, &problem);
    } else if (r == 0 && resource) {
        ret_live->is_present = true;
        ret_live->spec = value_ref(value_get(resource, "spec"));
        ret_live->outputs = value_ref(value_get(resource, "outputs"));
        ret_live->status = value_ref(value_get(resource, "status"));
    }
    twin_answer_done(&answer);
    if (r == 0 && twin_is_image(target))
        r = twin_image_look(twin, call, target, ret_live, &problem);
    return r < 0 ? error_move(err, &problem) : 0;
}

static const char drain_note[] =
    "Load balancers send it nothing new; what it has been sent has 30 seconds to end, then it is cut. "
    "It runs on, and stays out until it is resumed.";
static const char resume_note[] =
    "Load balancers send it requests again, as soon as it passes their checks.";

static const struct provider_action actions[] = {
    {"aws:rds:cluster", "promote",
     "The primary that was is stopped first, and stays out until it rejoins; where no other replica "
     "is left, no one confirms commits until then.",
     0.5},
    {"aws:rds:cluster", "promote-with-loss",
     "What the primary that was has confirmed and this replica has not received is lost for good, and "
     "nobody can tell how much that is. The primary is stopped first, if it still runs, and stays out "
     "until it rejoins.",
     0.5},
    {"aws:rds:cluster", "fence",
     "It is killed, with whatever its clients do, and stays out until it rejoins. Nobody takes a "
     "primary's place by itself.",
     0.1},
    {"aws:rds:cluster", "drain",
     "It takes no new clients; those who are there have 30 seconds to end what they do. Then it is "
     "stopped, and stays out until it rejoins.",
     5},
    {"aws:rds:cluster", "rejoin",
     "What it has written and the primary has not is taken out of it; where that cannot be, its data "
     "is copied anew, and status and events say why.",
     2},
    {"aws:autoscaling:group", "drain", drain_note, 1},
    {"aws:autoscaling:group", "resume", resume_note, 0.1},
    {"aws:ec2:instances", "drain", drain_note, 1},
    {"aws:ec2:instances", "resume", resume_note, 0.1},
    {0}};

const struct provider_ops twin_provider_ops = {
    .driver = "twin",
    .instance_size = sizeof(struct twin_provider),
    .configure = twin_configure,
    .close = twin_close,
    .identify = twin_identify,
    .read = twin_read,
    .apply = twin_apply,
    .probe = twin_probe,
    .propose = twin_propose,
    .describe = twin_describe,
    .conclude = twin_conclude,
    .actions = actions,
    .limits = {.concurrency = 12,
               .call_us = INT64_C(120) * 1000000,
               .time_us = {[PROVIDER_APPLY] = INT64_C(1800) * 1000000}},
};
