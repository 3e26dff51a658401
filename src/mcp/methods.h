/* The methods of the protocol, for the server that carries requests out. */
#pragma once

#include "mcp/internal.h"

/* In which era a method is, and what its result is. */
enum {
    METHOD_MODERN = 1,
    METHOD_LEGACY = 2,
    METHOD_KEPT = 4,       /* a client may keep it for a while */
    METHOD_LOOKED_AT = 8,  /* a client may keep it, but it may have changed at once */
    METHOD_BEGINS = 16,    /* a session */
    METHOD_LISTENS = 32,   /* the answer is the end of listening */
    METHOD_INTRODUCES = 64 /* the server shows its icon */
};

struct method {
    const char *name;
    unsigned int flags;
    /* Writes the members of the result, or the fault and returns a negative number. */
    CO_FN int (*answer)(struct mcp_call *call, struct strbuf *members, struct rpc_fault *fault);
};
/* NULL when that era has none of that name. */
const struct method *mcp_find_method(const char *name, bool is_modern);

/* How a client calls itself, made printable; the caller frees it. */
char *mcp_client_name(const struct value *info);
/* What the server is capable of, as JSON; the caller frees it. */
char *mcp_capabilities_text(const struct mcp_offer *offer, bool is_modern);
