/* The kernel's messages about packets: whatever they hold, lines are printable and whole. */
#include "base/memory.h"
#include "fuzz/fuzz.h"
#include "twin/firewall-log.h"

static const char *name_of(void *argument, unsigned int index)
{
    (void)argument;
    return index == 1 ? "left" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *text, size_t size)
{
    struct strbuf lines = {0};
    uint8_t *copy = mem_copy(text, size);
    firewall_log_write(copy, size, name_of, NULL, &lines);
    for (size_t i = 0; i < lines.length; i++)
        MUST(lines.text[i] == '\n' || (lines.text[i] >= ' ' && lines.text[i] <= '~'));
    MUST(lines.length == 0 || lines.text[lines.length - 1] == '\n');
    strbuf_done(&lines);
    mem_free(copy);
    return 0;
}
