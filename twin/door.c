/* Answers on the twin's socket: a coroutine for each connection and one for each request. */
#include "twin/door.h"

#include "base/text.h"
#include "base/world.h"
#include "model/json.h"
#include "net/channel.h"
#include "twin/measure.h"
#include "twin/message.h"

#include <string.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 64, MOST_REQUESTS = 256 };
/* A client that does not read its answers is left. */
#define SEND_TIME 10000000
/* How long a twin that holds nothing waits for somebody: who started it asks within moments. */
#define LONELY_TIME 3000000

struct door {
    struct twin *twin;
    struct door_events events;
    struct connection *first;
    size_t n_connections;
    size_t n_requests;
    bool is_ending;
    bool is_watching;    /* the coroutine that looks whether anybody needs the twin */
    int64_t left_at;     /* when the last connection ended, or the door was made */
    struct gate changed; /* opened when a connection or request has ended */
};

struct connection {
    struct door *door;
    struct channel *channel;
    size_t n_requests; /* under way */
    bool is_sending;
    bool is_holding;
    struct connection *next;
};

/* One request under way. */
struct call {
    struct connection *connection;
    struct request request;
};

static CO_FN void send_line(struct connection *connection, const char *line)
{
    struct door *door = connection->door;
    while (connection->is_sending)
        gate_wait(door->twin->loop, &door->changed, -1, NULL);
    connection->is_sending = true;
    if (channel_send(connection->channel, line, strlen(line), world_monotonic_clock() + SEND_TIME,
                     NULL) < 0)
        channel_shut(connection->channel);
    connection->is_sending = false;
    gate_open(door->twin->loop, &door->changed);
}

static void end_twin(struct door *door, bool wipe)
{
    if (door->is_ending)
        return;
    door->is_ending = true;
    door->events.ended(door->events.argument, wipe);
}

static void add_description(struct converge *converge, const char *uid,
                            struct value_builder *fields)
{
    CLEANUP(value_unrefp) struct value *described = converge_describe(converge, uid);
    value_builder_set(fields, "status", value_ref(value_get(described, "status")));
    value_builder_set(fields, "outputs", value_ref(value_get(described, "outputs")));
}

static CO_FN int serve_put(struct call *call, struct value_builder *fields, struct error *err)
{
    struct converge *converge = call->connection->door->twin->converge;
    CLEANUP(mem_freep) char *uid = string_copy(resource_uid(call->request.resource));
    int r = converge_put(converge, take_ptr(call->request.resource), err);
    if (r == 0 && manifest_find(converge_manifest(converge), uid))
        add_description(converge, uid, fields);
    return r;
}

static CO_FN int serve_delete(struct call *call, struct value_builder *fields, struct error *err)
{
    (void)fields;
    return converge_delete(call->connection->door->twin->converge, call->request.uid, err);
}

static CO_FN int serve_get(struct call *call, struct value_builder *fields, struct error *err)
{
    (void)err;
    struct converge *converge = call->connection->door->twin->converge;
    value_builder_set(fields, "resource", converge_describe(converge, call->request.uid));
    return 0;
}

static CO_FN int serve_act(struct call *call, struct value_builder *fields, struct error *err)
{
    struct converge *converge = call->connection->door->twin->converge;
    struct module_action action = {call->request.uid, call->request.action, call->request.member};
    int r = converge_act(converge, &action, err);
    if (r == 0)
        add_description(converge, action.resource, fields);
    return r;
}

static CO_FN int serve_list(struct call *call, struct value_builder *fields, struct error *err)
{
    (void)err;
    struct converge *converge = call->connection->door->twin->converge;
    struct value_builder list = {0};
    size_t cursor = 0;
    for (struct map_entry *entry;
         (entry = map_next(&converge_manifest(converge)->resources, &cursor));)
        value_builder_append(&list, converge_describe(converge, entry->key));
    value_builder_set(fields, "resources", value_builder_list(&list));
    return 0;
}

static CO_FN int serve_commit(struct call *call, struct value_builder *fields, struct error *err)
{
    (void)err;
    struct problems problems = {0};
    struct value_builder map = {0};
    converge_commit(call->connection->door->twin->converge, &problems);
    for (size_t i = 0; i < problems.n_items; i++) {
        struct value_builder problem = {0};
        value_builder_set_string(&problem, "code",
                                 error_code_to_string(problems.items[i].err.code));
        value_builder_set_string(&problem, "message", error_message(&problems.items[i].err));
        value_builder_set(&map, problems.items[i].resource, value_builder_map(&problem));
    }
    value_builder_set(fields, "problems", value_builder_map(&map));
    problems_done(&problems);
    return 0;
}

static CO_FN int serve_hold(struct call *call, struct value_builder *fields, struct error *err)
{
    struct connection *connection = call->connection;
    (void)fields;
    (void)err;
    if (!connection->is_holding)
        converge_hold(connection->door->twin->converge);
    connection->is_holding = true;
    return 0;
}

