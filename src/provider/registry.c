/* All drivers. A new one is a folder beside this file and a line in the table. */
#include "provider/provider.h"

#include "base/memory.h"
#include "base/text.h"
#include "provider/core/core.h"
#include "provider/fake/fake.h"
#include "provider/twin/twin.h"

static const struct provider_ops *const drivers[] = {
    &core_provider_ops,
    &twin_provider_ops,
    &fake_provider_ops,
};

const struct provider_ops *provider_find_driver(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(drivers); i++)
        if (text_equal(drivers[i]->driver, name))
            return drivers[i];
    return NULL;
}

const char *const *provider_driver_names(size_t *ret_n)
{
    static const char *names[ARRAY_LENGTH(drivers)];
    for (size_t i = 0; i < ARRAY_LENGTH(drivers); i++)
        names[i] = drivers[i]->driver;
    *ret_n = ARRAY_LENGTH(drivers);
    return names;
}
