/* What tests share that have a real twin in their home: its end. */
#pragma once

#include "contract/provider.h"

#include "provider/twin/client.h"

static inline void twin_end_run(void *argument)
{
    struct rig *rig = argument;
    struct twin_home home = {0};
    struct twin_answer answer = {0};
    bool is_cancelled = false, is_running = true;
    struct call call = rig->call;
    call.is_cancelled = &is_cancelled;
    call.deadline = world_monotonic_clock() + 20000000;
    struct value_builder request = twin_request("down");
    value_builder_set(&request, "wipe", value_bool(true));
    CLEANUP(value_unrefp) struct value *message = value_builder_map(&request);
    if (twin_home_init(&home, rig->home, NULL) == 0) {
        (void)twin_ask(&home, &call, message, &answer, NULL);
        is_running =
            world_file_exists(home.lock) && twin_wait_gone(&home, &call, call.deadline, NULL) < 0;
    }
    if (is_running)
        printf("# the twin in %s does not end\n", rig->home);
    twin_answer_done(&answer);
    twin_home_done(&home);
}

/* Ends the twin of a home, if one runs, and waits until it is gone. */
static inline void rig_end_twin(struct rig *rig)
{
    loop_spawn(rig->loop, "end", twin_end_run, rig);
    loop_run(rig->loop);
}
