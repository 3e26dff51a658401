/* What Parley offers over the protocol: its tools, resources and prompts, over the verbs. */
#pragma once

#include "auth/caller.h"
#include "mcp/looks.h"
#include "mcp/page.h"
#include "mcp/pool.h"
#include "mcp/server.h"
#include "service/verbs.h"

/* A client as the door knows it; the caller of every exchange points to one. */
struct mcp_caller {
    struct pool *pool;
    struct looks *looks;
    const struct caller *who;
    struct approval_page *page; /* where approvers decide; NULL: there is none */
    bool may_read_files; /* it is a process of this machine and user: documents may be named by path
                          */
};

/* What is offered to callers that are such. */
const struct mcp_offer *tools_offer(void);

/* --- tools.c for resources.c --- */
/* A service for a call, that says who asks and with which program. */
CO_FN int tools_take_service(struct mcp_call *call, struct service **ret_service,
                             struct error *err);
void tools_give_service(struct mcp_call *call, struct service *service);
/* Asks a verb; input is consumed. The answer is to be freed either way. */
CO_FN int tools_ask(struct mcp_call *call, struct service *service, const char *verb,
                    struct value *take_input, struct verb_answer *ret_answer, struct error *err);
