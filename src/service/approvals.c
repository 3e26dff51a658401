#include "service/approvals.h"

#include "base/memory.h"
#include "base/strbuf.h"
#include "base/teeth.h"
#include "base/text.h"
#include "base/world.h"
#include "service/allowed.h"
#include "service/signed.h"

enum { SECOND = 1000000 };

/* A plan whose approvals are looked at. */
struct judging {
    struct service *service;
    const struct plan *plan;
    struct demand demand;
    struct value *makers; /* owned; NULL where nobody asks who they are */
    int64_t now;
};

static bool touches_protected(const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_steps; i++) {
        const struct value *changed = plan->steps[i].changed;
        if (plan->steps[i].protect)
            return true;
        for (size_t k = 0; changed && k < value_count(changed); k++)
            if (text_equal(value_text(value_at(changed, k)), "lifecycle.protect"))
                return true;
    }
    return false;
}

struct demand approvals_demand(const struct service *service, const struct plan *plan)
{
    return site_rules_demand(site_rules(service->site), plan->environment, plan->is_production,
                             touches_protected(plan));
}

static int begin(struct service *service, const struct plan *plan, struct judging *judging,
                 struct error *err)
{
    *judging = (struct judging){.service = service,
                                .plan = plan,
                                .demand = approvals_demand(service, plan),
                                .now = world_wall_clock()};
    if (!judging->demand.four_eyes)
        return 0;
    return store_list_makers(service->store, plan->hash, &judging->makers, err);
}

static void judging_done(struct judging *judging)
{
    value_unref(judging->makers);
}

/* Adds what the site demands, and how to get it; nothing where any approval will do. */
static void add_demand(const struct judging *judging, struct strbuf *text)
{
    const struct level_rule *level = &judging->demand.level;
    const char *file = site_rules(judging->service->site)->file;
    if (level->level == APPROVAL_SEPARATED)
        strbuf_addf(text,
                    "; %s:%u demands the level separated: somebody whose token has the role "
                    "approver approves it at the server",
                    file, level->line);
    if (level->level == APPROVAL_SIGNED)
        strbuf_addf(text,
                    "; %s:%u demands the level signed: \"parley approve %.12s --key FILE\" with "
                    "the key of an approver",
                    file, level->line, judging->plan->hash);
}

static bool is_maker(const struct judging *judging, const char *principal)
{
    for (size_t i = 0; judging->makers && i < value_count(judging->makers); i++) {
        const char *maker = value_get_text(value_at(judging->makers, i), "principal");
        if (text_equal_or_null(maker, principal))
            return true;
    }
    return false;
}

/* Why a principal's approval of a level does not count, into *why; false when it does. */
static bool refuses(const struct judging *judging, const char *principal, enum approval_level level,
                    struct strbuf *why)
{
    const char *file = site_rules(judging->service->site)->file;
    if (level < judging->demand.level.level)
        strbuf_addf(why, "%s can give it at the level %s alone (%s)", principal,
                    approval_level_to_string(level), approval_level_meaning(level));
    else if (is_maker(judging, principal))
        strbuf_addf(why, "%s made the plan, and %s:%u wants another's approval", principal, file,
                    judging->demand.four_eyes);
    return why->length > 0;
}

/* When an approval ends: as it says, and not later than the site lets it last. */
static int64_t end_of(const struct judging *judging, const struct value *approval)
{
    int64_t until = value_get_integer(approval, "expires_at", 0);
    int64_t latest = value_get_integer(approval, "created_at", 0) + judging->demand.lasts;
    return until < latest ? until : latest;
}

/* Why a stored approval does not count, into *why; false when it does. */
static bool refuses_stored(const struct judging *judging, const struct value *approval,
                           struct strbuf *why)
{
    const char *principal = value_get_text(approval, "principal");
    const char *name = value_get_text(approval, "level");
    enum approval_level level = approval_level_from_string(name ? name : "");
    if (!principal || level == APPROVAL_LEVEL_COUNT)
        strbuf_add(why, "an approval does not say whose it is and how sure that is");
    else if (level == APPROVAL_SIGNED &&
             signed_refuses(judging->service, judging->plan, approval, why))
        return true;
    else if (end_of(judging, approval) <= judging->now && !TOOTH(EXPIRED_APPROVAL))
        strbuf_add(why, "it was approved, but too long ago: approve it again");
    return why->length > 0 || refuses(judging, principal, level, why);
}

