/*
 * A Model Context Protocol server without a wire: what it offers (tools, resources, prompts), and
 * what becomes of one message. Transports (stdio.c, web.c) read messages and send answers; what the
 * tools do is theirs (tools.c). Both eras of the protocol: 2026-07-28, where every request says all
 * about itself, and 2025-11-25 down to 2024-11-05, which begin with "initialize".
 *
 * Sources: the specification at modelcontextprotocol.io, revisions 2024-11-05 to 2026-07-28.
 */
#pragma once

#include "base/error.h"
#include "mcp/rpc.h"
#include "net/loop.h"

#include <stdbool.h>

#define MCP_MODERN_VERSION "2026-07-28"
#define MCP_LEGACY_VERSION "2025-11-25"

struct mcp_call;
struct mcp_result;

/* --- What is offered. All of it is borrowed and stays as it is. --- */

enum mcp_input_kind {
    MCP_TEXT,
    MCP_INTEGER,
    MCP_FLAG,
    MCP_TEXTS,    /* a list of texts */
    MCP_SETTINGS, /* a map from names to texts, numbers or flags */
};
/* One field of a tool's arguments. */
struct mcp_input {
    const char *name; /* NULL: the end of the list */
    enum mcp_input_kind kind;
    bool is_required;
    const char *description;
    const char *choices;       /* of a text: "a|b|c"; NULL: any */
    int64_t lowest, highest;   /* of a number */
    const char *default_value; /* as JSON; NULL: none */
};

/* Whether a tool may go on as a task when its request has ended (mcp_become_task()). */
enum mcp_tasking {
    MCP_NO_TASK,
    MCP_MAY_BE_TASK,
    MCP_ONLY_TASK /* clients that know no tasks cannot call it */
};

struct mcp_tool {
    const char *name; /* noun_verb */
    const char *title;
    const char *description;
    bool is_read_only, is_destructive, is_idempotent, is_open_world;
    bool is_lasting;                /* mcp_wants_task() is asked by it */
    const struct mcp_input *inputs; /* checked before the tool is called; NULL: input_schema */
    const char *input_schema;       /* JSON of a schema that the tool checks itself */
    const char *output_schema;      /* JSON; NULL: no structured content */
    const char *meta;               /* JSON; NULL: none */
    const char *needs;              /* what a client must be capable of; NULL: nothing */
    /* 0 with a result; negative with err, which becomes a result that says so; MCP_ASKED. */
    CO_FN int (*call)(struct mcp_call *call, struct mcp_result *result, struct error *err);
    enum mcp_tasking tasking;
    int tag; /* the tool's own */
};

struct mcp_resource {
    const char *uri; /* or a template of RFC 6570, level 1 */
    const char *name, *title, *description, *mime_type;
    bool is_template;
    /* Adds what is there. ERROR_NOT_FOUND when there is nothing of that name. */
    CO_FN int (*read)(struct mcp_call *call, const char *uri, struct mcp_result *result,
                      struct error *err);
};

struct mcp_argument {
    const char *name; /* NULL: the end of the list */
    const char *description;
    bool is_required;
};
struct mcp_prompt {
    const char *name, *title, *description;
    const struct mcp_argument *arguments;
    CO_FN int (*get)(struct mcp_call *call, struct mcp_result *result, struct error *err);
};

/* A picture of what has that name: the server, a resource, a prompt. */
struct mcp_icon {
    const char *of;
    const char *path; /* of SVG, in a square of 16 by 16 */
};

/* A task that is kept outside of this process. */
struct mcp_lasting {
    char id[64];
    bool has_ended;
    int64_t created, updated; /* microseconds since 1970 */
};

struct mcp_offer {
    const char *name, *title, *version, *instructions;
    const struct mcp_tool *tools;
    size_t n_tools;
    const struct mcp_resource *resources;
    size_t n_resources;
    /* What exists now beside them, in any order: appends maps with uri, name, title, description
     * and mimeType; NULL: nothing does. */
    CO_FN int (*list_resources)(struct mcp_call *call, struct value_builder *resources,
                                struct error *err);
    const struct mcp_prompt *prompts;
    size_t n_prompts;
    const struct mcp_icon *icons;
    size_t n_icons;
    /* Whether this caller has a tool at all; NULL: everybody has all. */
    bool (*has_tool)(void *caller, const struct mcp_tool *tool);
    /* Hears of a call of a tool that its caller has not, before it is refused, and says why it is;
     * NULL: nobody does. */
    void (*refused)(struct mcp_call *call, struct error *ret_why);
    /* Hears of each call of a tool once it has ended; NULL: nobody does. */
    void (*called)(struct mcp_call *call, const struct mcp_result *result);
    /* Adds lines that say what a tool's failure means to a client; NULL: nothing. */
    void (*advise)(const struct mcp_call *call, const struct error *err, struct strbuf *buffer);
    /* Values that an argument may have: appends texts; NULL: never any. name is that of a prompt,
     * or the template of a resource. */
    CO_FN void (*complete)(struct mcp_call *call, const char *name, const char *argument,
                           const char *typed, struct value_builder *values);
    /*
     * A task of this principal that is kept outside of this process, and, unless result is NULL and
     * once it has ended, what its tool gives. ERROR_NOT_FOUND when the principal has none of this
     * id. NULL: there are no such tasks.
     */
    CO_FN int (*look_at_task)(struct mcp_call *call, const char *id, struct mcp_lasting *ret_task,
                              struct mcp_result *result, struct error *err);
    /* The URI of the resource that changes with such a task (owned); NULL: there is none. */
    char *(*find_task_uri)(const char *id);
    /* The newest of the principal's, at most limit; of those that are older than the task `after`,
     * unless that is NULL. ERROR_NOT_FOUND when there is none of that id. */
    CO_FN int (*list_tasks)(struct mcp_call *call, const char *after, struct mcp_lasting *ret_tasks,
                            size_t limit, size_t *ret_n, struct error *err);
};

