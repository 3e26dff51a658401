#include "auth/level.h"

#include "base/text.h"

#include <assert.h>
#include <stddef.h>

static const struct {
    const char *name;
    const char *meaning;
} levels[] = {
    [APPROVAL_NONE] = {"none", "no proof of a person: any program of the same user can say yes"},
    [APPROVAL_SEPARATED] = {"separated", "given with a credential for approving"},
    [APPROVAL_SIGNED] = {"signed", "signed with a key that is under a passphrase"},
};

const char *approval_level_to_string(enum approval_level level)
{
    assert(level < APPROVAL_LEVEL_COUNT);
    return levels[level].name;
}

enum approval_level approval_level_from_string(const char *name)
{
    for (size_t i = 0; i < APPROVAL_LEVEL_COUNT; i++)
        if (text_equal(levels[i].name, name))
            return (enum approval_level)i;
    return APPROVAL_LEVEL_COUNT;
}

const char *approval_level_meaning(enum approval_level level)
{
    assert(level < APPROVAL_LEVEL_COUNT);
    return levels[level].meaning;
}
