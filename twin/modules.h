/* Every kind of thing that the twin runs. */
#pragma once

#include "twin/module.h"

extern const struct module_ops *const module_table[MODULE_COUNT];
