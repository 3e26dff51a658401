/* Every kind of thing that the twin runs. */
#include "twin/modules.h"

/* Closed in this order's reverse. */
const struct module_ops *const module_table[MODULE_COUNT] = {
    [MODULE_DHCP] = &dhcp_module,
    [MODULE_CERTIFICATE] = &certificate_module,
    [MODULE_DATABASE] = &database_module,
    [MODULE_WORKLOAD] = &workload_module,
    [MODULE_BALANCER] = &balancer_module,
    [MODULE_MONITOR] = &monitor_module,
    [MODULE_DASHBOARDS] = &dashboards_module,
    [MODULE_ENTRANCE] = &entrance_module,
};
