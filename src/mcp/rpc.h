/*
 * JSON-RPC 2.0 messages (jsonrpc.org/specification) as the Model Context Protocol narrows them: one
 * message is one object, an id is a string or a whole number, params are an object.
 */
#pragma once

#include "base/strbuf.h"
#include "model/value.h"

/* Errors by their numbers: JSON-RPC's, and those of MCP 2026-07-28. */
enum {
    RPC_PARSE_ERROR = -32700,
    RPC_INVALID_REQUEST = -32600,
    RPC_METHOD_NOT_FOUND = -32601,
    RPC_INVALID_PARAMS = -32602,
    RPC_INTERNAL_ERROR = -32603,
    MCP_TOO_OFTEN = 429, /* ours: outside of what the two reserve */
    MCP_HEADER_MISMATCH = -32020,
    MCP_MISSING_CAPABILITY = -32021,
    MCP_UNSUPPORTED_VERSION = -32022
};

/* Why a request has no result. Zero-initialise it; code 0 is none. */
struct rpc_fault {
    int code;
    char *message;      /* owned */
    struct value *data; /* owned; NULL: none */
};
void rpc_fault_done(struct rpc_fault *fault);
/* Sets it, replacing what was there; returns -1. */
__attribute__((format(printf, 3, 4))) int rpc_fail(struct rpc_fault *fault, int code,
                                                   const char *format, ...);
/* The same with data, which is consumed. */
__attribute__((format(printf, 4, 5))) int
rpc_fail_with(struct rpc_fault *fault, int code, struct value *take_data, const char *format, ...);

enum rpc_kind { RPC_REQUEST, RPC_NOTIFICATION, RPC_RESPONSE };

/* A message that came. All but body is borrowed from it. */
struct rpc_message {
    enum rpc_kind kind;
    struct value *body;   /* owned */
    struct value *id;     /* of a request or a response; NULL where it has none that can be told */
    const char *method;   /* of a request or a notification */
    struct value *params; /* NULL: none */
    struct value *result; /* of a response; NULL: it is an error */
};
void rpc_message_done(struct rpc_message *message);
/*
 * Reads one message. On a fault (RPC_PARSE_ERROR or RPC_INVALID_REQUEST) *ret_message has the id
 * that the answer must carry, as far as there is one; it is to be freed either way.
 */
int rpc_read(const char *text, size_t size, struct rpc_message *ret_message,
             struct rpc_fault *fault);

/* Messages as text on one line. members are those of the result, "\"a\":1,\"b\":2", or "". */
char *rpc_result_text(const struct value *id, const char *members);
/* id NULL: it could not be told. */
char *rpc_fault_text(const struct value *id, const struct rpc_fault *fault);
/* params: the text of an object. */
char *rpc_notification_text(const char *method, const char *params);
char *rpc_request_text(const char *id, const char *method, const char *params);
