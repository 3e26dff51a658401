#include "service/site-rules.h"

#include "base/memory.h"
#include "base/text.h"

static void read_cap(struct site_rules *rules, const struct yaml_tree *tree,
                     const struct yaml_node *cap, struct diagnostics *diagnostics)
{
    if (cap->kind == VALUE_STRING && text_equal(cap->text, "read-only"))
        rules->read_only = cap->line;
    else if (cap->kind == VALUE_STRING && text_equal(cap->text, "no-destroy"))
        rules->no_destroy = cap->line;
    else
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE, yaml_position(tree, cap),
                        "the caps are read-only and no-destroy", "That is no cap of a site.");
}

void site_rules_read(struct site_rules *rules, const struct yaml_tree *tree,
                     const struct yaml_node *body, struct diagnostics *diagnostics)
{
    rules->file = string_copy(yaml_file(tree));
    const struct yaml_node *caps = yaml_get(body, "caps");
    if (caps && caps->kind != VALUE_LIST && caps->kind != VALUE_NULL)
        diagnostics_add(diagnostics, DIAGNOSTIC_WRONG_KIND, yaml_position(tree, caps),
                        "such as [read-only]", "\"caps\" must be a list.");
    for (unsigned int i = 0; caps && caps->kind == VALUE_LIST && i < caps->n_items; i++)
        read_cap(rules, tree, caps->items[i], diagnostics);
}

void site_rules_done(struct site_rules *rules)
{
    mem_free(rules->file);
    *rules = (struct site_rules){0};
}