struct mcp_server;
/* The offer is borrowed. key: 32 bytes that seal what clients keep for us; NULL: random ones. */
struct mcp_server *mcp_server_new(struct loop *loop, const struct mcp_offer *offer,
                                  const unsigned char *key);
/* Cancels all tasks and waits until their tools have returned. */
CO_FN void mcp_end_tasks(struct mcp_server *server);
/* No exchange may be under way, and no task. */
void mcp_server_free(struct mcp_server *server);
const struct mcp_tool *mcp_find_tool(const struct mcp_server *server, const char *name);

/* --- What becomes of a message --- */

/* What a legacy client said of itself when it began. */
struct mcp_session {
    bool is_begun;
    bool is_of_before; /* it began with a server that has ended since */
    char version[16];
    bool can_elicit; /* by a form */
    bool can_open;   /* an address, for its user */
    bool can_sample, can_list_roots;
    char *client; /* owned: "NAME VERSION" */
};
void mcp_session_done(struct mcp_session *session);
/* As a text that the client keeps for us, sealed, and back; NULL when it is none of ours. The
 * caller frees what they give. */
char *mcp_session_text(const struct mcp_server *server, const struct mcp_session *session);
bool mcp_session_read(const struct mcp_server *server, const char *text,
                      struct mcp_session *ret_session);

/* One message, where it came from and where what it causes goes. All borrowed. */
struct mcp_exchange {
    struct mcp_session *session; /* of a legacy client; NULL: the transport knows none */
    bool is_modern;              /* the transport says so, whatever the message says */
    const char *origin;          /* what its cancellations may name: one client's requests */
    const char *principal;       /* who asks */
    void *caller;                /* the same, as the door knows them */
    const char *base;            /* "https://HOST:PORT" by which it reached us; NULL: none */
    /*
     * Sends a message that belongs to this request before its answer; NULL: there is no way. A
     * failure means that the client is gone.
     */
    CO_FN int (*send)(void *argument, const char *text);
    /* While it only listens, now and then: negative when it is not to be told anything any more.
     * NULL: it always is. */
    CO_FN int (*keep)(void *argument);
    void *argument;
};

/* Zero-initialise it; mcp_answer_done() frees it. */
struct mcp_answer {
    char *text;      /* owned: the message; NULL: there is none, the client wanted none */
    int fault;       /* its error's number; 0: none */
    bool is_unknown; /* the method is none that we have */
    bool is_refused; /* the request does not say of itself what it must, or cannot be had so */
    bool is_begun;   /* a session began with it: initialize was asked */
};
void mcp_answer_done(struct mcp_answer *answer);

/*
 * Carries out one message that was read. A request is answered, also when it fails. A response is
 * handed to whom it answers; a cancellation, to what it cancels.
 */
CO_FN void mcp_handle(struct mcp_server *server, struct mcp_exchange *exchange,
                      const struct rpc_message *message, struct mcp_answer *ret_answer);
/* Cancels what a client has under way, or the one request of an exchange: it is gone. */
void mcp_cancel_origin(struct mcp_server *server, const char *origin);
void mcp_cancel_all(struct mcp_server *server);
void mcp_cancel_exchange(struct mcp_server *server, const struct mcp_exchange *exchange);
/* How many requests are under way. */
size_t mcp_count_calls(const struct mcp_server *server);

/* Whether a message says all about itself, as those of the modern era do. */
bool mcp_is_modern(const struct rpc_message *message);

/* --- Whoever listens: what they are told when it changes --- */

enum mcp_topic {
    MCP_TOOLS_CHANGED,
    MCP_PROMPTS_CHANGED,
    MCP_RESOURCES_CHANGED,
    MCP_RESOURCE_UPDATED
};
/* uri: of the resource that changed, and with it a task perhaps; NULL otherwise. */
void mcp_announce(struct mcp_server *server, enum mcp_topic topic, const char *uri);
/* Who finds out what changes: it has work only while somebody listens. */
struct mcp_watcher {
    /* Somebody began to listen to something: what is there now is what changes are measured by, and
     * is looked at before this returns. */
    CO_FN void (*began)(void *argument);
    void (*ended)(void *argument); /* somebody does no longer */
    void *argument;
};
void mcp_set_watcher(struct mcp_server *server, const struct mcp_watcher *watcher);
bool mcp_is_heard(const struct mcp_server *server);
/* Calls visit for each resource that somebody listens to, or to a task that changes with it, more
 * than once where several do. */