static CO_FN void release(struct connection *connection)
{
    if (!connection->is_holding)
        return;
    connection->is_holding = false;
    converge_release(connection->door->twin->converge);
}

static CO_FN int serve_release(struct call *call, struct value_builder *fields, struct error *err)
{
    (void)fields;
    (void)err;
    release(call->connection);
    return 0;
}

static struct value *list_hosts(const struct machine *machine)
{
    struct value_builder list = {0};
    for (size_t i = 0; i < machine->n_hosts; i++) {
        const struct machine_host *host = machine->hosts[i];
        struct value_builder builder = {0};
        value_builder_set_string(&builder, "name", host->name);
        value_builder_set_string(&builder, "address", host->address);
        value_builder_set_string(&builder, "network", host->network->name);
        value_builder_set_string(&builder, "role", machine_role_to_string(host->role));
        value_builder_set_string(&builder, "resource", host->resource);
        value_builder_append(&list, value_builder_map(&builder));
    }
    return value_builder_list(&list);
}

static struct value *list_networks(const struct machine *machine)
{
    struct value_builder list = {0};
    for (size_t i = 0; i < machine->n_networks; i++) {
        const struct machine_network *network = machine->networks[i];
        struct value_builder builder = {0};
        value_builder_set_string(&builder, "name", network->name);
        value_builder_set_string(&builder, "subnet", network->subnet);
        value_builder_set_string(&builder, "gateway", network->gateway_text);
        value_builder_set_string(&builder, "bridge", network->bridge);
        value_builder_append(&list, value_builder_map(&builder));
    }
    return value_builder_list(&list);
}

static CO_FN int serve_status(struct call *call, struct value_builder *fields, struct error *err)
{
    (void)err;
    struct twin *twin = call->connection->door->twin;
    const struct machine *machine = converge_machine(twin->converge);
    const struct manifest *manifest = converge_manifest(twin->converge);
    bool is_settled = converge_is_settled(twin->converge);
    value_builder_set(fields, "pid", value_integer(twin->pid));
    value_builder_set_string(fields, "identity", manifest->identity);
    value_builder_set_string(fields, "state", is_settled ? "settled" : "converging");
    value_builder_set_string(fields, "folder", twin->shown_folder);
    value_builder_set(fields, "root", value_bool(geteuid() == 0));
    value_builder_set(fields, "resources", value_integer((int64_t)manifest->resources.n_live));
    value_builder_set(fields, "hosts", list_hosts(machine));
    value_builder_set(fields, "networks", list_networks(machine));
    return 0;
}

static CO_FN int serve_measure(struct call *call, struct value_builder *fields, struct error *err)
{
    (void)err;
    CLEANUP(value_unrefp)
    struct value *described = measure_describe(call->connection->door->twin->measure);
    for (size_t i = 0; i < value_count(described); i++)
        value_builder_set(fields, value_key_at(described, i), value_ref(value_at(described, i)));
    return 0;
}

static CO_FN int serve_enter(struct call *call, struct value_builder *fields, struct error *err)
{
    struct twin *twin = call->connection->door->twin;
    pid_t cage = 0;
    if (!text_equal(call->request.host, NETWORK_ROUTER)) {
        int r = processes_enter(twin->processes, call->request.host, &cage, err);
        if (r < 0)
            return r;
    }
    value_builder_set(fields, "pid", value_integer(twin->pid));
    value_builder_set(fields, "cage", value_integer(cage));
    return 0;
}

static CO_FN int serve_down(struct call *call, struct value_builder *fields, struct error *err)
{
    (void)call;
    (void)fields;
    (void)err;
    return 0;
}

static CO_FN int (*const serve_functions[VERB_COUNT])(struct call *, struct value_builder *,
                                                      struct error *) = {
    [VERB_PUT] = serve_put,         [VERB_DELETE] = serve_delete, [VERB_GET] = serve_get,
    [VERB_LIST] = serve_list,       [VERB_COMMIT] = serve_commit, [VERB_HOLD] = serve_hold,
    [VERB_RELEASE] = serve_release, [VERB_STATUS] = serve_status, [VERB_ACT] = serve_act,
    [VERB_MEASURE] = serve_measure, [VERB_ENTER] = serve_enter,   [VERB_DOWN] = serve_down,
};

static void end_call(struct call *call)
{
    struct door *door = call->connection->door;
    call->connection->n_requests--;
    door->n_requests--;
    gate_open(door->twin->loop, &door->changed);
    request_done(&call->request);
    mem_free(call);
}

static void serve_call(void *argument)
{
    struct call *call = argument;
    struct door *door = call->connection->door;
    struct value_builder fields = {0};
    struct error err = {0};
    enum message_verb verb = call->request.verb;
    int r = door->is_ending ? error_set(&err, ERROR_UNAVAILABLE,
                                        "the twin is ending; start it "
                                        "again")
                            : serve_functions[verb](call, &fields, &err);
    CLEANUP(mem_freep)
    char *line = r < 0 ? answer_write_error(call->request.id, &err)
                       : answer_write(call->request.id, &fields);
    send_line(call->connection, line);
    value_builder_done(&fields);
    error_done(&err);
    if (r == 0 && verb == VERB_DOWN)
        end_twin(door, call->request.wipe);
    else if (r == 0 && verb == VERB_DELETE && converge_is_empty(door->twin->converge))
        end_twin(door, false);
    end_call(call);
}

