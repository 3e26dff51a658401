/* What the files of the server share. */
#pragma once

#include "base/digest.h"
#include "base/map.h"
#include "mcp/server.h"

#include <sodium.h>

#define META_VERSION "io.modelcontextprotocol/protocolVersion"
#define META_CAPABILITIES "io.modelcontextprotocol/clientCapabilities"
#define META_CLIENT "io.modelcontextprotocol/clientInfo"
#define META_LOG_LEVEL "io.modelcontextprotocol/logLevel"
#define META_SERVER "io.modelcontextprotocol/serverInfo"
#define META_SUBSCRIPTION "io.modelcontextprotocol/subscriptionId"

#define MCP_TASKS "io.modelcontextprotocol/tasks"

struct listener;
struct subscriber;
struct task;

/* A request of ours that a legacy client has not answered yet. */
struct question {
    char id[40];
    struct mcp_call *call; /* who waits for it */
    struct value *result;  /* owned, once it came; a failure is a null */
    struct question *next;
};

struct mcp_server {
    struct loop *loop;
    const struct mcp_offer *offer;
    unsigned char key[crypto_secretbox_KEYBYTES];
    char **tool_texts;             /* owned, each tool as tools/list has it */
    struct value **schemas;        /* owned, of each tool that has its own; NULL: it has none */
    char instance[UUID_TEXT_SIZE]; /* another for each that was started */
    char *identity;                /* owned: serverInfo as JSON */
    char *portrait;                /* owned: the same with its icon, for who begins */
    char *capabilities;            /* owned: JSON, of the modern era */
    struct mcp_call *calls;
    size_t n_calls;
    struct question *questions;
    struct listener *listeners;
    size_t n_listeners;
    struct subscriber *subscribers; /* of the legacy era, the newest first */
    struct mcp_watcher watcher;
    struct task *tasks;         /* also tools that only may become one, while they run */
    struct gate task_ended;     /* opened when the tool of one returned */
    struct map cancelled_tasks; /* lasting ones, by principal and id */
};

/* --- server.c --- */
/* The schema of a tool's arguments if it was given as one; NULL: it was not. */
const struct value *mcp_schema_of(const struct mcp_server *server, const char *tool);

/* --- seal.c --- */
/* The same two with a key of one's own. */
char *seal_close(const unsigned char *key, const char *text);
char *seal_open(const unsigned char *key, const char *sealed);
/* A text that only this server can have made, and nobody can read. The caller frees it. */
char *mcp_seal(const struct mcp_server *server, const char *text);
/* NULL when it is none of those. */
char *mcp_unseal(const struct mcp_server *server, const char *sealed);

/* --- pages.c --- */
/* The last item that the page before it had (owned), NULL for the first page; or a fault. */
int mcp_read_cursor(struct mcp_call *call, char **ret_after, struct rpc_fault *fault);
/* Says that more comes after this one. */
void mcp_write_cursor(const struct mcp_call *call, const char *last, struct strbuf *members);
/* A fault where a list of one page is asked for another. */
int mcp_refuse_cursor(struct mcp_call *call, struct rpc_fault *fault);
/* A page of what exists now, behind `after`; ends the array that members has begun. */
CO_FN int mcp_list_present(struct mcp_call *call, const char *after, struct strbuf *members,
                           struct rpc_fault *fault);

/* --- icons.c --- */
/* The member "icons" of something by its name, if it has any, behind others. */
void mcp_write_icon(const struct mcp_offer *offer, const char *of, struct strbuf *members);
/* Whether the client's version has such a member. */
bool mcp_knows_icons(const struct mcp_call *call);

/* --- lists.c: what is offered, as members of a result --- */
char *mcp_tool_text(const struct mcp_tool *tool);
void mcp_write_field(struct strbuf *buffer, const char *name, const char *text_or_null);
int mcp_list_tools(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);
CO_FN int mcp_list_resources(struct mcp_call *call, struct strbuf *members,
                             struct rpc_fault *fault);
