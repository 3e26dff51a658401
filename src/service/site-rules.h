/* What a site allows and demands of everybody, with the lines that say so: the caps. */
#pragma once

#include "model/diagnostic.h"
#include "model/yaml.h"

struct site_rules {
    char *file;              /* owned: the site file; NULL without one */
    unsigned int read_only;  /* the line that says that nothing is changed; 0: none */
    unsigned int no_destroy; /* the line that says that nothing is taken away; 0: none */
};

/* Reads the rules out of what stands under "site:"; *rules is empty. Faults go to diagnostics. */
void site_rules_read(struct site_rules *rules, const struct yaml_tree *tree,
                     const struct yaml_node *body, struct diagnostics *diagnostics);
void site_rules_done(struct site_rules *rules);
