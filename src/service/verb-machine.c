#include "service/verb-machine.h"

#include "base/memory.h"

int verb_show_twin(struct service *service, const struct verb_call *call,
                   struct verb_answer *answer, struct error *err)
{
    (void)call;
    return service_twin_status(service, &answer->value, err);
}

int verb_stop_twin(struct service *service, const struct verb_call *call,
                   struct verb_answer *answer, struct error *err)
{
    (void)call;
    int r = service_twin_down(service, err);
    if (r == 0)
        answer->value = value_builder_map(&(struct value_builder){0});
    return r;
}

int verb_check_twin(struct service *service, const struct verb_call *call,
                    struct verb_answer *answer, struct error *err)
{
    (void)call;
    struct diagnostics findings = {0};
    struct value_builder fields = {0};
    int r = service_twin_doctor(service, &findings, err);
    if (r == 0) {
        value_builder_set(&fields, "errors", value_integer((int64_t)findings.n_errors));
        value_builder_set(&fields, "findings", diagnostics_to_value(&findings));
        answer->value = value_builder_map(&fields);
    }
    diagnostics_done(&findings);
    return r;
}

int verb_check_state(struct service *service, const struct verb_call *call,
                     struct verb_answer *answer, struct error *err)
{
    (void)call;
    return service_state_check(service, &answer->value, err);
}

int verb_repair_state(struct service *service, const struct verb_call *call,
                      struct verb_answer *answer, struct error *err)
{
    (void)call;
    return service_state_repair(service, &answer->value, err);
}

int verb_take_snapshot(struct service *service, const struct verb_call *call,
                       struct verb_answer *answer, struct error *err)
{
    CLEANUP(mem_freep) char *path = NULL;
    struct value_builder fields = {0};
    int r = service_state_snapshot(service, value_get_text(call->input, "snapshot"), &path, err);
    if (r < 0)
        return r;
    value_builder_set_string(&fields, "snapshot", path);
    answer->value = value_builder_map(&fields);
    return 0;
}

int verb_plan_restore(struct service *service, const struct verb_call *call,
                      struct verb_answer *answer, struct error *err)
{
    return service_state_plan_restore(service, value_get_text(call->input, "snapshot"),
                                      &answer->value, err);
}

int verb_restore_state(struct service *service, const struct verb_call *call,
                       struct verb_answer *answer, struct error *err)
{
    CLEANUP(mem_freep) char *kept = NULL;
    struct value_builder fields = {0};
    int r = service_state_restore(service, value_get_text(call->input, "snapshot"),
                                  value_get_text(call->input, "plan"), &kept, err);
    if (r < 0)
        return r;
    value_builder_set(&fields, "kept", kept ? value_string(kept) : value_null());
    answer->value = value_builder_map(&fields);
    return 0;
}
