/* What the machine itself says of a resource: names and addresses. Pure. */
#pragma once

#include "model/value.h"
#include "twin/machine.h"
#include "twin/manifest.h"

/* Adds the outputs of a resource, by its type, as far as they follow from the desired machine. */
void outputs_add(const struct machine *machine, const struct manifest *manifest,
                 const struct value *resource, struct value_builder *outputs);
