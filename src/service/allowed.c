#include "service/allowed.h"

#include "base/memory.h"
#include "base/text.h"

enum {
    LOOK = 1U << VERB_READ,
    PLAN = LOOK | 1U << VERB_PLAN,
    APPROVE = LOOK | 1U << VERB_APPROVE,
    OPERATE = PLAN | 1U << VERB_APPLY | 1U << VERB_STOP,
    ADMINISTER = OPERATE | APPROVE | 1U << VERB_ADMINISTER,
    OWN = ADMINISTER | 1U << VERB_OWN
};

/* What each role may do. Who has plans carried out does not approve them by that. */
static const unsigned int effects_of[] = {
    [ROLE_VIEWER] = LOOK,      [ROLE_PLANNER] = PLAN,     [ROLE_APPROVER] = APPROVE,
    [ROLE_OPERATOR] = OPERATE, [ROLE_ADMIN] = ADMINISTER, [ROLE_OWNER] = OWN,
};

static bool may(const struct caller *caller, enum verb_effect effect)
{
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if ((caller->roles & ROLE(role)) && (effects_of[role] & 1U << effect))
            return true;
    return false;
}

static int check_roles(const struct caller *caller, enum verb_effect effect, const char *what,
                       struct error *err)
{
    unsigned int able = 0;
    if (may(caller, effect))
        return 0;
    for (enum role role = 0; role < ROLE_OWNER; role++)
        if (effects_of[role] & 1U << effect)
            able |= ROLE(role);
    CLEANUP(mem_freep) char *roles = roles_to_string(caller->roles);
    CLEANUP(mem_freep) char *needed = roles_to_string(able);
    if (able == 0)
        return error_set(err, ERROR_DENIED,
                         "%s is left to the user to whom Parley's state belongs, at the command "
                         "line; %s has the roles: %s",
                         what, caller->principal, roles);
    return error_set(err, ERROR_DENIED,
                     "%s needs the right to %s, and %s has not got it (its roles: %s). These roles "
                     "have it: %s; whoever gives out tokens can give one",
                     what, verb_effect_to_string(effect), caller->principal, roles, needed);
}

static int refuse_by_line(const struct site_rules *rules, unsigned int line, const char *cap,
                          const char *what, struct error *err)
{
    return error_set(err, ERROR_DENIED,
                     "%s is refused to everybody: %s:%u says %s. Whoever may write that file can "
                     "take the line out",
                     what, rules->file, line, cap);
}

/* A read-only site can still be looked at and planned for, what goes on can be stopped, and what
 * its owner does to Parley's own state changes no system. */
static int check_read_only(const struct site *site, enum verb_effect effect, const char *what,
                           struct error *err)
{
    const struct site_rules *rules = site_rules(site);
    bool is_harmless =
        effect == VERB_READ || effect == VERB_PLAN || effect == VERB_STOP || effect == VERB_OWN;
    if (is_harmless || rules->read_only == 0)
        return 0;
    return refuse_by_line(rules, rules->read_only, "read-only", what, err);
}

int verb_check_allowed(const struct verb *verb, const struct caller *caller,
                       const struct site *site, struct error *err)
{
    const struct site_rules *rules = site_rules(site);
    int r = check_roles(caller, verb->effect, verb->name, err);
    if (r == 0)
        r = check_read_only(site, verb->effect, verb->name, err);
    if (r == 0 && rules->no_destroy && text_equal(verb->name, "plan_destroy"))
        r = refuse_by_line(rules, rules->no_destroy, "no-destroy", verb->name, err);
    return r;
}

/* A step that takes something away, or NULL. */
static const struct step *find_destroying(const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].kind == STEP_DELETE)
            return &plan->steps[i];
    return NULL;
}

static int check_caps(const struct site *site, enum verb_effect effect, const struct plan *plan,
                      const char *what, struct error *err)
{
    const struct site_rules *rules = site_rules(site);
    int r = check_read_only(site, effect, what, err);
    const struct step *step = r == 0 && rules->no_destroy ? find_destroying(plan) : NULL;
    if (!step)
        return r;
    CLEANUP(mem_freep)
    char *subject = string_format("%s, which has the step \"%s\",", what, step->id);
    return refuse_by_line(rules, rules->no_destroy, "no-destroy", subject, err);
}

int allowed_check_caps(const struct site *site, const struct plan *plan, struct error *err)
{
    CLEANUP(mem_freep) char *what = string_format("to carry out the plan %.12s", plan->hash);
    return check_caps(site, VERB_APPLY, plan, what, err);
}

int allowed_check_plan(struct service *service, enum verb_effect effect, const struct plan *plan,
                       struct error *err)
{
    struct error denial = {0};
    CLEANUP(mem_freep)
    char *what = string_format("to %s the plan %.12s",
                               effect == VERB_APPROVE ? "approve" : "carry out", plan->hash);
    int r = check_roles(&service->caller, effect, what, &denial);
    if (r == 0)
        r = check_caps(service->site, effect, plan, what, &denial);
    return r < 0 ? allowed_refuse(service, effect, what, &denial, err) : 0;
}

int allowed_check(struct service *service, enum verb_effect effect, const char *what,
                  struct error *err)
{
    struct error denial = {0};
    int r = check_roles(&service->caller, effect, what, &denial);
    if (r == 0)
        r = check_read_only(service->site, effect, what, &denial);
    return r < 0 ? allowed_refuse(service, effect, what, &denial, err) : 0;
}

int allowed_refuse(struct service *service, enum verb_effect effect, const char *what,
                   struct error *denial, struct error *err)
{
    struct value_builder fields = {0};
    struct error fault = {0};
    if (effect != VERB_READ) {
        value_builder_set_string(&fields, "asked", what);
        value_builder_set_string(&fields, "reason", error_message(denial));
        int r = service_audit(service, "refused", &fields, &fault);
        /* Without a store there is no chain. */
        if (r < 0 && r != -ERROR_NOT_FOUND)
            error_wrap(denial, -(int)denial->code,
                       "the audit chain could not take the refusal (%s)", error_message(&fault));
    }
    error_done(&fault);
    return error_move(err, denial);
}
