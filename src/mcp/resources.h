/* What a client can read without calling a tool, and prompts for the common jobs. */
#pragma once

#include "mcp/server.h"
#include "service/marks.h"

/* Adds them to the offer. */
void resources_fill(struct mcp_offer *offer);
/* What changes of a resource are seen by. False: only the site's changes are its. */
bool resources_find_mark(const char *uri, enum mark_kind *ret_kind, const char **ret_name);