static CO_FN void answer_fault(struct connection *connection, int64_t id, const struct error *err)
{
    CLEANUP(mem_freep) char *line = answer_write_error(id, err);
    send_line(connection, line);
}

static CO_FN void take_line(struct connection *connection, const char *line, size_t length)
{
    struct door *door = connection->door;
    struct call *call = NEW(struct call);
    struct error err = {0};
    if (request_read(line, length, &call->request, &err) < 0) {
        answer_fault(connection, call->request.id, &err);
        error_done(&err);
        mem_free(call);
        return;
    }
    while (door->n_requests >= MOST_REQUESTS)
        gate_wait(door->twin->loop, &door->changed, -1, NULL);
    call->connection = connection;
    connection->n_requests++;
    door->n_requests++;
    loop_spawn(door->twin->loop, "request", serve_call, call);
}

static CO_FN void greet(struct connection *connection)
{
    struct value_builder fields = {0};
    const struct manifest *manifest = converge_manifest(connection->door->twin->converge);
    value_builder_set(&fields, "format", value_integer(MESSAGE_FORMAT));
    value_builder_set_string(&fields, "program", "parley-twin");
    value_builder_set_string(&fields, "version", PARLEY_VERSION);
    value_builder_set_string(&fields, "identity", manifest->identity);
    CLEANUP(value_unrefp) struct value *greeting = value_builder_map(&fields);
    CLEANUP(mem_freep) char *line = json_text(greeting);
    send_line(connection, line);
}

static void free_connection(struct connection *connection)
{
    struct door *door = connection->door;
    struct connection **link = &door->first;
    while (*link != connection)
        link = &(*link)->next;
    *link = connection->next;
    door->n_connections--;
    door->left_at = world_monotonic_clock();
    gate_open(door->twin->loop, &door->changed);
    channel_free(connection->channel);
    mem_free(connection);
}

static void serve_connection(void *argument)
{
    struct connection *connection = argument;
    struct door *door = connection->door;
    greet(connection);
    for (;;) {
        CLEANUP(mem_freep) char *line = NULL;
        size_t length;
        struct error err = {0};
        int r = channel_receive(connection->channel, -1, &line, &length, &err);
        if (r == -ERROR_LIMIT)
            answer_fault(connection, 0, &err);
        error_done(&err);
        if (r < 0 || !line)
            break;
        take_line(connection, line, length);
    }
    while (connection->n_requests > 0)
        gate_wait(door->twin->loop, &door->changed, -1, NULL);
    if (!door->is_ending)
        release(connection);
    free_connection(connection);
}

/*
 * Who started the twin may have been killed before the first resource, and the last one may go
 * while something else is being decided: nobody comes back for what nobody knows of.
 */
static void end_when_lonely(void *argument)
{
    struct door *door = argument;
    while (!door->is_ending) {
        int64_t now = world_monotonic_clock();
        if (!door->first && converge_is_empty(door->twin->converge) &&
            now - door->left_at >= LONELY_TIME)
            end_twin(door, false);
        else
            gate_wait(door->twin->loop, &door->changed, now + LONELY_TIME, NULL);
    }
    door->is_watching = false;
    gate_open(door->twin->loop, &door->changed);
}

struct door *door_new(struct twin *twin, const struct door_events *events)
{
    struct door *door = NEW(struct door);
    door->twin = twin;
    door->events = *events;
    door->left_at = world_monotonic_clock();
    door->is_watching = true;
    loop_spawn(twin->loop, "lonely", end_when_lonely, door);
    return door;
}

void door_accept(struct door *door, int take_fd)
{
    if (door->n_connections >= MOST_CONNECTIONS || door->is_ending) {
        close_descriptor(take_fd);
        return;
    }
    struct connection *connection = NEW(struct connection);
    connection->door = door;
    connection->channel = channel_new(door->twin->loop, take_fd, MESSAGE_LIMIT);
    connection->next = door->first;
    door->first = connection;
    door->n_connections++;
    loop_spawn(door->twin->loop, "connection", serve_connection, connection);
}

CO_FN void door_free(struct door *door)
{
    if (!door)
        return;
    door->is_ending = true;
    while (door->n_requests > 0)
        gate_wait(door->twin->loop, &door->changed, -1, NULL);
    for (struct connection *connection = door->first; connection; connection = connection->next)
        channel_shut(connection->channel);
    gate_open(door->twin->loop, &door->changed);
    while (door->n_connections > 0 || door->is_watching)
        gate_wait(door->twin->loop, &door->changed, -1, NULL);
    mem_free(door);
}
