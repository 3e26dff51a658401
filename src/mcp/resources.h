/* What a client can read without calling a tool, and prompts for the common jobs. */
#pragma once

#include "mcp/server.h"

/* Adds them to the offer. */
void resources_fill(struct mcp_offer *offer);