/* The fault that the plan has no approval that counts, for the last reason. */
static int refuse(const struct judging *judging, const char *why, struct error *err)
{
    struct strbuf demand = {0};
    add_demand(judging, &demand);
    int r = error_set(err, ERROR_APPROVAL_NEEDED, "the plan %.12s is not approved%s%s%s",
                      judging->plan->hash, *why ? ": " : "", why,
                      demand.length ? strbuf_text(&demand) : "");
    strbuf_done(&demand);
    return r;
}

/*
 * What is no yes: somebody's no, or a run that began. Whether what was approved before it counts no
 * more for this run (NULL: a new one), and into *why, why; false also for an approval.
 */
static bool ends_former(const struct value *decision, const char *run, struct strbuf *why)
{
    const char *what = value_get_text(decision, "decision");
    const char *principal = value_get_text(decision, "principal");
    const char *user = value_get_text(decision, "run");
    if (!what || (run && text_equal_or_null(user, run)))
        return false;
    if (text_equal(what, "used"))
        strbuf_addf(why,
                    "its approval was used by the run %.8s, and each is for one run: go on with "
                    "that one, or have it approved again",
                    user ? user : "-");
    else
        strbuf_addf(why, "%s refused it", principal ? principal : "somebody");
    return true;
}

/* All decisions about a plan, in their order; why the last one does not count, into *why. */
static size_t weigh(const struct judging *judging, const struct value *decisions, const char *run,
                    struct standing *standing, struct strbuf *why)
{
    size_t n_good = 0;
    for (size_t i = 0; i < value_count(decisions); i++) {
        const struct value *decision = value_at(decisions, i);
        struct strbuf reason = {0};
        bool is_yes = !value_get(decision, "decision");
        bool is_good = is_yes && !refuses_stored(judging, decision, &reason);
        if (is_good || (!is_yes && !ends_former(decision, run, &reason))) {
            int64_t until = is_good ? end_of(judging, decision) : 0;
            standing->until = until > standing->until ? until : standing->until;
            n_good += is_good;
            strbuf_done(&reason);
            continue;
        }
        if (!is_yes) {
            n_good = 0;
            standing->until = 0;
        }
        strbuf_done(why);
        *why = reason;
    }
    standing->n_seen = value_count(decisions);
    return n_good;
}

int approvals_check(struct service *service, const struct plan *plan, const char *run,
                    struct standing *ret_standing, struct error *err)
{
    CLEANUP(value_unrefp) struct value *approvals = NULL;
    CLEANUP(strbuf_done) struct strbuf why = {0};
    CLEANUP(judging_done) struct judging judging = {0};
    struct standing standing = {0};
    int r = store_list_approvals(service->store, plan->hash, &approvals, err);
    if (r < 0 || (r = begin(service, plan, &judging, err)) < 0)
        return r;
    if (weigh(&judging, approvals, run, &standing, &why) == 0)
        return refuse(&judging, strbuf_text(&why), err);
    *ret_standing = standing;
    return 0;
}

int service_is_approved(struct service *service, const struct plan *plan, bool *ret_is_approved,
                        struct error *err)
{
    struct standing standing;
    struct error fault = {0};
    *ret_is_approved = false;
    if (approvals_demand(service, plan).level.level == APPROVAL_NONE)
        return 0;
    int r = service_need_store(service, true, err);
    if (r < 0)
        return r;
    r = approvals_check(service, plan, NULL, &standing, &fault);
    *ret_is_approved = r == 0;
    if (r < 0 && r != -ERROR_APPROVAL_NEEDED)
        return error_move(err, &fault);
    error_done(&fault);
    return 0;
}

enum approval_level approvals_own_level(const struct service *service)
{
    return service->caller.authentication == AUTHENTICATION_TOKEN ? APPROVAL_SEPARATED
                                                                  : APPROVAL_NONE;
}

int approvals_check_new(struct service *service, const struct plan *plan,
                        const struct value *approval, struct error *err)
{
    CLEANUP(strbuf_done) struct strbuf why = {0};
    CLEANUP(judging_done) struct judging judging = {0};
    int r = begin(service, plan, &judging, err);
    if (r < 0 || !refuses_stored(&judging, approval, &why))
        return r;
    struct error denial = {0};
    refuse(&judging, strbuf_text(&why), &denial);
    CLEANUP(mem_freep) char *what = string_format("to approve the plan %.12s", plan->hash);
    return allowed_refuse(service, VERB_APPROVE, what, &denial, err);
}