void mcp_visit_heard(const struct mcp_server *server,
                     void (*visit)(void *argument, const char *uri), void *argument);
/*
 * Tells a client of the legacy era what changes of all that it subscribed to, until its exchange is
 * cancelled or it is gone. Only the newest of those that tell one client goes on. ERROR_LIMIT when
 * too many listen already.
 */
CO_FN int mcp_tell_changes(struct mcp_server *server, struct mcp_exchange *exchange,
                           struct error *err);

/* --- What a tool, a resource or a prompt has in hand --- */

struct mcp_call {
    struct mcp_server *server;
    struct loop *loop;
    struct mcp_exchange *exchange;
    const struct mcp_tool *tool;
    const struct value *arguments; /* a map; checked against the tool's inputs */
    const char *client;            /* "NAME VERSION" as it calls itself, or "" */
    const struct value *id;
    bool is_modern;
    bool is_cancelled;
    struct gate woken; /* opened when it is */
    /* The rest is the server's. */
    const char *method;
    const struct value *params;
    const struct value *meta;
    struct value *state;
    struct value_builder answers; /* of a legacy client, so that all live as long as the call */
    struct value *given;          /* owned map: what a task was told later */
    struct task *task;
    struct strbuf asked;
    struct value *new_state;
    double progress;
    struct mcp_call *next;
};

/* Tells how far it is, if the client wants to know; what does not go forward is not told. */
CO_FN void mcp_progress(struct mcp_call *call, double progress, double total, const char *message);
/* A line for the client's log, if it wants it; level is "info" or another of RFC 5424. */
CO_FN void mcp_log(struct mcp_call *call, const char *level, const char *text);

/* What a function returns that asked the client for something: it is called anew once that is
 * known. */
enum { MCP_ASKED = 1 };
/*
 * Asks the client for something: method is elicitation/create, sampling/createMessage or
 * roots/list, params the text of its params, key the tool's own name of the question. 0 and the
 * result in *ret_answer (borrowed until the call ends), or MCP_ASKED, or a failure: the client
 * cannot be asked that (ERROR_UNSUPPORTED), or is gone. Who wants to know several things asks for
 * all of them before it returns MCP_ASKED, so that they are asked at once.
 */
CO_FN int mcp_ask(struct mcp_call *call, const char *key, const char *method, const char *params,
                  struct value **ret_answer, struct error *err);
/*
 * Lets the request end with a task in place of a result, if the tool may be one and the client
 * knows tasks; the tool goes on. From then on call->exchange has neither transport nor caller,
 * there is no progress, and what is asked waits for the client to look at the task. Returns whether
 * it is one now. A task lives as long as this process.
 */
bool mcp_become_task(struct mcp_call *call);
/*
 * Whether the client takes a task that is kept outside of this process for an answer, goes_on being
 * whether that has not ended yet; then the tool may set mcp_result.lasting and return.
 */
bool mcp_wants_task(const struct mcp_call *call, bool goes_on);
/* Whether the client can be asked with that method; elicitation: by a form. */
bool mcp_can_ask(const struct mcp_call *call, const char *method);
/* Whether it opens addresses for its user: elicitation in the mode "url". */
bool mcp_can_open(const struct mcp_call *call);
/*
 * Keeps a value with the client until it answers what was asked: sealed, so that it comes back as
 * it was, to this principal, in this request, within an hour. NULL from mcp_state(): there is none.
 * Kept before mcp_ask(), only an answer that comes with it counts: nobody answers what he was not
 * asked.
 */
void mcp_keep_state(struct mcp_call *call, struct value *take_state);
const struct value *mcp_state(const struct mcp_call *call);

/* --- Results --- */

struct mcp_result {
    struct strbuf content;      /* its items, with commas between them */
    struct value *structured;   /* owned; NULL: none */
    struct mcp_lasting lasting; /* the task that is the answer; no id: none is */
    bool is_error;
    bool is_fault; /* what the tool fails with is not its own, but the request's failure */
    const char *description; /* of a prompt; borrowed */
};
/* Text for people and models; the first one says what matters most. */
void mcp_add_text(struct mcp_result *result, const char *text);
/* An item of content as JSON. */
void mcp_add_content(struct mcp_result *result, const char *json);
/* What a resource has. */
void mcp_add_resource_text(struct mcp_result *result, const char *uri, const char *mime_type,
                           const char *text);
/* The same for what is no text. */
void mcp_add_resource_bytes(struct mcp_result *result, const char *uri, const char *mime_type,
                            const void *bytes, size_t length);
/* A message of a prompt. */
void mcp_add_prompt_text(struct mcp_result *result, const char *text);
