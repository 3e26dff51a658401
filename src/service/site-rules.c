#include "service/site-rules.h"

#include "auth/signing.h"
#include "base/memory.h"
#include "base/text.h"
#include "catalog/literal.h"

enum { SECOND = 1000000, LASTS_SECONDS = 3600, LASTS_SECONDS_MAX = 7 * 24 * 3600 };

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

static void read_caps(struct site_rules *rules, const struct yaml_tree *tree,
                      const struct yaml_node *caps, struct diagnostics *diagnostics)
{
    if (caps && caps->kind != VALUE_LIST && caps->kind != VALUE_NULL)
        diagnostics_add(diagnostics, DIAGNOSTIC_WRONG_KIND, yaml_position(tree, caps),
                        "such as [read-only]", "\"caps\" must be a list.");
    for (unsigned int i = 0; caps && caps->kind == VALUE_LIST && i < caps->n_items; i++)
        read_cap(rules, tree, caps->items[i], diagnostics);
}

static void read_level(struct level_rule *rule, const struct yaml_tree *tree,
                       const struct yaml_node *node, struct diagnostics *diagnostics)
{
    enum approval_level level =
        node->kind == VALUE_STRING ? approval_level_from_string(node->text) : APPROVAL_LEVEL_COUNT;
    if (level < APPROVAL_LEVEL_COUNT)
        *rule = (struct level_rule){level, node->line};
    else
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE, yaml_position(tree, node),
                        "the levels are none, separated and signed",
                        "That is no level of approval.");
}

static void read_lasts(struct approval_rules *rules, const struct yaml_tree *tree,
                       const struct yaml_node *node, struct diagnostics *diagnostics)
{
    double seconds = 0;
    CLEANUP(value_unrefp)
    struct value *duration = node->kind == VALUE_STRING ? literal_duration(node->text) : NULL;
    if (duration)
        seconds = literal_duration_seconds(value_text(duration));
    if (seconds >= 1 && seconds <= LASTS_SECONDS_MAX)
        rules->lasts = (int64_t)(seconds * SECOND);
    else
        diagnostics_add(diagnostics, DIAGNOSTIC_BAD_VALUE, yaml_position(tree, node), "such as 15m",
                        "An approval lasts from a second to a week.");
}

static void read_rule(struct approval_rules *rules, const struct yaml_tree *tree,
                      const struct yaml_pair *pair, bool is_top, struct diagnostics *diagnostics)
{
    const struct yaml_node *value = pair->value;
    if (text_equal(pair->key, "level"))
        read_level(&rules->level, tree, value, diagnostics);
    else if (text_equal(pair->key, "production") && is_top)
        read_level(&rules->production, tree, value, diagnostics);
    else if (text_equal(pair->key, "protect"))
        read_level(&rules->protect, tree, value, diagnostics);
    else if (text_equal(pair->key, "expires"))
        read_lasts(rules, tree, value, diagnostics);
    else if (text_equal(pair->key, "fourEyes") && value->kind == VALUE_BOOL)
        rules->four_eyes = value->boolean ? value->line : 0;
    else if (text_equal(pair->key, "fourEyes"))
        diagnostics_add(diagnostics, DIAGNOSTIC_WRONG_KIND, yaml_position(tree, value), NULL,
                        "\"fourEyes\" must be true or false.");
    else
        diagnostics_add(diagnostics, DIAGNOSTIC_UNKNOWN_KEY, yaml_key_position(tree, pair),
                        is_top ? "the keys are level, production, protect, expires and fourEyes"
                               : "the keys are level, protect, expires and fourEyes",
                        "\"approval\" has no key \"%s\" here.", pair->key);
}

/* A level alone, or a map. */
static void read_approval(struct approval_rules *rules, const struct yaml_tree *tree,
                          const struct yaml_node *node, bool is_top,
                          struct diagnostics *diagnostics)
{
    if (node->kind == VALUE_NULL)
        return;
    if (node->kind != VALUE_MAP) {
        read_level(&rules->level, tree, node, diagnostics);
        return;
    }
    for (unsigned int i = 0; i < node->n_items; i++)
        read_rule(rules, tree, &node->pairs[i], is_top, diagnostics);
}

static void read_environments(struct site_rules *rules, const struct yaml_tree *tree,
                              const struct yaml_node *environments, struct diagnostics *diagnostics)
{
    for (unsigned int i = 0;
         environments && environments->kind == VALUE_MAP && i < environments->n_items; i++) {
        const struct yaml_pair *pair = &environments->pairs[i];
        const struct yaml_node *approval = yaml_get(pair->value, "approval");
        if (!approval)
            continue;
        ARRAY_RESERVE(rules->environments, rules->n_environments, rules->capacity);
        struct environment_rules *added = &rules->environments[rules->n_environments++];
        /* Where it says nothing of that, the top's holds. */
        *added = (struct environment_rules){
            .name = string_copy(pair->key),
            .approval = {.lasts = rules->approval.lasts, .four_eyes = rules->approval.four_eyes},
        };
        read_approval(&added->approval, tree, approval, false, diagnostics);
    }
}