/* --- Shown --- */

static struct value *demand_to_value(const struct judging *judging)
{
    struct value_builder fields = {0};
    const struct demand *demand = &judging->demand;
    value_builder_set_string(&fields, "level", approval_level_to_string(demand->level.level));
    if (demand->level.line > 0 || demand->four_eyes)
        value_builder_set_string(&fields, "file", site_rules(judging->service->site)->file);
    if (demand->level.line > 0)
        value_builder_set(&fields, "line", value_integer(demand->level.line));
    value_builder_set(&fields, "four_eyes", value_bool(demand->four_eyes > 0));
    value_builder_set(&fields, "lasts_seconds", value_integer(demand->lasts / SECOND));
    return value_builder_map(&fields);
}

/* Why an approval at a place among the decisions does not count for a run that is to begin. */
static bool is_over(const struct judging *judging, const struct value *decisions, size_t place,
                    struct strbuf *why)
{
    if (refuses_stored(judging, value_at(decisions, place), why))
        return true;
    for (size_t i = place + 1; i < value_count(decisions); i++)
        if (ends_former(value_at(decisions, i), NULL, why))
            return true;
    return false;
}

static struct value *decision_to_value(const struct judging *judging, const struct value *decisions,
                                       size_t place)
{
    static const char *const kept[] = {"principal", "client",     "words",
                                       "level",     "created_at", "expires_at"};
    const struct value *decision = value_at(decisions, place);
    struct value_builder fields = {0};
    CLEANUP(strbuf_done) struct strbuf why = {0};
    const char *name = value_get_text(decision, "level");
    enum approval_level level = approval_level_from_string(name ? name : "");
    for (size_t i = 0; i < ARRAY_LENGTH(kept); i++)
        if (value_get(decision, kept[i]))
            value_builder_set(&fields, kept[i], value_ref(value_get(decision, kept[i])));
    if (value_get(decision, "decision"))
        return value_builder_map(&fields);
    if (level < APPROVAL_LEVEL_COUNT)
        value_builder_set_string(&fields, "meaning", approval_level_meaning(level));
    bool counts = !is_over(judging, decisions, place, &why);
    value_builder_set(&fields, "counts", value_bool(counts));
    if (!counts)
        value_builder_set_string(&fields, "why", strbuf_text(&why));
    return value_builder_map(&fields);
}

/* Sets the approvals, and the refusals if there are any. */
static void show_decisions(const struct judging *judging, const struct value *decisions,
                           struct value_builder *fields)
{
    struct value_builder yes = {0};
    struct value_builder no = {0};
    for (size_t i = 0; i < value_count(decisions); i++) {
        const char *what = value_get_text(value_at(decisions, i), "decision");
        if (!what)
            value_builder_append(&yes, decision_to_value(judging, decisions, i));
        else if (text_equal(what, "refused"))
            value_builder_append(&no, decision_to_value(judging, decisions, i));
    }
    value_builder_set(fields, "approvals", value_builder_list(&yes));
    CLEANUP(value_unrefp) struct value *refusals = value_builder_list(&no);
    if (value_count(refusals) > 0)
        value_builder_set(fields, "refusals", value_ref(refusals));
}

int service_show_approvals(struct service *service, const char *hash, struct value **ret_shown,
                           struct error *err)
{
    CLEANUP(plan_freep) struct plan *plan = NULL;
    CLEANUP(value_unrefp) struct value *approvals = NULL;
    CLEANUP(value_unrefp) struct value *makers = NULL;
    CLEANUP(judging_done) struct judging judging = {0};
    struct value_builder fields = {0};
    int r = service_get_plan(service, hash, &plan, err);
    if (r < 0 || (r = store_list_approvals(service->store, plan->hash, &approvals, err)) < 0 ||
        (r = store_list_makers(service->store, plan->hash, &makers, err)) < 0 ||
        (r = begin(service, plan, &judging, err)) < 0)
        return r;
    value_builder_set_string(&fields, "plan", plan->hash);
    value_builder_set(&fields, "demanded", demand_to_value(&judging));
    value_builder_set(&fields, "makers", value_ref(makers));
    show_decisions(&judging, approvals, &fields);
    *ret_shown = value_builder_map(&fields);
    return 0;
}