int mcp_list_templates(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);
int mcp_list_prompts(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);
/* Whether arguments fit the inputs; else all faults, a line each, in *ret_faults (owned). */
bool mcp_check_arguments(const struct mcp_tool *tool, const struct value *arguments,
                         char **ret_faults);

/* --- call.c --- */
void mcp_begin_call(struct mcp_call *call);
void mcp_end_call(struct mcp_call *call);
/* Frees what a call has that was never begun. */
void mcp_drop_call(struct mcp_call *call);
/* What the client declared: "elicitation", "sampling", "roots". */
bool mcp_client_can(const struct mcp_call *call, const char *capability);
/* Whether a client with these capabilities shows forms: one that names no mode does. */
bool mcp_has_form(const struct value *capabilities);
/* Whether the client declared that it knows tasks. */
bool mcp_knows_tasks(const struct mcp_call *call);
/* The state that came with the request; a fault when it was tampered with. */
int mcp_take_state(struct mcp_call *call, struct rpc_fault *fault);
/* The members of a result that asks the client for something. */
void mcp_write_asked(struct mcp_call *call, struct strbuf *members);
/* A response that came. */
void mcp_take_response(struct mcp_server *server, const struct mcp_exchange *exchange,
                       const struct rpc_message *message);

/* --- methods.c --- */
/* The fault of a version that is not spoken. */
int mcp_refuse_version(const char *wanted, struct rpc_fault *fault);
/* NULL when nothing that is offered has this URI. */
const struct mcp_resource *mcp_find_resource(const struct mcp_offer *offer, const char *uri);
/* A fault about a resource. */
int mcp_refuse_uri(const char *uri, const char *why, struct rpc_fault *fault);

/* --- methods.c --- */
/* Bytes as base64; the caller frees it. */
char *mcp_base64(const void *bytes, size_t length);
/* Calls the tool and writes its result. 0; MCP_ASKED, with nothing written; or the fault. */
CO_FN int mcp_run_tool(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);
/* The fault of a client that is not capable of something, or does not know an extension. */
int mcp_refuse_client(const char *needs, struct rpc_fault *fault);

/* The members of a tool's result. */
void mcp_write_tool_result(const struct mcp_result *result, struct strbuf *members);
void mcp_result_done(struct mcp_result *result);

/* --- tasks.c --- */
/* Whether a task of this process has that id. */
bool mcp_has_task(const struct mcp_call *call, const char *id);
bool mcp_offers_tasks(const struct mcp_offer *offer);
/* Calls a tool that may become a task: writes its result, what it asks, or the new task. */
CO_FN int mcp_call_as_task(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);
int mcp_get_task(struct mcp_call *call, const char *id, struct strbuf *members,
                 struct rpc_fault *fault);
CO_FN int mcp_update_task(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);
CO_FN int mcp_cancel_task(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);

/* --- lasting.c --- */
/* A fault when a client wants a tool to be a task that is none. */
int mcp_check_task(const struct mcp_call *call, struct rpc_fault *fault);
void mcp_write_lasting(struct mcp_call *call, const struct mcp_lasting *task,
                       struct strbuf *members);
/* What tasks/get says of a task, of this process or not. */
CO_FN int mcp_describe_task(struct mcp_call *call, const char *id, struct strbuf *members,
                            struct rpc_fault *fault);
CO_FN int mcp_get_lasting(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);
CO_FN int mcp_cancel_lasting(struct mcp_call *call, struct strbuf *members,
                             struct rpc_fault *fault);
CO_FN int mcp_await_lasting(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);
CO_FN int mcp_list_lasting(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);

/* --- listen.c --- */
/* Tells who listens to a task that it may be another. */
void mcp_announce_task(struct mcp_server *server, const char *id);
CO_FN int mcp_listen(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);
CO_FN int mcp_subscribe(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);
CO_FN int mcp_unsubscribe(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);
void mcp_forget_subscribers(struct mcp_server *server);