static unsigned int read_roles(const struct yaml_node *list)
{
    unsigned int roles = 0;
    for (unsigned int i = 0; list && list->kind == VALUE_LIST && i < list->n_items; i++) {
        const struct yaml_node *item = list->items[i];
        enum role role = item->kind == VALUE_STRING ? role_from_string(item->text) : ROLE_COUNT;
        if (role >= ROLE_OWNER)
            return 0;
        roles |= ROLE(role);
    }
    return roles;
}

static void read_approver(struct site_rules *rules, const struct yaml_tree *tree,
                          const struct yaml_node *node, struct diagnostics *diagnostics)
{
    const char *principal = yaml_get_text(node, "principal");
    const char *key = yaml_get_text(node, "key");
    unsigned int roles = read_roles(yaml_get(node, "roles"));
    if (!principal || !principal_is_valid(principal) || !key || !signing_is_public(key) || !roles) {
        diagnostics_add(
            diagnostics, DIAGNOSTIC_BAD_VALUE, yaml_position(tree, node),
            "such as { principal: anna, key: \"ed25519:...\", roles: [approver] }, with "
            "the key that \"parley key new\" printed",
            "An approver has a principal, a public key and roles.");
        return;
    }
    ARRAY_RESERVE(rules->approvers, rules->n_approvers, rules->approvers_capacity);
    rules->approvers[rules->n_approvers++] =
        (struct approver){string_copy(principal), string_copy(key), roles, node->line};
}

static void read_approvers(struct site_rules *rules, const struct yaml_tree *tree,
                           const struct yaml_node *list, struct diagnostics *diagnostics)
{
    if (list && list->kind != VALUE_LIST && list->kind != VALUE_NULL)
        diagnostics_add(diagnostics, DIAGNOSTIC_WRONG_KIND, yaml_position(tree, list), NULL,
                        "\"approvers\" must be a list.");
    for (unsigned int i = 0; list && list->kind == VALUE_LIST && i < list->n_items; i++)
        read_approver(rules, tree, list->items[i], diagnostics);
}

void site_rules_read(struct site_rules *rules, const struct yaml_tree *tree,
                     const struct yaml_node *body, struct diagnostics *diagnostics)
{
    const struct yaml_node *approval = yaml_get(body, "approval");
    rules->file = string_copy(yaml_file(tree));
    read_caps(rules, tree, yaml_get(body, "caps"), diagnostics);
    if (approval)
        read_approval(&rules->approval, tree, approval, true, diagnostics);
    read_environments(rules, tree, yaml_get(body, "environments"), diagnostics);
    read_approvers(rules, tree, yaml_get(body, "approvers"), diagnostics);
}

void site_rules_done(struct site_rules *rules)
{
    for (size_t i = 0; i < rules->n_environments; i++)
        mem_free(rules->environments[i].name);
    mem_free(rules->environments);
    for (size_t i = 0; i < rules->n_approvers; i++) {
        mem_free(rules->approvers[i].principal);
        mem_free(rules->approvers[i].key);
    }
    mem_free(rules->approvers);
    mem_free(rules->file);
    *rules = (struct site_rules){0};
}

static const struct approval_rules *find_environment(const struct site_rules *rules,
                                                     const char *environment)
{
    for (size_t i = 0; i < rules->n_environments; i++)
        if (text_equal(rules->environments[i].name, environment))
            return &rules->environments[i].approval;
    return NULL;
}

static void raise(struct level_rule *level, const struct level_rule *rule)
{
    if (rule->line > 0 && (level->line == 0 || rule->level > level->level))
        *level = *rule;
}

struct demand site_rules_demand(const struct site_rules *rules, const char *environment,
                                bool is_production, bool touches_protected)
{
    const struct approval_rules *top = &rules->approval;
    const struct approval_rules *own = find_environment(rules, environment);
    const struct approval_rules *nearest = own ? own : top;
    struct demand demand = {
        .level = own ? own->level : (struct level_rule){0},
        .lasts = nearest->lasts ? nearest->lasts : (int64_t)LASTS_SECONDS * SECOND,
        .four_eyes = nearest->four_eyes,
    };
    if (demand.level.line == 0) {
        demand.level = top->level;
        if (is_production)
            raise(&demand.level, &top->production);
    }
    if (touches_protected) {
        raise(&demand.level, &top->protect);
        if (own)
            raise(&demand.level, &own->protect);
    }
    return demand;
}
